"""One stream of images among the streams of an instrument: its page, its websocket, its newest frame as a file."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from beamstream.live.answers import Answer, StaticFiles, refused
from beamstream.live.feed import Feed
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_control import Control, in_thread
from beamstream.live.image_file import FORMATS, encoded
from beamstream.live.image_newest import Made, Newest
from beamstream.live.image_page import ImagePage
from beamstream.live.image_status import Health
from beamstream.live.image_wish import Treated

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_PATIENCE = 5.0  # s for a frame to come
_AT_ONCE = 2  # files that are made


class ImageStream:
    """Serve the images of one ring below an address of their own; for the thread of an event loop.

    An ASGI application for what follows ``/streams/NAME``.

    ``GET /``
        The page.
    ``GET /ws``
        Its websocket, see `beamstream.live.page`.
    ``GET /frame?format=npy|png|tiff&correct=flat,dark,pipeline&index=N``
        The newest frame, whole, as a file; with an index, that which a paused page shows.
    """

    def __init__(
        self,
        name: str,
        about: dict[str, Any],
        settings: HubSettings,
        files: StaticFiles,
        may_control: Callable[[Any], bool],
    ) -> None:
        self._files, self._may_control = files, may_control
        self._feed = Feed(name, about, settings)
        self._control = Control(self._feed, settings)
        self._health = Health(self._feed)
        self._making = asyncio.Semaphore(_AT_ONCE)

    @property
    def clients(self) -> int:
        """How many pages look on."""
        return self._feed.clients

    def status(self) -> dict[str, Any]:
        """Return how the stream goes; where nobody looked before, half a second later it says more."""
        self._feed.wake()
        return {**self._feed.status, "clients": self._feed.clients, "recording": self._control.recording()}

    def tell(self, state: dict[str, Any]) -> None:
        """Take what `/state` says, for the pages of this stream."""
        self._health.state = state

    def close(self) -> None:
        """End its thread and its recording."""
        self._feed.close()
        self._control.close()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request; ``scope["path"]`` is what follows the stream's address."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            page = ImagePage(self._feed, self._control, self._health, partial(self._may_control, scope))
            await page.attend(receive, send)
        elif scope["path"] == "/frame":
            await (await self._file(dict(parse_qsl(scope["query_string"].decode("latin-1"))))).send(send)
        else:
            known = headers.get("if-none-match")
            file = self._files.answer("/static/image.html", known) if scope["path"] == "/" else None
            await (file or refused(404, f"{scope['path']} is not here; there are /, /ws and /frame")).send(send)

    async def _file(self, query: Mapping[str, str]) -> Answer:
        """Return a frame as a file."""
        form, index = query.get("format", "npy"), query.get("index", "")
        wanted = [part for part in query.get("correct", "").split(",") if part]
        if form not in FORMATS:
            return refused(422, f"frame: format {form!r} asked for; there are {', '.join(FORMATS)}")
        if not set(wanted) <= set(Treated._fields):
            return refused(
                422, f"frame: correct {','.join(wanted)!r} asked for; there are {', '.join(Treated._fields)}"
            )
        async with self._making:
            try:
                newest, made = await self._frame(Treated(**dict.fromkeys(wanted, True)), index)
            except TimeoutError:
                words = self._feed.trouble or self._feed.status.get("words") or f"{self._feed.name}: no frame came"
                return refused(503, words)
            if made.failed:
                return refused(409, f"{self._feed.name}: {made.note}")
            image = made.image if made.whole is None or form == "png" else made.whole
            body = await in_thread(lambda: encoded(image, form))
        name = f"{self._feed.name}_{newest.frame.unique_id:06d}.{form}"
        headers = (("cache-control", "no-store"), ("content-disposition", f'attachment; filename="{name}"'))
        return Answer(200, FORMATS[form], [body], headers)

    async def _frame(self, treated: Treated, index: str) -> tuple[Newest, Made]:
        """Return a frame, and its image after treatment; TimeoutError if none comes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Newest, Made]] = loop.create_future()
        kept = self._feed.kept(int(index)) if index.isdecimal() else None

        def answer(newest: Newest) -> None:
            newest = kept or newest
            loop.call_soon_threadsafe(_settle, future, (newest, newest.made(treated)))

        self._feed.ask(answer)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await future
        finally:
            self._feed.drop(answer)


def _settle(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)
