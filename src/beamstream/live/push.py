"""Spectra pushed to pages over a websocket: each once and in order, as fast as the page takes them.

A page connects to ``/ws?rows=R&interval=S&beam=K``: at most R spectra of history (default all that are kept), and
batches at least S seconds apart (default 0.03).

Server to page, text: one JSON object a message.

``{"is": "scene", "title", "decibel", "rows", "n_beams", "n_channels", "beam", "frequency", "first"}``
    What comes from now on; everything before is to be forgotten. ``frequency`` is a list in MHz or null, ``rows``
    what the server keeps, ``first`` the number of the spectrum that comes next. Sent on connecting, when the
    spectra change their shape, and when the page chose another beam.
``{"is": "status", …}``
    What ``/status`` has; once a second, and when the receiver tells something new.

Server to page, binary, little-endian: a batch of rows.

====== ================= =======================================================================
offset type              what
====== ================= =======================================================================
0      uint8             1
1      uint8             1 if these are history: they were there before the page, or the scene
2      uint16            beam
4      uint32            n, number of rows
8      uint32            m, number of channels
12     uint32            serial, to be acknowledged
16     uint64            number of the first spectrum
24     float64 × n       when each was measured, s since 1970-01-01 UTC
\\      uint32 × n        how many spectra each row is the mean of, 1 if the page keeps up
\\      float32 × n × m   the rows, the oldest first
====== ================= =======================================================================

Page to server, text: ``{"ack": serial}`` for each batch; ``{"interval": S}`` and ``{"beam": K}`` change what was
asked for.

One batch is under way for each page; the next one has all that came meanwhile. Where that is more than 128
spectra, neighbours are combined into their mean so that 128 rows suffice, and rows say of how many; where it is more
than the server keeps, the oldest are skipped, counted, and the number of the first spectrum jumps. So a slow page
never makes a queue grow and never slows another one down. History is sent 256 rows at a time, never combined.
"""

import asyncio
import contextlib
import json
import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from beamstream.live.combining import combined
from beamstream.live.follower import Follower
from beamstream.live.history import History
from beamstream.live.settings import Settings
from beamstream.live.status import Status

if TYPE_CHECKING:
    from starlette.types import Receive, Send

_HEAD = struct.Struct("<BBHIIIQ")
_LIVE_ROWS, _HISTORY_ROWS = 128, 256
_LEAST_INTERVAL, _MOST_INTERVAL = 0.01, 10.0  # s
_STATUS_PERIOD = 1.0  # s
_MOST_PAGES = 256


