"""The key of the page of spectra, and the sessions of browsers that showed it."""

from typing import TYPE_CHECKING

from beamstream.live.settings import Settings
from beamstream.network.keys import Keys
from beamstream.network.rules import READ
from beamstream.network.sessions import Sessions

if TYPE_CHECKING:
    from starlette.types import Scope


class Access:
    """Check the key of a page of spectra; without one everybody on this machine may read.

    A request shows it as ``Authorization: Bearer KEY``, as ``?key=KEY``, or as the session that a browser got in
    exchange.

    Parameters
    ----------
    settings : Settings
    port : int
        Where the server listens: two of them on one machine have different cookies.

    Attributes
    ----------
    keys : Keys
    sessions : Sessions
    open : bool
        Whether no key is needed.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self.keys = Keys(None, {settings.key: (READ,)})
        self.sessions = Sessions(self.keys, f"beamstream-live-{port}")
        self.open = not settings.key

    def session(self, given: str, scope: "Scope") -> str | None:
        """Return the ``Set-Cookie`` of a session for a key; None if it is another one."""
        known = self.keys.identify(given)
        return None if known is None else self.sessions.begin(known, (READ,), scope)
