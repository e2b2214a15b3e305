"""Who may read and who may control: a key, tickets that work once, and a cookie for browsers that had either."""

import hashlib
import hmac
import secrets
import time

from beamstream.live.hub_settings import HubSettings
from beamstream.network.rules import CONTROL, READ, Cookie, OneKey, same

_TICKET_LIFE = 60.0  # s
MAY = frozenset((READ, CONTROL))
"""What the key of the page is good for."""


def new_ticket(key: str) -> str:
    """Return a ticket that opens the page once, within 60 s, for the browser that comes with it."""
    body = f"{secrets.token_urlsafe(12)}.{int(time.time() + _TICKET_LIFE)}"
    return f"{body}.{_sign(key, body)}"


def _sign(key: str, body: str) -> str:
    return hmac.new(key.encode(), f"ticket {body}".encode(), hashlib.sha256).hexdigest()[:32]


class HubAccess:
    """Know the key, the cookie that a browser gets for it or for a ticket, and tickets.

    Reading is open on loopback; beyond, it takes the key. Control always takes the key.

    Parameters
    ----------
    settings : HubSettings
    port : int
        Where the server listens: two of them on one machine have different cookies.
    """

    def __init__(self, settings: HubSettings, port: int) -> None:
        self._key = settings.key
        self._session = hmac.new(secrets.token_bytes(32), settings.key.encode(), hashlib.sha256).hexdigest()
        self._name = f"beamstream-page-{port}"
        self._used: dict[str, float] = {}

    @property
    def cookie(self) -> str:
        """What a browser that knew the key is given to set; says nothing about the key."""
        return f"{self._name}={self._session}; Path=/; HttpOnly; SameSite=Strict"

    def check(self, text: str) -> frozenset[str] | None:
        """Return what a key may; None if it is not the key of this page."""
        return MAY if self.is_key(text) else None

    @property
    def sessions(self) -> Cookie:
        """Who knows the cookie."""
        return Cookie(self._name, OneKey(self._session if self._key else "", MAY))

    def is_key(self, given: str) -> bool:
        """Return whether this is the key."""
        return bool(self._key) and same(given, self._key)

    def take_ticket(self, ticket: str) -> bool:
        """Return whether a ticket is good, and make it useless."""
        body, _, signature = ticket.rpartition(".")
        if not self._key or not same(signature, _sign(self._key, body)):
            return False
        now, end = time.time(), float(body.rpartition(".")[2])
        self._used = {used: until for used, until in self._used.items() if until > now}
        if end < now or body in self._used:
            return False
        self._used[body] = end
        return True
