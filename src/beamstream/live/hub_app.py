"""The answers of the instrument's live page: overview, streams, their websockets, and who may do what."""

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from beamstream.live.access import Refusal, foreign
from beamstream.live.answers import Answer, StaticFiles, body_of, json_answer, refused
from beamstream.live.hub_access import HubAccess
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_stream import ImageStream
from beamstream.live.spectra_stream import KIND, SpectraStream
from beamstream.live.state import State
from beamstream.network.keys import CONTROL
from beamstream.network.peers import peer_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_AFTER_A_WRONG_KEY = 0.5  # s
_STATE_PERIOD = 1.0  # s
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

    What cannot be answered is ``{"error": …}``.
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
                self.images[name] = ImageStream(name, about, settings, access, self._files)

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
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path: str = scope["path"]
        peer = peer_of(scope) if "cookie" in headers else ""
        refusal = self._access.refusal(headers, peer)
        if scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD"):
            refusal = refusal or foreign(headers)
        if path == "/enter" and scope["type"] == "http" and scope["method"] == "POST":
            await self._enter_by_post(scope, headers, receive, send)
        elif path == "/unlock" and scope["type"] == "http" and (refusal is None or refusal.status == 401):
            await self._unlock(scope, headers, receive, send)
        elif refusal is not None and not (refusal.status == 401 and _needs_no_key(scope)):
            await self._refuse(scope, refusal, send)
        elif path.startswith("/streams/"):
            await self._stream(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["method"] not in ("GET", "HEAD"):
            await refused(405, f"{scope['method']} {path}: this is only for reading; use GET").send(send)
        else:
            await self._page(scope, headers, send)

    async def _refuse(self, scope: "Scope", refusal: Refusal, send: "Send") -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        asked_by_hand = scope["path"] == "/" or (scope["path"].startswith("/streams/") and scope["path"].endswith("/"))
        page = self._files.answer("/static/unlock.html") if refusal.status == 401 and asked_by_hand else None
        if page is not None:
            await Answer(401, page.kind, page.body).send(send)
        else:
            await refused(*refusal).send(send)

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

    async def _page(self, scope: "Scope", headers: Mapping[str, str], send: "Send") -> None:
        path: str = scope["path"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        match path:
            case "/" if "ticket" in query:
                there = ("location", self._page_of(query.get("stream", "")))
                await Answer(303, "text/plain", []).send(send, [there, *self._enter(query, scope)])
            case "/streams":
                await json_answer(self._streams()).send(send)
            case "/state":
                await json_answer(await self._state.document()).send(send)
            case _:
                file = self._files.answer(
                    "/static/overview.html" if path == "/" else path, headers.get("if-none-match")
                )
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
        return _cookie(self._access.take_ticket(given.get("ticket", ""), peer_of(scope)))

    async def _enter_by_post(
        self, scope: "Scope", headers: Mapping[str, str], receive: "Receive", send: "Send"
    ) -> None:
        """Take a ticket that was posted by a page from elsewhere: the ticket is the proof."""
        refusal = self._access.refusal(headers)
        if refusal is not None and refusal.status != 401:
            await refused(*refusal).send(send)
            return
        given = dict(parse_qsl((await body_of(receive)).decode("latin-1")))
        # no redirection: one that a page of elsewhere begins does not get the cookie (SameSite=Strict)
        page = f'<!doctype html><meta http-equiv="refresh" content="0;url={self._page_of(given.get("stream", ""))}">'
        await Answer(200, "text/html; charset=utf-8", [page.encode()]).send(send, self._enter(given, scope))

    def _page_of(self, stream: str) -> str:
        there = any(each["name"] == stream for each in self._settings.streams)
        return f"/streams/{stream}/" if there else "/"

    async def _unlock(self, scope: "Scope", headers: Mapping[str, str], receive: "Receive", send: "Send") -> None:
        refusal = foreign(headers)
        if refusal is not None or scope["method"] != "POST":
            await refused(*(refusal or (405, "/unlock: POST the key as JSON"))).send(send)
            return
        body = await body_of(receive)
        try:
            key = json.loads(body)["key"]
        except (ValueError, TypeError, KeyError, RecursionError):
            await refused(422, 'unlock: what came is not {"key": "…"}').send(send)
            return
        known = self._access.identify(key) if isinstance(key, str) else None
        if known is not None:
            answer = json_answer({"may_control": CONTROL in known.scopes})
            await answer.send(send, _cookie(self._access.session(known, peer_of(scope))))
        else:
            await asyncio.sleep(_AFTER_A_WRONG_KEY)
            await refused(403, "unlock: this is not the key of this page").send(send)


def _cookie(value: str | None) -> list[tuple[str, str]]:
    return [] if value is None else [("set-cookie", value)]


def _needs_no_key(scope: "Scope") -> bool:
    """Return whether a request may come from who does not know the key yet: a ticket, and files that say nothing."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    return scope["path"].startswith("/static/") or (scope["path"] == "/" and b"ticket=" in scope["query_string"])
