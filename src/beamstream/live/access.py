"""The key of the page of spectra, and the sessions of browsers that knew it."""

from typing import TYPE_CHECKING

from beamstream.live.settings import Settings
from beamstream.network.keys import Keys
from beamstream.network.peers import peer_of
from beamstream.network.rules import READ
from beamstream.network.sessions import Sessions

if TYPE_CHECKING:
    from starlette.types import Scope


class Access:
    """Know the key of a page of spectra; without one everybody on this machine may read.

    A request shows it as ``Authorization: Bearer KEY``, as ``?key=KEY``, or as the session that a browser got in
    exchange.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._secure = settings.tls is not None
        self._keys = Keys(None, {settings.key: (READ,)})
        self._sessions = Sessions(self._keys, f"beamstream-live-{port}")
        self.open = not settings.key
        """Whether no key is needed."""

    def check(self, text: str) -> frozenset[str] | None:
        """Return what a key may; None if it is not the key of this page."""
        return self._keys.check(text)

    def session(self, given: str, scope: "Scope") -> str | None:
        """Return the ``Set-Cookie`` of a session for a key; None if it is another one."""
        known = self._keys.identify(given)
        return None if known is None else self._sessions.open(known, (READ,), secure=self._secure, peer=peer_of(scope))

    def scopes(self, cookies: str, scope: "Scope") -> frozenset[str] | None:
        """Return what the session in a ``Cookie`` header may; None if there is none."""
        return self._sessions.check(cookies, peer_of(scope))
