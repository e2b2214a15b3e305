"""Who may read and who may control: keys, tickets that work once, and sessions of browsers that had either."""

from collections.abc import Mapping

from beamstream.live.access import LOOPBACK_NAMES, Refusal, host_name
from beamstream.live.hub_settings import HubSettings
from beamstream.network.keys import CONTROL, READ, Keys, Known
from beamstream.network.sessions import Sessions
from beamstream.network.tickets import Tickets, new_ticket

__all__ = ["HubAccess", "new_ticket"]

_TICKET = Known("main0", frozenset((READ, CONTROL)))  # is given out by who has the key of the settings


class HubAccess:
    """Decide about each request by its headers.

    Reading is open on loopback, to requests for a name of this machine; beyond, it takes a key that may read or
    control. Control always takes one that may control: as ``Authorization: Bearer KEY``, or as the session that a
    browser got for the key or for a ticket. Keys are that of the settings, and those of the archive.

    Parameters
    ----------
    settings : HubSettings
    port : int
        Where the server listens: two of them on one machine have different cookies.
    """

    def __init__(self, settings: HubSettings, port: int) -> None:
        self._open, self._secure = settings.on_loopback, settings.tls is not None
        self._names = {*LOOPBACK_NAMES, settings.host}
        self._keys = Keys(settings.archive or None, {settings.key: (READ, CONTROL)})
        self._sessions = Sessions(self._keys, f"beamstream-page-{port}")
        self._tickets = Tickets(settings.key, port)

    def refusal(self, headers: Mapping[str, str], peer: str = "") -> Refusal | None:
        """Return why a request is not answered; None if it is."""
        name = host_name(headers.get("host", ""))
        if not self._open:
            known = READ in self.scopes(headers, peer)
            return None if known else Refusal(401, "the live page wants its key; open / and give it")
        if name and name not in self._names:
            return Refusal(403, f"{name} is no name of this server; use 127.0.0.1, or give the server a host and a key")
        return None

    def may_control(self, headers: Mapping[str, str], peer: str = "") -> bool:
        """Return whether a request comes from somebody whose key may control, at this moment."""
        return CONTROL in self.scopes(headers, peer)

    def scopes(self, headers: Mapping[str, str], peer: str = "") -> frozenset[str]:
        """Return what the key or the session of a request may; `peer` is who sends it."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() in ("bearer", "apikey"):
            return self._keys.check(given.strip()) or frozenset()
        return self._sessions.check(headers.get("cookie", ""), peer) or frozenset()

    def identify(self, given: str) -> Known | None:
        """Return which key a text is; None if it is none that this page has a use for."""
        known = self._keys.identify(given)
        return known if known is not None and READ in known.scopes else None

    def session(self, key: Known, peer: str = "") -> str:
        """Return the ``Set-Cookie`` of a session that may what a key may."""
        return self._sessions.open(key, (READ, CONTROL), secure=self._secure, peer=peer)

    def take_ticket(self, ticket: str, peer: str = "") -> str | None:
        """Return the ``Set-Cookie`` of a session with control, if a ticket is good; it is useless afterwards."""
        return self.session(_TICKET, peer) if self._tickets.take(ticket) else None
