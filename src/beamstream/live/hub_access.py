"""Access to the live page, to read and to control: keys, tickets that are valid once, sessions of browsers."""

from typing import TYPE_CHECKING

from beamstream.live.hub_settings import HubSettings
from beamstream.network.keys import Keys, Known
from beamstream.network.rules import CONTROL, READ
from beamstream.network.sessions import Sessions
from beamstream.network.tickets import Tickets

if TYPE_CHECKING:
    from starlette.types import Scope

_BOTH = frozenset((READ, CONTROL))
_TICKET = Known("main0", _BOTH)  # made with the key of the settings


class HubAccess:
    """Check the key of the page, those of its archive, the sessions that browsers get for one of them, and tickets.

    Reading is open on loopback; beyond, it takes a key that may read. Control always takes one that may control.

    Parameters
    ----------
    settings : HubSettings
    port : int
        Where the server listens: two of them on one machine have different cookies.

    Attributes
    ----------
    keys : Keys
    sessions : Sessions
    """

    def __init__(self, settings: HubSettings, port: int) -> None:
        self.keys = Keys(settings.archive or None, {settings.key: _BOTH})
        self.sessions = Sessions(self.keys, f"beamstream-page-{port}")
        self._tickets = Tickets(settings.key, port)

    def may_control(self, scope: "Scope") -> bool:
        """Return whether the key or session of a request has the scope to control, at this moment."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        scheme, _, given = headers.get(b"authorization", "").partition(" ")
        cookies = headers.get(b"cookie", "")
        scopes = self.keys.check(given.strip()) if scheme else self.sessions.scopes(cookies, scope)
        return CONTROL in (scopes or ())

    def identify(self, given: str) -> Known | None:
        """Return which key a text is; None if it is unknown, or may not read."""
        known = self.keys.identify(given)
        return known if known is not None and READ in known.scopes else None

    def session(self, key: Known, scope: "Scope") -> str:
        """Return the ``Set-Cookie`` of a session that may what a key may."""
        return self.sessions.begin(key, _BOTH, scope)

    def take_ticket(self, ticket: str, scope: "Scope") -> str | None:
        """Return the ``Set-Cookie`` of a session with control, if a ticket is good; it is useless afterwards."""
        return self.session(_TICKET, scope) if self._tickets.take(ticket) else None
