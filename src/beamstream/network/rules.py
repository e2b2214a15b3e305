"""What may be asked of a server, by whom: its rules, and keys as the gate sees them."""

import hmac
from dataclasses import dataclass
from typing import NamedTuple, Protocol

READ, WRITE, UPLOAD, CONTROL = "read", "write", "upload", "control"
EVERYTHING = frozenset((READ, WRITE, UPLOAD, CONTROL))
"""What the main key of an archive may."""
SCOPES = "beamstream.scopes"
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


class Keys(Protocol):
    """Who knows keys."""

    def check(self, text: str) -> frozenset[str] | None:
        """Return what a key may; None if it is none, or not any more."""
        ...


@dataclass(frozen=True, slots=True)
class OneKey:
    """A key that has no end; ``""`` is none."""

    key: str
    scopes: frozenset[str]

    def check(self, text: str) -> frozenset[str] | None:
        """Return its scopes if this is the key."""
        return self.scopes if self.key and same(text, self.key) else None


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that stands for a key."""

    name: str
    keys: Keys

    def __call__(self, text: str, _scope: object = None) -> frozenset[str] | None:
        """Return what the first cookie of that name may; `text` is a ``Cookie`` header."""
        for cookie in text.split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == self.name and (scopes := self.keys.check(value)) is not None:
                return scopes
        return None


def same(given: str, expected: str) -> bool:
    """Return whether two texts are equal, in a time that says nothing about either."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
