"""What may be asked of a server, by whom: its rules, and keys as the gate sees them."""

from typing import NamedTuple, Protocol

READ, WRITE, UPLOAD, CONTROL = SCOPES = ("read", "write", "upload", "control")
"""Read the archive and the live page; write into the archive; upload to the ingest; record from the live page."""
GRANTED = "beamstream.scopes"
"""Where an application finds, in its ASGI scope, what the client may."""
WEBSOCKET = "WEBSOCKET"
JSON_BYTES = 32 << 20
_SMALL = 1 << 16  # bytes of a body that no rule speaks of


class Rule(NamedTuple):
    """One kind of request that is let through.

    Parameters
    ----------
    methods : str
        ``"GET"`` (and with it HEAD), ``"POST PUT"``, or `WEBSOCKET`.
    path : str
        As routers write it: ``"/streams/{name}/ws"``, ``"/api/v1/search/{path:path}"``.
    scope : str or None
        What a client needs; None: nothing, and its key is not looked at.
    anonymous : bool
        Whether a key is spared where reading is open to everybody.
    body : int
        Bytes of a request, at most.
    query : str
        A parameter that has to be in the address for the rule to hold.
    from_elsewhere : bool
        Whether a page from elsewhere may ask for it: what it brings proves enough.
    """

    methods: str
    path: str
    scope: str | None
    anonymous: bool = True
    body: int = _SMALL
    query: str = ""
    from_elsewhere: bool = False

    @property
    def answered(self) -> frozenset[str]:
        """The methods that the rule lets through."""
        methods = self.methods.split()
        return frozenset([*methods, "HEAD"] if "GET" in methods else methods)


class KeyChecker(Protocol):
    """Who knows keys."""

    def check(self, text: str) -> frozenset[str] | None:
        """Return what a key may; None if it is none, or not any more."""
        ...
