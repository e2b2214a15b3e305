"""The answers of the live page: JSON as the forerunner's clients know it, the page's files, and its websocket."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from beamstream.live.access import Access
from beamstream.live.answers import Answer, StaticFiles, body_of, json_answer, refused
from beamstream.live.follower import Follower
from beamstream.live.push import Audience
from beamstream.live.rows_json import RowsAsJson
from beamstream.live.status import Status
from beamstream.network.gate import Gate
from beamstream.network.rules import READ, WEBSOCKET, Rule

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_HERE = "there are /, /data, /refresh?n_frames=, /status and /ws"
_PATHS = ("/", "/data", "/refresh", "/status", "/static/{path:path}")
_OF_THE_FORM = ("page.css", "controls.css", "key.css", "icon.svg")  # that asks for the key

RULES: Sequence[Rule] = (
    *(Rule("GET", f"/static/{name}", None) for name in _OF_THE_FORM),
    *(Rule("GET OPTIONS", path, READ) for path in _PATHS),
    Rule("POST", "/", None),
    Rule(WEBSOCKET, "/ws", READ),
)
"""What may be asked of the page of spectra, where it is a server of its own."""


class App:
    """An ASGI application without a framework between the texts and the socket.

    ``GET /data``
        The newest spectrum, a list; ``[]`` before the first.
    ``GET /refresh?n_frames=N``
        ``{"data": [[…], …], "buffer_length", "buffer_index", "timestamp", "spectra"}``, the oldest first; all that
        are kept without N. ``timestamp`` is the newest one's, s since 1970-01-01 UTC; ``spectra`` counts all that
        have come, so that a client which polls knows which of them are new.
    ``GET /status``
        See `Status`.
    ``GET /ws``
        The websocket of the page, see `beamstream.live.push`.
    ``POST /``
        ``key=…``: a session for a browser, where a key is needed.

    ``?beam=K`` chooses among several beams. What cannot be answered is ``{"error": …}``. Who may ask, and from which
    page, the gate before it decides: see `gated`.

    Parameters
    ----------
    follower : Follower
    status : Status
    audience : Audience
    access : Access, optional
        None: a part of another page.
    """

    def __init__(self, follower: Follower, status: Status, audience: Audience, access: Access | None = None) -> None:
        self._follower, self._status, self._audience, self._access = follower, status, audience, access
        self._files = StaticFiles()
        self._texts: dict[int, RowsAsJson] = {}
        self._texts_of: object = None
        self._more = [("access-control-allow-origin", "*")] if access is not None and access.open else []

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["type"] == "websocket":
            await self._audience.attend(query, receive, send)
        elif scope["method"] == "POST":
            await self._enter(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            allowed = ("access-control-allow-methods", "GET, HEAD, OPTIONS")
            await Answer(204, "text/plain", []).send(send, [*self._more, allowed])
        else:
            await self._answer(scope, headers, query, send)

    async def _enter(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Give a browser that posts the key a session."""
        key = dict(parse_qsl((await body_of(receive)).decode("latin-1"))).get("key", "")
        cookie = self._access.session(key, scope) if self._access is not None else None
        await (refused(401, "this is not the key of this page").send(send) if cookie is None else _begin(cookie, send))

    async def _answer(self, scope: "Scope", headers: Mapping[str, str], query: Mapping[str, str], send: "Send") -> None:
        path: str = scope["path"]
        given = query.get("key", "") if path == "/" else ""
        cookie = self._access.session(given, scope) if given and self._access is not None else None
        match path:
            case "/data":
                await self._data(query).send(send, self._more)
            case "/refresh":
                await self._refresh(query).send(send, self._more)
            case "/status":
                await json_answer(self._status.document()).send(send, self._more)
            case "/" if cookie is not None:  # the key goes out of the address
                await _begin(cookie, send)
            case _:
                path = "/static/index.html" if path == "/" else path
                file = self._files.answer(path, headers.get("if-none-match"))
                await (file or refused(404, f"{path} is not here; {_HERE}")).send(send)

    def _data(self, query: Mapping[str, str]) -> Answer:
        try:
            text = self._text(query)
        except ValueError as error:
            return refused(422, str(error))
        return Answer(200, "application/json", [text.newest() if text else b"[]"])

    def _refresh(self, query: Mapping[str, str]) -> Answer:
        try:
            text, number = self._text(query), _whole(query, "n_frames", least=1)
        except ValueError as error:
            return refused(422, str(error))
        history = self._follower.history
        rows: list[Any] = []
        length = index = count = 0
        timestamp = "null"
        if history is not None and text is not None:
            rows = text.last(history.rows if number is None else number)
            length, count, index = history.rows, history.count, history.count % history.rows
            timestamp = repr(float(history.times(count - 1, count)[0]))
        tail = f'],"buffer_length":{length},"buffer_index":{index},"timestamp":{timestamp},"spectra":{count}}}'
        return Answer(200, "application/json", [b'{"data":[', *rows, tail.encode()])

    def _text(self, query: Mapping[str, str]) -> RowsAsJson | None:
        """Return the JSON text of the beam asked for; None before the first spectrum.

        Raises
        ------
        ValueError
            There is no such beam.
        """
        history = self._follower.history
        beam = _whole(query, "beam", least=0) or 0
        if history is None:
            return None
        if beam >= history.n_beams:
            raise ValueError(f"beam: {beam} asked for, the spectra have {history.n_beams}; the first is 0")
        if self._texts_of is not history:
            self._texts_of, self._texts = history, {}
        if beam not in self._texts:
            self._texts[beam] = RowsAsJson(history, beam)
        return self._texts[beam]


async def _begin(cookie: str, send: "Send") -> None:
    """Lead a browser to the page, with a session."""
    await Answer(303, "text/plain", []).send(send, [("location", "/"), ("set-cookie", cookie)])


def gated(app: App, access: Access, hosts: Iterable[str]) -> Gate:
    """Return the page of spectra behind its gate."""
    key_page = StaticFiles().page("/static/key.html", 401)
    return Gate(
        app,
        RULES,
        access.keys,
        name="live page",
        hosts=hosts,
        anonymous_read=access.open,
        sessions=access.sessions.scopes,
        schemes=("bearer", "apikey"),
        query="key",
        key_at="open / and give it",
        field="error",
        unlock=lambda scope: key_page if scope["path"] == "/" else None,
    )


def _whole(query: Mapping[str, str], name: str, *, least: int) -> int | None:
    """Return a whole number of the query, None if it is not there.

    Raises
    ------
    ValueError
        It is none, or too small.
    """
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise ValueError(f"{name}: {text[:40]!r} asked for; use a whole number from {least}")
    return int(text)
