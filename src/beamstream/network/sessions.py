"""Sessions of browsers: a random cookie in place of the key that it was given for, which may no more than that key."""

import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from beamstream.network.keys import Keys, Known, digest
from beamstream.network.peers import peer_of

if TYPE_CHECKING:
    from starlette.types import Scope

LIFETIME = 8 * 3600.0
"""Longest life of a session, s: a shift."""
_MOST = 1000  # sessions of one server; the oldest end before their time


class _Session(NamedTuple):
    key: str
    scopes: frozenset[str]
    ends: float
    peer: str


class Sessions:
    """The sessions of one server, in its memory: they end with it, with their key, and after `LIFETIME`.

    A browser sends a cookie to every port of a host, and so to whatever another user of it has there. So it is
    random, of use at this server and for the same user alone, and of another name than those of other servers.

    Parameters
    ----------
    keys : Keys
        A session may no more than its key may at that moment.
    name : str
        Of the cookie; letters, digits and ``-``.
    clock : callable
        Returns s.
    """

    def __init__(self, keys: Keys, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._keys, self._clock = keys, clock
        self._lock = threading.Lock()
        self._sessions: dict[bytes, _Session] = {}  # replaced, never changed: `check` needs no lock

    def open(self, key: Known, scopes: Collection[str], *, secure: bool = False, peer: str = "") -> str:
        """Begin a session and return its ``Set-Cookie``; for any thread, as `check` is.

        Parameters
        ----------
        key : Known
            From `Keys.identify`.
        scopes : collection of str
            Most that it may.
        secure : bool
            Whether the browser came over TLS, and may send the cookie over nothing else.
        peer : str
            Whose browser it is, see `beamstream.network.peers.peer_of`.
        """
        now, token = self._clock(), secrets.token_urlsafe(32)
        session = _Session(key.id, key.scopes & frozenset(scopes), now + LIFETIME, peer)
        with self._lock:
            living = {name: other for name, other in self._sessions.items() if other.ends > now}
            while len(living) >= _MOST:
                living.pop(next(iter(living)))
            self._sessions = living | {digest(token): session}
        return f"{self.name}={token}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"

    def begin(self, key: Known, scopes: Collection[str], scope: "Scope") -> str:
        """Begin a session for the browser that sent a request, see `open`."""
        return self.open(key, scopes, secure=scope.get("scheme") == "https", peer=peer_of(scope))

    def scopes(self, cookies: str, scope: "Scope") -> frozenset[str] | None:
        """Return what a browser may, by the ``Cookie`` header and the scope of its request; see `check`."""
        return self.check(cookies, peer_of(scope)) if self.name in cookies else None

    def check(self, cookies: str, peer: str = "") -> frozenset[str] | None:
        """Return what the session in a ``Cookie`` header may at this moment; None if there is none, or it has ended.

        Parameters
        ----------
        cookies : str
        peer : str
            Who sent it; ``""`` is not compared.
        """
        for cookie in cookies.split(";"):
            name, _, token = cookie.strip().partition("=")
            session = self._sessions.get(digest(token)) if name == self.name else None
            if session is None or session.ends <= self._clock() or (peer and session.peer not in ("", peer)):
                continue
            key = self._keys.living(session.key)
            if key is not None:
                return session.scopes & key.scopes
        return None
