"""The requests that an archive admits, and how tiled receives the scopes of their clients."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from tiled.access_control.scopes import NO_SCOPES, PUBLIC_SCOPES, SINGLE_USER_SCOPES
from tiled.server.authentication import get_current_scopes, get_current_scopes_websocket
from tiled.server.utils import API_KEY_COOKIE_NAME

from beamstream.network import proof
from beamstream.network.rules import GRANTED, JSON_BYTES, READ, WEBSOCKET, WRITE, Rule

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_API = "/api/v1"
_LARGEST = 1 << 30  # bytes of an array or a table that is written
_ANY = "/{path:path}"
_KEY_HEADERS = (b"authorization", b"x-api-key")
_OPEN = ("/", "/ui", "/ui/{path:path}", "/static/{path:path}", "/favicon.ico", "/healthz", "/tiled-ui-settings")
_READ = (
    *("search", "search-deep", "distinct", "metadata", "revisions", "node/full", "asset/bytes", "asset/manifest"),
    *("array/block", "array/full", "ragged/full", "awkward/full"),
)
_READ_OR_POST = ("table/partition", "table/full", "container/full", "awkward/buffers")  # the selection is in the body
_WRITE = {
    "metadata": "POST PUT PATCH DELETE",
    "register": "POST",
    "data_source": "PUT",
    "revisions": "DELETE",
    "stream/close": "DELETE",
    "asset": "DELETE",
}
_WRITE_DATA = {
    "array/full": "PUT PATCH",
    "array/block": "PUT",
    "ragged/full": "PUT PATCH",
    "ragged/block": "PUT",
    "table/full": "PUT",
    "table/partition": "PUT PATCH",
    "node/full": "PUT",
    "awkward/full": "PUT",
}

RULES: Sequence[Rule] = (
    *(Rule("GET", path, None) for path in _OPEN),
    Rule("GET", f"{_API}/", None),  # tiled's client asks before it shows its key, to learn whether one is needed
    Rule("GET", proof.PATH, None),
    Rule("GET", "/uploads", None),
    Rule("GET", "/uploads/static/{name}", None),
    Rule("GET", "/uploads/status", READ),
    Rule("POST", "/uploads/session", None),  # for the key that it shows
    *(Rule("GET", f"{_API}/{each}{_ANY}", READ) for each in _READ),
    *(Rule("GET POST", f"{_API}/{each}{_ANY}", READ, body=JSON_BYTES) for each in _READ_OR_POST),
    Rule(WEBSOCKET, f"{_API}/stream/single{_ANY}", READ),
    *(Rule("GET", f"/zarr/{version}{_ANY}", READ, anonymous=False) for version in ("v2", "v3")),
    *(Rule(methods, f"{_API}/{each}{_ANY}", WRITE, body=JSON_BYTES) for each, methods in _WRITE.items()),
    *(Rule(methods, f"{_API}/{each}{_ANY}", WRITE, body=_LARGEST) for each, methods in _WRITE_DATA.items()),
)
"""What tiled 0.2.20 answers of what we use. What it answers besides (its graph of links, its documentation), and what
a later version adds, is closed until it stands here."""
REPEATED = ("/", "/healthz", f"{_API}/")
"""What is open and depends on nothing but the headers of a request."""


class TiledAccess:
    """Replace the key of a request, which the gate has checked, by a key of tiled's own.

    tiled accepts one key alone, and reads it itself from four places; the scopes of a client only the gate knows. The
    routes of tiled 0.2.20 below ``/zarr`` check none.

    Parameters
    ----------
    app : FastAPI
        tiled's application, made with `key`.
    key : str
    """

    def __init__(self, app: FastAPI, key: str) -> None:
        self._app: ASGIApp = app
        self._shown = (b"authorization", f"Apikey {key}".encode())
        app.dependency_overrides[get_current_scopes] = _tiled_scopes
        app.dependency_overrides[get_current_scopes_websocket] = _tiled_scopes

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on."""
        if scope.get(GRANTED):
            kept = [(name, _without_key(name, value)) for name, value in scope["headers"] if name not in _KEY_HEADERS]
            scope = {**scope, "headers": [*kept, self._shown], "query_string": _keyless(scope["query_string"])}
        await self._app(scope, receive, send)


def new_tiled_key() -> str:
    """Return a key that only tiled and `TiledAccess` know."""
    return secrets.token_hex(32)


def _tiled_scopes(connection: HTTPConnection) -> frozenset[str]:
    """Return tiled's scopes of a request."""
    may = connection.scope.get(GRANTED, ())
    return SINGLE_USER_SCOPES if WRITE in may else PUBLIC_SCOPES if READ in may else NO_SCOPES


def _without_key(name: bytes, value: bytes) -> bytes:
    if name != b"cookie":
        return value
    cookies = value.split(b";")
    return b";".join(c for c in cookies if c.partition(b"=")[0].strip() != API_KEY_COOKIE_NAME.encode())


def _keyless(query: bytes) -> bytes:
    if b"api" not in query:
        return query
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name != "api_key"]).encode()
