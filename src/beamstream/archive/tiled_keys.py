"""Keys and sessions of ours in tiled's place: what each may do, tiled enforces route by route.

tiled 0.2.20 knows one key, or a database of keys that wants a provider of identities, takes five times as long for a
request (it writes to the disk each time, so that nobody could read while that is full), and has no scopes for uploads
and live pages. FastAPI lets the functions be replaced that tiled asks who somebody is and what they may.
"""

from fastapi import FastAPI, HTTPException, Request, WebSocket
from starlette.requests import HTTPConnection
from tiled.access_control.scopes import NO_SCOPES, PUBLIC_SCOPES, SINGLE_USER_SCOPES, ScopeName
from tiled.server import authentication
from tiled.utils import SingleUserPrincipal

from beamstream.archive.browsers import Browsers
from beamstream.live.access import foreign
from beamstream.network.keys import READ, WRITE, Keys

_REFUSED = "this is not the key of the archive"


class TiledKeys:
    """Say for tiled who may do what.

    Parameters
    ----------
    keys : Keys
    browsers : Browsers
    anonymous : bool
        Let everybody read; a wrong key is refused nevertheless.
    """

    def __init__(self, keys: Keys, browsers: Browsers, anonymous: bool) -> None:
        self._keys, self._browsers, self._anonymous = keys, browsers, anonymous

    def install(self, app: FastAPI) -> None:
        """Take the place of what tiled asks."""
        app.dependency_overrides |= {
            authentication.get_api_key: self._key_of_request,
            authentication.get_api_key_websocket: self._key_of_websocket,
            authentication.get_current_principal: self._principal_of_request,
            authentication.get_current_principal_websocket: self._principal_of_websocket,
            authentication.get_current_scopes: self._scopes_of_request,
            authentication.get_current_scopes_websocket: self._scopes_of_websocket,
            authentication.get_current_access_tags: _nothing,
            authentication.get_current_access_tags_websocket: _nothing,
            authentication.move_api_key: self._browsers.take_out_of_address,
        }

    def scopes(self, asked: HTTPConnection) -> frozenset[str]:
        """Return what a request may, in our words.

        Raises
        ------
        HTTPException
            401: it shows a key that is none.
        """
        if not hasattr(asked.state, "scopes"):  # tiled asks three times a request
            asked.state.scopes = self._scopes(asked)
        return asked.state.scopes

    def _scopes(self, asked: HTTPConnection) -> frozenset[str]:
        text = shown_key(asked)
        if text is None:
            session = self._browsers.scopes(asked) if foreign(asked.headers) is None else None  # ports are one site
            return session or frozenset({READ} if self._anonymous else ())
        known = self._keys.check(text)
        if known is None:
            raise HTTPException(401, _REFUSED, {"WWW-Authenticate": "Bearer"})
        return known

    async def _key_of_request(self, request: Request) -> str | None:
        return shown_key(request)

    async def _key_of_websocket(self, websocket: WebSocket) -> str | None:
        """Return what tiled takes for a sign that no first message has to bring a key."""
        return shown_key(websocket) or "session"

    async def _principal_of_request(self, request: Request) -> None:
        known = bool(self.scopes(request)) and not self._anonymous
        request.state.principal = SingleUserPrincipal if known else None  # for tiled's log

    async def _principal_of_websocket(self, websocket: WebSocket) -> None:
        """Refuse who may not read: tiled 0.2.20 checks no scopes here, and takes a first message in their place."""
        if READ not in self.scopes(websocket):
            raise HTTPException(401, "the archive wants a key that may read")

    async def _scopes_of_request(self, request: Request) -> frozenset[ScopeName]:
        return _of_tiled(self.scopes(request))

    async def _scopes_of_websocket(self, websocket: WebSocket) -> frozenset[ScopeName]:
        return _of_tiled(self.scopes(websocket))


def shown_key(asked: HTTPConnection) -> str | None:
    """Return the key that a request shows: ``?api_key=``, ``Authorization: Apikey``, ``X-API-KEY``; else None."""
    scheme, _, text = asked.headers.get("authorization", "").partition(" ")
    header = text.strip() if scheme.lower() == "apikey" else None
    return asked.query_params.get("api_key", header or asked.headers.get("x-api-key"))


async def _nothing() -> None:
    """Return no access tags: they are tiled's, and without a policy they limit nothing."""


def _of_tiled(scopes: frozenset[str]) -> frozenset[ScopeName]:
    if WRITE in scopes:
        return SINGLE_USER_SCOPES
    return PUBLIC_SCOPES if READ in scopes else NO_SCOPES
