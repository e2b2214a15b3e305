"""A page that shows images, as the server sees it: texts, one frame under way, and what the page says."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from beamstream.live.feed import Feed
from beamstream.live.image_control import Control
from beamstream.live.image_newest import Newest
from beamstream.live.image_seat import Seat
from beamstream.live.image_status import Health, scene
from beamstream.live.image_wish import is_name
from beamstream.plain_text import plain

if TYPE_CHECKING:
    from starlette.types import Receive, Send

_STATUS_PERIOD = 1.0  # s
_PATIENCE = 30.0  # s for which a page may take nothing of what is sent
_MOST_TEXTS = 256  # that a page may not have taken yet
_MOST_UNDER_WAY = 4  # things that a page may have asked to be done


class ImagePage:
    """One websocket of ``/streams/NAME/ws``, from the first message to the last.

    Parameters
    ----------
    feed : Feed
    control : Control
    health : Health
    may_control : callable
        Returns whether the key or the session of this browser may control, at this moment.
    """

    def __init__(self, feed: Feed, control: Control, health: Health, may_control: Callable[[], bool]) -> None:
        self._feed, self._control, self._health, self._may_control = feed, control, health, may_control
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._texts: deque[str] = deque()
        self._status = ""
        self._frame: bytes | str = b""
        self._seat = Seat(
            lambda message: self._from_thread(self._take_frame, message),
            lambda newest: self._from_thread(self._take_scene, newest),
        )
        self._counted = time.monotonic(), 0
        self._doing: set[asyncio.Task[None]] = set()

    async def attend(self, receive: "Receive", send: "Send") -> None:
        """Serve the page until it goes."""
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        self._feed.join(self._seat)
        tasks = {asyncio.create_task(part) for part in (self._talk(send), self._hear(receive), self._tell())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._feed.leave(self._seat)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):  # the page is gone, or takes nothing
            for task in done:
                task.result()
            if self._too_loud:
                await send({"type": "websocket.close", "code": 1008, "reason": "said much and read nothing"})

    def _from_thread(self, take: Any, what: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(take, what)

    def _take_frame(self, message: bytes | str) -> None:
        self._frame = message
        self._wake.set()

    def _take_scene(self, newest: Newest) -> None:
        self._say(scene(self._feed.spec, newest))

    def _say(self, document: Mapping[str, Any]) -> None:
        self._texts.append(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode())
        self._wake.set()

    def _answer(self, message: Any, ok: bool, words: str) -> None:
        asked = message.get("id") if isinstance(message, dict) else None
        self._say({"is": "answer", "to": asked if is_name(asked) else None, "ok": ok, "words": plain(words)})

    async def _talk(self, send: "Send") -> None:
        """Send what is to be sent, for ever; a status that was not sent yet gives way to a newer one."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            frame, self._frame = self._frame, b""
            while self._texts:
                await _send(send, self._texts.popleft())
            if self._status:
                status, self._status = self._status, ""
                await _send(send, status)
            if frame:
                await _send(send, frame)

    async def _tell(self) -> None:
        """Say how it goes, once a second."""
        while True:
            self._tell_status()
            await asyncio.sleep(_STATUS_PERIOD)

    def _tell_status(self) -> None:
        now, shown = time.monotonic(), self._seat.serial
        rate = (shown - self._counted[1]) / max(0.1, now - self._counted[0])
        self._counted = now, shown
        document = self._health.document(self._seat, self._control.recording())
        document |= {"shown_rate": rate, "may_control": self._may_control()}
        self._status = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        self._wake.set()

    @property
    def _too_loud(self) -> bool:
        """Whether it says much and takes nothing."""
        return len(self._texts) > _MOST_TEXTS

    async def _hear(self, receive: "Receive") -> None:
        """Take what the page says, until it goes or has to."""
        while not self._too_loud and (message := await receive())["type"] == "websocket.receive":
            self._take(message.get("text") or "")

    def _take(self, text: str) -> None:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"ack": int(serial), **more}:
                drawing = more.get("drawing")
                self._seat.acknowledge(serial, drawing if isinstance(drawing, int | float) else 0.0)
            case {"do": _}:
                self._do(message)
                return
            case {**some} if (wish := self._seat.wish.changed(some)) is not None:
                self._seat.wish = wish
            case _:
                self._answer(message, False, f"{text[:80]!r} is no message of this protocol")
                return
        self._feed.wake()

    def _do(self, message: dict[str, Any]) -> None:
        if not self._may_control():
            self._answer(message, False, "this takes the key; unlock the page")
        elif len(self._doing) >= _MOST_UNDER_WAY:
            self._answer(message, False, "too much at once; wait for what was asked before")
        else:
            task = asyncio.create_task(self._done(message))  # goes on where the page goes
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)

    async def _done(self, message: dict[str, Any]) -> None:
        self._answer(message, *await self._control.do(message))
        self._tell_status()


async def _send(send: "Send", message: bytes | str) -> None:
    """Send a message; TimeoutError if the page takes nothing for long."""
    what = {"text": message} if isinstance(message, str) else {"bytes": message}
    async with asyncio.timeout(_PATIENCE):
        await send({"type": "websocket.send", **what})
