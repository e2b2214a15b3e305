"""Who may read: a key for the network, and on loopback a look at the names that a browser sends."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from beamstream.live.settings import Settings
from beamstream.network.keys import READ, Keys
from beamstream.network.sessions import Sessions

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Refusal(NamedTuple):
    """An answer that is no: the HTTP status, and why."""

    status: int
    reason: str


class Access:
    """Decide about each request by its headers and its query.

    With a key, a request has to know it: as ``Authorization: Bearer KEY``, as ``?key=KEY``, or as the session that
    a browser got in exchange. Without one, only requests to a name of this machine are answered: a page from
    elsewhere that has its own name point at 127.0.0.1 (DNS rebinding) gets nothing.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._names = {*LOOPBACK_NAMES, settings.host}
        self._open, self._secure = not settings.key, settings.tls is not None
        self._keys = Keys(None, {settings.key: (READ,)})
        self._sessions = Sessions(self._keys, f"beamstream-live-{port}")

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return self._open

    def session(self, given: str) -> str | None:
        """Return the ``Set-Cookie`` of a session for a key; None if it is another one."""
        known = self._keys.identify(given)
        return None if known is None else self._sessions.open(known, (READ,), secure=self._secure)

    def refusal(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Refusal | None:
        """Return why a request is not answered; None if it is."""
        host = headers.get("host", "")
        if not self.open:
            return None if self._knows(headers, query) else Refusal(401, "the live page wants its key; append ?key=…")
        if host and host_name(host) not in self._names:
            return Refusal(
                403,
                f"{host_name(host)} is no name of this server; use 127.0.0.1, or give the server a key and use that",
            )
        return None

    def foreign(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a websocket is not opened: a page of somebody else asks for it."""
        return foreign(headers)

    def _knows(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        shown = [given.strip() if scheme.lower() == "bearer" else "", query.get("key", "")]
        return any(map(self._keys.check, shown)) or self._sessions.check(headers.get("cookie", "")) is not None


def foreign(headers: Mapping[str, str]) -> Refusal | None:
    """Return why a websocket is not opened, or nothing done: a page of somebody else asks for it."""
    origin = headers.get("origin")
    if origin is None or urlsplit(origin).netloc == headers.get("host", ""):
        return None
    return Refusal(403, f"a page from {origin} asked for it; only our own pages may")


def host_name(host: str) -> str:
    """Return a Host header without its port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
