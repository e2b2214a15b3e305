"""What the process that serves the live page of an instrument is told when it starts."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from beamstream.errors import ConfigurationError
from beamstream.live.settings import check_address, check_key
from beamstream.network.hosts import is_loopback
from beamstream.network.tls import Certificate, certificate

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")  # what a ring may be called: no way out of an address


@dataclass(frozen=True, slots=True)
class HubSettings:
    """All that the server needs to know, checked.

    Parameters
    ----------
    streams : sequence of dict
        ``{"name": …, "about": {…}}``: the name of the stream and of its ring, and the section of the configuration
        that describes it, ``{}`` for a ring that others write.
    host : str
        Address or name to listen on.
    port : int
        0 takes a free one.
    key : str
        What control takes, and beyond loopback every request; ``""``: nobody has control.
    archive : str
        Directory of the archive, for sessions and runs; ``""`` for none.
    archive_url : str
        Of the archive's server; ``""`` for none.
    recordings : str
        Directory below which pages may record; ``""``: they may not.
    references : str
        Directory of darks and flats; ``""`` for none.
    pipeline : str
        Path of a pipeline file; ``""`` for none.
    allowed_hosts : sequence of str
        Names by which others reach the server, besides `host`.
    tls_cert, tls_key : str
        PEM files, see `beamstream.network.tls.Certificate`; ``""``: plain HTTP.
    secret : str
        By which the server proves to be the one that was started, see `beamstream.network.proof`; ``""``: it does not.

    Raises
    ------
    ConfigurationError
        The whole network is to read without a key, the key is short, the port out of range, or a name none.
    """

    streams: Sequence[dict[str, Any]] = ()
    host: str = "127.0.0.1"
    port: int = 8712
    key: str = field(default="", repr=False)
    archive: str = ""
    archive_url: str = ""
    recordings: str = ""
    references: str = ""
    pipeline: str = ""
    allowed_hosts: Sequence[str] = ()
    tls_cert: str = ""
    tls_key: str = ""
    secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_address(self.host, self.port)
        check_key(self.host, self.key)
        certificate(self.tls_cert, self.tls_key)
        names = [str(stream.get("name")) for stream in self.streams]
        for name in names:
            if not _NAME.fullmatch(name) or names.count(name) > 1:
                what = "asked for twice" if names.count(name) > 1 else "asked for"
                raise ConfigurationError(f"live page: a stream {name!r} {what}; use letters, digits, _ and - once each")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def tls(self) -> Certificate | None:
        """What the server speaks TLS with."""
        return certificate(self.tls_cert, self.tls_key)

    def to_line(self) -> bytes:
        """Return one line of JSON; it has key and secret."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `to_line` wrote."""
        return cls(**json.loads(line))
