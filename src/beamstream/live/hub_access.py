"""Who may read and who may control: a key, tickets that work once, and a cookie for browsers that had either."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping

from beamstream.live.access import LOOPBACK_NAMES, Refusal, host_name, same
from beamstream.live.hub_settings import HubSettings

_TICKET_LIFE = 60.0  # s


def new_ticket(key: str) -> str:
    """Return a ticket that opens the page once, within 60 s, for the browser that comes with it."""
    body = f"{secrets.token_urlsafe(12)}.{int(time.time() + _TICKET_LIFE)}"
    return f"{body}.{_sign(key, body)}"


def _sign(key: str, body: str) -> str:
    return hmac.new(key.encode(), f"ticket {body}".encode(), hashlib.sha256).hexdigest()[:32]


class HubAccess:
    """Decide about each request by its headers.

    Reading is open on loopback, to requests for a name of this machine; beyond, it takes the key. Control always
    takes the key, as ``Authorization: Bearer KEY`` or as the cookie that a browser got for the key or for a ticket.

    Parameters
    ----------
    settings : HubSettings
    port : int
        Where the server listens: two of them on one machine have different cookies.
    """

    def __init__(self, settings: HubSettings, port: int) -> None:
        self._key = settings.key
        self._open = settings.on_loopback
        self._names = {*LOOPBACK_NAMES, settings.host}
        session = hmac.new(secrets.token_bytes(32), settings.key.encode(), hashlib.sha256).hexdigest()
        self._cookie = f"beamstream-page-{port}={session}"
        self._used: dict[str, float] = {}

    @property
    def cookie(self) -> str:
        """What a browser that knew the key is given to set; says nothing about the key."""
        return f"{self._cookie}; Path=/; HttpOnly; SameSite=Strict"

    def refusal(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is not answered; None if it is."""
        name = host_name(headers.get("host", ""))
        if not self._open:
            return (
                None if self.may_control(headers) else Refusal(401, "the live page wants its key; open / and give it")
            )
        if name and name not in self._names:
            return Refusal(403, f"{name} is no name of this server; use 127.0.0.1, or give the server a host and a key")
        return None

    def may_control(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request comes from somebody who knew the key."""
        if not self._key:
            return False
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_key(given.strip()):
            return True
        return any(same(cookie.strip(), self._cookie) for cookie in headers.get("cookie", "").split(";"))

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
