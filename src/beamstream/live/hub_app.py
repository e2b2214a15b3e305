"""The answers of the instrument's live page: overview, streams, their websockets, and who may do what."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from beamstream.live.answers import Answer, StaticFiles, body_of, json_answer, refused
from beamstream.live.hub_access import HubAccess
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_stream import ImageStream
from beamstream.live.spectra_stream import KIND, SpectraStream
from beamstream.live.state import State
from beamstream.network import proof
from beamstream.network.address import Address
from beamstream.network.gate import Gate
from beamstream.network.hosts import own_names
from beamstream.network.rules import CONTROL, READ, WEBSOCKET, Rule

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_AFTER_A_WRONG_KEY = 0.5  # s
_STATE_PERIOD = 1.0  # s
_OF_A_STREAM = ("", "/", "/frame", "/data", "/refresh", "/status")

RULES: Sequence[Rule] = (
    Rule("GET", proof.PATH, None),
    Rule("GET", "/", None, query="ticket"),
    Rule("GET", "/static/{path:path}", None),  # files that hold nothing
    Rule("POST", "/unlock", None, body=1 << 20),
    Rule("POST", "/enter", None, from_elsewhere=True),  # the ticket is the proof
    *(Rule("GET", path, READ) for path in ("/", "/streams", "/state")),
    *(Rule("GET", f"/streams/{{name}}{rest}", READ) for rest in _OF_A_STREAM),
    Rule(WEBSOCKET, "/streams/{name}/ws", READ),
)
"""What may be asked of the live page."""
_HERE = "there are /, /streams, /state and /streams/NAME/"


class HubApp:
    """An ASGI application without a framework between the pixels and the socket.

    ``GET /``
        The overview; with ``?ticket=…`` its browser may control from then on, ``&stream=NAME`` leads to that one.
    ``POST /enter``
        ``ticket=…&stream=…``: the same, from the page that `beamstream.network.tickets.ticket_page` writes.
    ``POST /unlock``
        ``{"key": …}``: so may this one, as far as the key may.
    ``GET /streams``
        ``[{"name", "kind": "image" or "spectra", "about", "url", "connected", "rate", "delay", "lost", "words", …}]``.
    ``GET /state``
        Sessions, runs, disk: see `beamstream.live.state.State`.
    ``GET /streams/NAME/…``
        See `ImageStream` and `beamstream.live.spectra_stream.SpectraStream`.

    What cannot be answered is ``{"error": …}``. Who may ask, and from which page, the gate before it decides: see
    `gated`.
    """

    def __init__(self, settings: HubSettings, access: HubAccess) -> None:
        self._access, self._settings = access, settings
        self._files = StaticFiles()
        self._state = State(settings)
        self.images: dict[str, ImageStream] = {}
        self.spectra: dict[str, SpectraStream] = {}
        for stream in settings.streams:
            name, about = stream["name"], stream.get("about") or {}
            if about.get("kind") == KIND:
                self.spectra[name] = SpectraStream(name, about)
            else:
                self.images[name] = ImageStream(name, about, settings, self._files, access.may_control)

    async def run(self) -> None:
        """Follow what has to be followed, until cancelled."""
        await asyncio.gather(self._tell(), *(stream.run() for stream in self.spectra.values()))

    async def _tell(self) -> None:
        """Let the pages of images know what `/state` says, while there are any."""
        while True:
            watched = [stream for stream in self.images.values() if stream.clients]
            if watched:
                document = await self._state.document()
                for stream in watched:
                    stream.tell(document)
            await asyncio.sleep(_STATE_PERIOD)

    def close(self) -> None:
        """End what threads and processes work for pages."""
        for stream in self.images.values():
            stream.close()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path == "/unlock":
            await self._unlock(scope, receive, send)
        elif path == "/enter":
            await self._enter_by_post(scope, receive, send)
        elif path.startswith("/streams/"):
            await self._stream(scope, receive, send)
        else:
            await self._page(scope, send)

    async def _stream(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Hand over to one stream, which sees the rest of the path."""
        name, slash, rest = scope["path"].removeprefix("/streams/").partition("/")
        stream = self.images.get(name) or self.spectra.get(name)
        if stream is not None and slash:
            await stream({**scope, "path": f"/{rest}"}, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif stream is not None:
            await Answer(303, "text/plain", []).send(send, [("location", f"/streams/{name}/")])
        else:
            known = ", ".join([*self.images, *self.spectra]) or "none"
            await refused(404, f"no stream {name!r} here; there are: {known}").send(send)

    async def _page(self, scope: "Scope", send: "Send") -> None:
        path: str = scope["path"]
        known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        match path:
            case "/" if "ticket" in query:
                there = ("location", self._page_of(query))
                await Answer(303, "text/plain", []).send(send, [there, *self._enter(query, scope)])
            case "/streams":
                await json_answer(self._streams()).send(send)
            case "/state":
                await json_answer(await self._state.document()).send(send)
            case _:
                file = self._files.answer("/static/overview.html" if path == "/" else path, known)
                await (file or refused(404, f"{path} is not here; {_HERE}")).send(send)

    def _streams(self) -> list[dict[str, Any]]:
        documents = []
        for stream in self._settings.streams:
            name = stream["name"]
            kind = "image" if name in self.images else "spectra"
            status = (self.images.get(name) or self.spectra[name]).status()
            about = stream.get("about") or {}
            documents.append({**status, "name": name, "kind": kind, "about": about, "url": f"/streams/{name}/"})
        return documents

    def _enter(self, given: Mapping[str, str], scope: "Scope") -> list[tuple[str, str]]:
        """Return the header that gives a browser which has a ticket its session."""
        return _cookie(self._access.take_ticket(given.get("ticket", ""), scope))

    async def _enter_by_post(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Take a ticket that was posted by a page from elsewhere."""
        given = dict(parse_qsl((await body_of(receive)).decode("latin-1")))
        # no redirection: one that a page of elsewhere begins does not get the cookie (SameSite=Strict)
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={self._page_of(given)}">'
        await Answer(200, "text/html; charset=utf-8", [page.encode()]).send(send, self._enter(given, scope))

    def _page_of(self, given: Mapping[str, str]) -> str:
        stream = given.get("stream", "")
        there = any(each["name"] == stream for each in self._settings.streams)
        return f"/streams/{stream}/" if there else "/"

    async def _unlock(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        body = await body_of(receive)
        try:
            key = json.loads(body)["key"]
        except (ValueError, TypeError, KeyError, RecursionError):
            await refused(422, 'unlock: what came is not {"key": "…"}').send(send)
            return
        known = self._access.identify(key) if isinstance(key, str) else None
        if known is not None:
            answer = json_answer({"may_control": CONTROL in known.scopes})
            await answer.send(send, _cookie(self._access.session(known, scope)))
        else:
            await asyncio.sleep(_AFTER_A_WRONG_KEY)
            await refused(403, "unlock: this is not the key of this page").send(send)


def _cookie(value: str | None) -> list[tuple[str, str]]:
    return [] if value is None else [("set-cookie", value)]


def gated(app: HubApp, access: HubAccess, settings: HubSettings, address: Address | None = None) -> Gate:
    """Return the live page of an instrument behind its gate."""
    unlock = StaticFiles().page("/static/unlock.html", 401)

    def unlocking(scope: "Scope") -> Answer | None:
        path: str = scope["path"]
        return unlock if path == "/" or (path.startswith("/streams/") and path.endswith("/")) else None

    return Gate(
        proof.Prover(app, address) if address is not None else app,
        RULES,
        access.keys,
        name="live page",
        hosts=own_names(settings.host, settings.allowed_hosts),
        anonymous_read=settings.on_loopback,
        sessions=access.sessions.scopes,
        schemes=("bearer", "apikey"),
        key_at="open / and give it",
        field="error",
        unlock=unlocking,
    )
