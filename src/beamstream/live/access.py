"""The key of the page of spectra, and the cookie that a browser gets for it."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from beamstream.live.settings import Settings
from beamstream.network.rules import READ, Cookie, OneKey

_MAY = frozenset((READ,))


class Access:
    """Know the key of a page of spectra; without one everybody on this machine may read.

    A request shows it as ``Authorization: Bearer KEY``, as ``?key=KEY``, or as the cookie that a browser got in
    exchange.
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._key = OneKey(settings.key, _MAY)
        self._name = f"beamstream-live-{port}"
        self._session = hmac.new(secrets.token_bytes(32), settings.key.encode(), hashlib.sha256).hexdigest()

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return not self._key.key

    @property
    def cookie(self) -> str:
        """What a browser that knew the key is given to set; says nothing about the key."""
        return f"{self._name}={self._session}; Path=/; HttpOnly; SameSite=Lax"

    @property
    def sessions(self) -> Cookie:
        """Who knows the cookie."""
        return Cookie(self._name, OneKey("" if self.open else self._session, _MAY))

    def check(self, text: str) -> frozenset[str] | None:
        """Return what a key may; None if it is not the key of this page."""
        return self._key.check(text)

    def knows_by_query(self, query: Mapping[str, str]) -> bool:
        """Return whether the key is in the address."""
        return self.check(query.get("key", "")) is not None
