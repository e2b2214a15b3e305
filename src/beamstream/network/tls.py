"""TLS: the certificate of a server, and clients on this machine that trust just that one."""

import http.client
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from beamstream.errors import ConfigurationError
from beamstream.network.hosts import is_loopback

_END = "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The two files that a server needs for TLS.

    Parameters
    ----------
    cert : Path
        PEM: the server's certificate, then those between it and the authority.
    key : Path
        PEM, without a password, readable for its owner alone.

    Raises
    ------
    ConfigurationError
        One of them cannot be used.
    """

    cert: Path
    key: Path

    def __post_init__(self) -> None:
        try:
            mode = stat.S_IMODE(self.key.stat().st_mode)
            _server_context(self)
        except OSError as error:  # ssl's own as well
            why = getattr(error, "reason", None) or error.strerror
            raise ConfigurationError(f"tls: {self.cert} and {self.key} asked for: {why}; use two PEM files") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(
                f"tls: the key {self.key} has mode {mode:o}, others may have read it; chmod 600 if you trust them"
            )


def certificate(cert: Path | str | None, key: Path | str | None) -> Certificate | None:
    """Return the certificate of a server; None if neither file is named.

    Raises
    ------
    ConfigurationError
        There is one without the other, or one that cannot be used.
    """
    if not cert and not key:
        return None
    if not cert or not key:
        raise ConfigurationError(f"tls: {cert or key} given alone; a certificate and its key are both needed")
    return Certificate(Path(cert).expanduser().absolute(), Path(key).expanduser().absolute())


def uvicorn_options(tls: Certificate | None) -> dict[str, Any]:
    """Return what `uvicorn.Config` takes for TLS."""
    return {} if tls is None else {"ssl_certfile": str(tls.cert), "ssl_keyfile": str(tls.key)}


def client_context(certificate: str) -> ssl.SSLContext | None:
    """Return a context for clients that trust one certificate; None without one.

    It is this certificate that is trusted, under whatever name the server is reached: those who find a server by
    its directory use an address that its certificate need not know.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if not certificate:
        return None
    first = Path(certificate).read_text("utf-8-sig").partition(_END)[0] + _END  # not those that sign others
    context = ssl.create_default_context(cadata=first)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def http_connection(url: str, timeout: float, certificate: str = "") -> http.client.HTTPConnection:
    """Return a connection to a server, opened with its first request.

    Parameters
    ----------
    url : str
    timeout : float
        s.
    certificate : str
        File of the server's own, the only one that is trusted then; without it the authorities of ``SSL_CERT_FILE`` or
        of the system are.
    """
    at = urlsplit(url)
    if at.scheme != "https":
        return http.client.HTTPConnection(at.hostname or "", at.port, timeout=timeout)
    context = client_context(certificate)
    return http.client.HTTPSConnection(at.hostname or "", at.port, timeout=timeout, context=context)


def unencrypted_warning(who: str, host: str, cert: str) -> str:
    """Return a warning for a server that would send keys and data unencrypted over a network; ``""`` for others."""
    if cert or is_loopback(host):
        return ""
    return (
        f"{who}: listening on {host} without TLS: keys and data go over the network unencrypted, everybody on the "
        "way can read and use them; give --tls-cert and --tls-key, or stay on 127.0.0.1 and use ssh -L"
    )


def _server_context(tls: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert, tls.key, password=lambda: "")  # no prompt on a terminal
    return context
