"""The thread that looks at one stream of images for all pages that show it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from beamstream.errors import BeamstreamError, RingOverrun
from beamstream.frames import Frame
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_newest import Newest
from beamstream.live.image_seat import Seat
from beamstream.live.image_treating import Treating
from beamstream.readers import RingView, copied
from beamstream.watching.follow import Follow
from beamstream.watching.streams import StreamSpec

_log = logging.getLogger(__name__)

_POLL = 0.002  # s; how late a frame may be noticed
_IDLE = 0.25  # s between two looks while no page can take a frame
_LOOK = 0.5  # s between two looks at how the stream goes
_CHECK = 0.05  # s between two looks at what time alone brings
_REST = 15.0  # s for which the stream is looked at after somebody wanted to know
_END = 3.0  # s that the thread has to end
_MOST_KEPT = 256 * 2**20  # bytes of frames that paused pages show


class Feed:
    """Take the newest frame of a stream whenever a page can have one, and make the pages' pictures of it.

    One thread follows the ring and does all work on pixels, mostly without the GIL. It never waits for a page, and
    pages that wish the same share what is made. Nothing is done while nobody looks on. Methods are for the thread of
    the event loop.

    Parameters
    ----------
    name : str
        Of the stream, and of its ring.
    about : dict
        The section of the configuration; ``{}`` if there is none.
    settings : HubSettings

    Attributes
    ----------
    status : dict
        How the stream goes, see `Follow.status`; replaced twice a second.
    newest : Newest or None
        The last frame that a page wanted.
    trouble : str
        Why frames cannot be shown.
    """

    def __init__(self, name: str, about: dict[str, Any], settings: HubSettings) -> None:
        self.name, self.spec = name, StreamSpec(name, about)
        self.newest: Newest | None = None
        self.status: dict[str, Any] = {"connected": False, "words": f"{name}: looking for it"}
        self.trouble = ""
        self._treating = Treating(name, settings)
        self._seats: tuple[Seat, ...] = ()
        self._active: list[Seat] = []  # those who have a window
        self._asked: list[Callable[[Newest], None]] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._wanted = time.monotonic()
        self._looked = self._checked = 0.0
        self._epoch = 0
        self._known: object = None
        self._taken: object = None

    @property
    def clients(self) -> int:
        """How many pages look on."""
        return len(self._seats)

    def join(self, seat: Seat) -> None:
        """Let a page look on."""
        self._seats = (*self._seats, seat)
        if self.newest is not None:
            seat.meet(self.newest)
        self.wake()

    def leave(self, seat: Seat) -> None:
        """Let a page go."""
        self._seats = tuple(other for other in self._seats if other is not seat)
        self.wake()

    def wake(self) -> None:
        """Say that somebody wants something; cheap."""
        self._wanted = time.monotonic()
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=f"feed-{self.name}", daemon=True)
            self._thread.start()
        self._wake.set()

    def ask(self, answer: Callable[[Newest], None]) -> None:
        """Have the newest frame given to a function, in the feed's thread, as soon as there is one."""
        self._asked.append(answer)
        self.wake()

    def drop(self, answer: Callable[[Newest], None]) -> None:
        """Take that back."""
        with contextlib.suppress(ValueError):
            self._asked.remove(answer)

    def kept(self, index: int) -> Newest | None:
        """Return a frame that a paused page shows."""
        frames = [seat.kept for seat in self._seats]
        return next((frame for frame in frames if frame is not None and frame.index == index), None)

    def look_again(self) -> None:
        """Use references that were kept meanwhile."""
        self._treating.look_again()

    def close(self) -> None:
        """End the thread, and what it fetched."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_END)

    def _run(self) -> None:
        follow = Follow(self.spec)
        try:
            while not self._closed:
                woken = self._wake.is_set()
                self._wake.clear()
                try:
                    rest = self._turn(follow, woken)
                except Exception as error:
                    self.trouble, rest = f"{self.name}: {error}", _IDLE
                    _log.exception("%s: no picture could be made", self.name)
                self._wake.wait(rest)
        finally:
            follow.close()

    def _turn(self, follow: Follow, woken: bool) -> float | None:
        """Do what there is to do; return for how long there is nothing, s."""
        now = time.monotonic()
        if now - self._looked > _LOOK:
            self._looked = now
            self._look(follow)
        if woken:
            self._active = [seat for seat in self._seats if seat.wish.view is not None]
        due = [seat for seat in self._active if seat.due(now)]
        if due or self._asked:
            self._take(follow)
            self._answer()
        all_of_them = woken or now - self._checked > _CHECK
        if all_of_them:
            self._checked = now
        for seat in self._active if all_of_them else due:
            seat.serve(self.newest, now)
        if woken:
            self._give_up()
        if not self._seats and now - self._wanted > _REST:
            return None
        return _POLL if self._asked or any(seat.live for seat in self._active) else _IDLE

    def _look(self, follow: Follow) -> None:
        """Say how the stream goes; while nobody looks on, what was fetched for that ends."""
        follow.poll(wanted=bool(self._seats))
        self.status = follow.status
        if self._seats and self.newest is None:
            self._take(follow)

    def _take(self, follow: Follow) -> None:
        """Copy the newest frame, if there is one that we do not have."""
        ring = follow.poll()
        if ring is None:
            return
        start, stop = ring.bounds()
        if start == stop or (ring, stop) == self._taken:
            return
        with contextlib.suppress(RingOverrun):  # overwritten this moment: there is a newer one
            frame = ring.read(stop - 1, copied)
            self._taken = ring, stop
            self._keep(frame, stop - 1, ring)

    def _keep(self, frame: Frame, index: int, ring: RingView) -> None:
        known = frame.geometry, ring  # another writer counts anew
        fresh = known != self._known
        if fresh:
            self._known, self._epoch = known, self._epoch + 1
        if self.newest is not None:
            self.newest.forget()
        try:
            self.newest = Newest(frame, index, self._epoch, self._treating.apply)
            self.trouble = ""
        except (BeamstreamError, ValueError) as error:
            self.newest, self.trouble = None, f"{self.name}: {error}"
            return
        if fresh:
            for seat in self._seats:
                seat.meet(self.newest)

    def _answer(self) -> None:
        """Give the newest frame to those who asked for it."""
        if self.newest is not None:
            while self._asked:
                self._asked.pop(0)(self.newest)

    def _give_up(self) -> None:
        """Let go of the oldest frames of paused pages, where they take too much memory."""
        kept = {seat.kept for seat in self._active if seat.kept is not None}
        size = 0
        for frame in sorted(kept, key=lambda frame: frame.frame.received, reverse=True):
            size += frame.nbytes
            if size > _MOST_KEPT:
                for seat in self._active:
                    seat.give_up(frame)
