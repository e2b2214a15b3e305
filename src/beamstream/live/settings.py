"""What the process that serves the live page is told when it starts."""

import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

from beamstream.errors import ConfigurationError
from beamstream.network.hosts import is_loopback
from beamstream.network.tls import Certificate, certificate

_LEAST_KEY = 16  # characters
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the server needs to know, checked.

    Parameters
    ----------
    ring : str
        Name of the ring whose spectra are shown.
    owner : int or None
        Id of the process whose ring it has to be.
    host : str
        Address or name to listen on.
    port : int
        0 takes a free one.
    frequency : sequence of float or None
        Of each channel, MHz; used while the spectra have just so many channels.
    band : (float, float) or None
        First and step, MHz: channel i lies at ``first + i × step``; used where `frequency` does not fit.
    title : str
    decibel : bool
        Whether pages begin with a logarithmic scale, until somebody chooses; not for values that have a sign.
    rows : int
        Spectra that are kept.
    key : str
        What every request has to know; ``""`` for none, on loopback only.
    allowed_hosts : sequence of str
        Names by which others reach the server, besides `host`.
    tls_cert, tls_key : str
        PEM files, see `beamstream.network.tls.Certificate`; ``""``: plain HTTP.

    Raises
    ------
    ConfigurationError
        The whole network is to read without a key, the key is short, or a number is out of range.
    """

    ring: str
    owner: int | None = None
    host: str = "127.0.0.1"
    port: int = 9527
    frequency: Sequence[float] | None = None
    band: tuple[float, float] | None = None
    title: str = "Spectra"
    decibel: bool = True
    rows: int = 1200
    key: str = field(default="", repr=False)
    allowed_hosts: Sequence[str] = ()
    tls_cert: str = ""
    tls_key: str = ""

    def __post_init__(self) -> None:
        check_key(self.host, self.key)
        check_address(self.host, self.port)
        certificate(self.tls_cert, self.tls_key)
        if not 1 <= self.rows <= _MOST_ROWS:
            raise ConfigurationError(f"live page: {self.rows} rows asked for; use 1 to {_MOST_ROWS}")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def tls(self) -> Certificate | None:
        """What the server speaks TLS with."""
        return certificate(self.tls_cert, self.tls_key)

    def axis(self, n_channels: int) -> list[float] | None:
        """Return the frequencies of so many channels, MHz; None if they are not known."""
        if self.frequency is not None and len(self.frequency) == n_channels:
            return list(self.frequency)
        if self.band is None:
            return None
        first, step = self.band
        return [first + step * i for i in range(n_channels)]

    def to_line(self) -> bytes:
        """Return one line of JSON; it has the key."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `to_line` wrote."""
        return cls(**json.loads(line))


def check_key(host: str, key: str) -> None:
    """Raise ConfigurationError where the network could read without a key, or the key can be guessed."""
    if not key and not is_loopback(host):
        raise ConfigurationError(
            f"live page: {host} asked for without a key, everybody in the network could read; "
            "give a key, or stay on 127.0.0.1"
        )
    if key and (len(key) < _LEAST_KEY or not key.isascii() or not key.isprintable()):
        raise ConfigurationError(
            f"live page: a key of {len(key)} characters given; use at least {_LEAST_KEY} of printable ASCII"
        )


def page_url(host: str, port: int, *, tls: bool = False) -> str:
    """Return where a page is that listens on a host; without the key."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def check_address(host: str, port: int) -> None:
    """Raise ConfigurationError for what can be no address to listen on."""
    if not host:
        raise ConfigurationError("live page: no host given, which would mean the whole network; use 127.0.0.1")
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"live page: port {port} asked for; use 0 to 65535")
