"""Names of hosts: those of a server, and the one that a page in a browser comes from."""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens on `host`; a name other than localhost counts as no."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_names(host: str, allowed: Iterable[str] = ()) -> set[str]:
    """Return the names under which a server that listens on `host` is reached."""
    here = socket.gethostname()
    everywhere = {here, here.partition(".")[0]} if host in ("0.0.0.0", "::") else {host}
    return {*everywhere, *allowed}


def foreign(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from a page of another server."""
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


def host_name(host: str) -> str:
    """Return a Host header without its port and brackets, in small letters; "" if it is not valid."""
    try:
        parts = urlsplit(f"//{host}")
        return "" if parts.netloc != host or "@" in host else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""
