"""The requests that a server admits, and the scope that each needs; keys as the gate sees them."""

from typing import NamedTuple, Protocol

READ, WRITE, UPLOAD, CONTROL = SCOPES = ("read", "write", "upload", "control")
"""Read the archive and the live page; write into the archive; upload to the ingest; record from the live page."""
GRANTED = "beamstream.scopes"
"""Key of the ASGI scope under which an application finds the scopes of its client."""
WEBSOCKET = "WEBSOCKET"
JSON_BYTES = 32 << 20
_SMALL = 1 << 16  # bytes of a body, unless a rule gives another bound


class Rule(NamedTuple):
    """One kind of request that is admitted.

    Parameters
    ----------
    methods : str
        ``"GET"`` (and with it HEAD), ``"POST PUT"``, or `WEBSOCKET`.
    path : str
        As routers write it: ``"/streams/{name}/ws"``, ``"/api/v1/search/{path:path}"``.
    scope : str or None
        What a client needs; None: nothing, and its key is not checked.
    anonymous : bool
        Whether no key is needed where reading is open to everybody.
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
        """The methods that the rule admits."""
        methods = self.methods.split()
        return frozenset([*methods, "HEAD"] if "GET" in methods else methods)


class KeyChecker(Protocol):
    """What the gate asks about keys."""

    def check(self, text: str) -> frozenset[str] | None:
        """Return the scopes of a key; None if it is unknown, expired or revoked."""
        ...
