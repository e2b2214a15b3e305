"""Between the cloud's client and the service: what would make the client give a chunk up does not reach it."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qs

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from beamstream.network.gate import Gate
from beamstream.network.http_server import HttpServer
from beamstream.network.keys import Keys
from beamstream.network.rules import JSON_BYTES, UPLOAD, Rule
from beamstream.rheed.service import Asked, Service

log = logging.getLogger(__name__)

PRESIGN = "/data_entries/raw_data/staged/upload_urls/"
HOLD = 50.0  # s that a request is held, below the 60 s that the client waits
_STALE = 60.0  # s that an answer is kept for a client that was told to come again
_NO = (400, 404, 409, 422)  # to a link: no later answer will be another one
_LINKS = ("/data_entries/physical_sample", "/tags/data-items/", "/projects/{project}/configuration/tracking_samples")


class Books(Protocol):
    """What is known of a stream, kept by whoever runs the relay."""

    @property
    def data_id(self) -> str:
        """The service's name for it; empty until it has one."""
        ...

    async def begun(self, data_id: str) -> None:
        """Return when the name is on disk."""
        ...

    def arrived(self, chunk: int) -> None:
        """Note that the service has a chunk of a time series."""
        ...


class Relay:
    """Pass the client's small requests on with the real key, until they are answered; pixels go past it.

    The client is given a key of its own, good for this relay only. A request is held up to 50 s; what is not answered
    by then goes on being asked, and the client, who is told 503, finds the answer when it comes again.

    Parameters
    ----------
    service : Service
    books : Books

    Attributes
    ----------
    url : str
    key : str
        The client's.
    may_end : bool
        Whether the stream may be ended: everything has arrived.
    ended : bool
        Whether the service knows that it is.
    addresses : Counter of int
        How often the client was given an address for a chunk: more than once where sending it there failed.
    """

    def __init__(self, service: Service, books: Books) -> None:
        self.key = secrets.token_urlsafe(24)
        self.may_end = self.ended = False
        self.addresses: Counter[int] = Counter()
        self._service, self._books = service, books
        self._beginning = asyncio.Lock()
        self._answers: dict[Asked, asyncio.Task[Response]] = {}
        self._links: set[asyncio.Task[None]] = set()
        self._readings: dict[int, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        routes = self._routes()
        rules = [Rule(" ".join(route.methods or ()), route.path, UPLOAD, body=JSON_BYTES) for route in routes]
        keys = Keys(None, {self.key: (UPLOAD,)})
        app = Gate(Starlette(routes=routes), rules, keys, name="relay", key_at="it is for its own client")
        self._server = HttpServer(app, grace=0)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        tasks = [*self._answers.values(), *self._links, *self._readings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._server.should_exit = self._server.force_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._serving
        self._socket.close()

    async def linked(self) -> None:
        """Return when sample and tags are attached, or were refused for good."""
        while self._links:
            await asyncio.wait(self._links)

    def _routes(self) -> list[Route]:
        """Return who answers which path, to our client alone."""
        return [
            Route("/physical_samples/", _endpoint(self._list("the samples", {409})), methods=["GET", "POST"]),
            Route("/tags/", _endpoint(self._list("the tags", {400, 409})), methods=["GET", "POST"]),
            Route("/rheed/stream/", _endpoint(self._begin), methods=["POST"]),
            Route("/tool-state/stream/initialize", _endpoint(self._begin), methods=["POST"]),
            *(Route(path, _endpoint(self._link), methods=["POST"]) for path in _LINKS),
            Route(PRESIGN, _endpoint(self._presign), methods=["POST"]),
            Route("/tool-state/stream/chunk/multi", _endpoint(self._take_readings), methods=["POST"]),
            Route("/rheed/stream/{data_id}/end", _endpoint(self._end), methods=["POST"]),
            Route("/tool-state/stream/{data_id}/finalize", _endpoint(self._end), methods=["POST"]),
        ]

    async def _held(self, asked: Asked, answering: Callable[[], Coroutine[Any, Any, Response]]) -> Response:
        """Answer as soon as there is an answer; who asks the same again waits for the same."""
        task = self._answers.get(asked)
        if task is None:
            task = self._answers[asked] = asyncio.create_task(answering())
            task.add_done_callback(
                lambda task: asyncio.get_running_loop().call_later(_STALE, self._forget, asked, task)
            )
        await asyncio.wait({task}, timeout=HOLD)
        if not task.done():
            return _said(503, "not answered yet; ask again")
        self._forget(asked, task)
        return task.result()

    def _forget(self, asked: Asked, task: asyncio.Task[Response]) -> None:
        if self._answers.get(asked) is task:
            del self._answers[asked]

    def _list(self, what: str, also: set[int]) -> "Answer":
        async def answer(request: Request, body: bytes) -> Response:
            asked = _asked(what, request, body)

            async def answering() -> Response:
                return _passed_on(await self._service.ask(asked, also))

            return await self._held(asked, answering)

        return answer

    async def _begin(self, request: Request, body: bytes) -> Response:
        """Have the stream made, once; its name is on disk before the client hears it."""
        asked = _asked("the beginning of the stream", request, body)
        bare = request.url.path.startswith("/rheed")

        async def answering() -> Response:
            async with self._beginning:
                if not self._books.data_id:
                    named = (await self._service.ask(asked)).json()
                    await self._books.begun(str(named if bare else named["data_id"]))
            data_id = self._books.data_id
            return _json(data_id if bare else {"data_id": data_id, "processed_data_id": data_id})

        return await self._held(asked, answering)

    async def _link(self, request: Request, body: bytes) -> Response:
        """Say yes, then see to it: a client that is told no ends the stream."""
        asked = _asked("sample and tags", request, body)

        async def link() -> None:
            answer = await self._service.ask(asked, _NO)
            if not answer.is_success:
                log.warning("sample and tags: %s was answered %s %s", asked.path, answer.status_code, answer.text[:200])

        _keep(self._links, asyncio.create_task(link()))
        return _json({})

    async def _presign(self, request: Request, body: bytes) -> Response:
        name = parse_qs(request.url.query).get("original_filename", [""])[0]
        chunk = name.removeprefix("frames.zarr/frames/c/").partition("/")[0]
        answer = await self._list(f"chunk {chunk}", set())(request, body)
        if chunk.isdecimal() and answer.status_code == 200:
            self.addresses[int(chunk)] += 1
        return answer

    async def _take_readings(self, request: Request, body: bytes) -> Response:
        """Take a chunk of a time series over: its client would drop it after three tries."""
        asked = _asked("readings", request, body)
        chunk = int(orjson.loads(body)["chunk_index"])

        async def deliver() -> None:
            await self._service.ask(asked)
            del self._readings[chunk]
            self._books.arrived(chunk)

        if chunk not in self._readings:
            self._readings[chunk] = asyncio.create_task(deliver())
        return _json({})

    async def _end(self, request: Request, body: bytes) -> Response:
        if not self.may_end:
            return _said(503, "not everything has arrived yet")
        asked = _asked("the end of the stream", request, body)

        async def answering() -> Response:
            await self._service.ask(asked, {409})  # 409: it has ended already, and we were killed before we heard it
            self.ended = True
            return _json({})

        return await self._held(asked, answering)


Answer = Callable[[Request, bytes], Awaitable[Response]]


def _endpoint(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that reads what was sent."""

    async def endpoint(request: Request) -> Response:
        return await answer(request, await request.body())

    return endpoint


def _asked(what: str, request: Request, body: bytes) -> Asked:
    return Asked(what, request.method, request.url.path, request.url.query, body)


def _passed_on(answer: httpx.Response) -> Response:
    return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _said(status: int, words: str) -> Response:
    return Response(orjson.dumps({"detail": words}), status, media_type="application/json")


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """Hold a task until it is done: the loop itself does not."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)