class Audience:
    """All pages that look on."""

    def __init__(self, follower: Follower, status: Status, settings: Settings) -> None:
        self.follower, self.status, self.settings = follower, status, settings
        self._pages: set[Page] = set()

    def notify(self) -> None:
        """Say that spectra have arrived."""
        for page in self._pages:
            page.notify()

    async def run(self) -> None:
        """Send the status to all, for ever."""
        while True:
            await asyncio.sleep(_STATUS_PERIOD)
            self.tell_status()

    def tell_status(self) -> None:
        """Send the status to all, now."""
        text = self.status_text() if self._pages else ""
        for page in self._pages:
            page.tell(text)

    def status_text(self) -> str:
        """Return the status as a message."""
        document = {"is": "status", **self.status.document()}
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    async def attend(self, query: Mapping[str, str], receive: "Receive", send: "Send") -> None:
        """Serve one page until it goes."""
        await receive()  # websocket.connect
        if len(self._pages) >= _MOST_PAGES:
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        page = Page(self, send, query)
        self._pages.add(page)
        self.status.clients = len(self._pages)
        tasks = {asyncio.create_task(page.run()), asyncio.create_task(_hear(page, receive, send))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pages.discard(page)
            self.status.clients = len(self._pages)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            with contextlib.suppress(OSError):  # the page is gone
                task.result()


async def _hear(page: "Page", receive: "Receive", send: "Send") -> None:
    """Take what a page says, until it goes or talks nonsense."""
    while (message := await receive())["type"] == "websocket.receive":
        if not page.hear(message.get("text") or ""):
            await send({"type": "websocket.close", "code": 1007, "reason": "not a message of this protocol"})
            return


class Page:
    """One page: what it has, what it is to get next, and when."""

    def __init__(self, audience: Audience, send: "Send", query: Mapping[str, str]) -> None:
        self._audience, self._send = audience, send
        self._wake = asyncio.Event()
        self._wake.set()
        self._timer: asyncio.TimerHandle | None = None
        self._texts: list[str] = [audience.status_text()]
        self._history: History | None = None
        self._scene_sent = False
        self._next = self._joined = 0
        self._serial = 0
        self._in_flight = False
        self._due = 0.0
        self._beam = int(_number(query.get("beam"), 0, 0, 65535))
        self._interval = _number(query.get("interval"), 0.03, _LEAST_INTERVAL, _MOST_INTERVAL)
        self._rows = int(_number(query.get("rows"), math.inf, 0, 2**31))

    def notify(self) -> None:
        """Hear that there may be something to send; cheap, does not wait."""
        if self._in_flight or self._timer is not None:
            return
        wait = self._due - asyncio.get_running_loop().time()
        if wait <= 0:
            self._wake.set()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._wake.set()

    def tell(self, text: str) -> None:
        """Leave a status to be sent; an older one that still waits is replaced."""
        self._texts[:] = [text]
        self._wake.set()

    def hear(self, text: str) -> bool:
        """Take a message of the page; False if it is none."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return False
        match message:
            case {"ack": int(serial)}:
                if serial == self._serial:
                    self._in_flight = False
            case {"interval": float() | int() as interval}:
                self._interval = _number(interval, self._interval, _LEAST_INTERVAL, _MOST_INTERVAL)
            case {"beam": int(beam)}:
                self._beam, self._scene_sent = max(0, min(beam, 65535)), False
            case _:
                return False
        self._wake.set()
        return True

    async def run(self) -> None:
        """Send what is to be sent, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._scene()
            while self._texts:
                await self._send({"type": "websocket.send", "text": self._texts.pop()})
            if self._in_flight or self._history is None or self._next >= self._history.count:
                continue
            if loop.time() < self._due:
                self.notify()
                continue
            self._due = loop.time() + (self._interval if self._next >= self._joined else 0.0)
            self._in_flight = True
            await self._send({"type": "websocket.send", "bytes": self._batch(self._history)})

    async def _scene(self) -> None:
        """Say what comes, where that has changed."""
        history = self._audience.follower.history
        if history is self._history and self._scene_sent:
            return
        self._history, self._scene_sent = history, True
        if history is not None:
            self._beam = min(self._beam, history.n_beams - 1)
            self._joined = history.count
            self._next = max(history.start, history.count - self._rows)
        settings = self._audience.settings
        scene = {
            "is": "scene",
            "title": settings.title,
            "decibel": settings.decibel,
            "rows": history.rows if history else 0,
            "n_beams": history.n_beams if history else 0,
            "n_channels": history.n_channels if history else 0,
            "beam": self._beam,
            "frequency": settings.axis(history.n_channels) if history else None,
            "first": self._next,
        }
        await self._send({"type": "websocket.send", "text": orjson.dumps(scene).decode()})

    def _batch(self, history: History) -> bytes:
        """Return the next rows, and count them as sent."""
        if self._next < history.start:
            self._audience.status.skipped += history.start - self._next
            self._next = history.start
        start, old = self._next, self._next < self._joined
        stop = min(self._joined, start + _HISTORY_ROWS) if old else history.count
        values, times = history.values(start, stop, self._beam), history.times(start, stop)
        many = np.ones(len(values), "<u4")
        if not old and len(values) > _LIVE_ROWS:
            values, times, many = combined(values, times, -(-len(values) // _LIVE_ROWS))
        self._next = stop
        self._serial = (self._serial + 1) % 2**32
        head = _HEAD.pack(1, old, self._beam, len(values), history.n_channels, self._serial, start)
        return b"".join((head, times.astype("<f8").data, many.data, values.astype("<f4", copy=False).data))


def _number(given: Any, default: float, least: float, most: float) -> float:
    """Return a number that a page asked for, within bounds."""
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        number = default
    return max(least, min(most, default if math.isnan(number) else number))
