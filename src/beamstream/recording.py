"""From the source through the ring onto the disk: accept what was asked for, account for everything."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from beamstream.errors import (
    BeamstreamError,
    FrameLoss,
    GeometryChanged,
    MalformedFrame,
    MalformedMessage,
    RingOverrun,
    SilentSource,
    SinkError,
)
from beamstream.frames import Frame, Geometry
from beamstream.ledger import Ledger, OnLoss, Place
from beamstream.ring import Ring
from beamstream.sinks.base import Sink
from beamstream.window import Window

logger = logging.getLogger(__name__)

_MOST_IN_A_BATCH = 256
_WORTH_A_TRIP = 8 * 2**20  # bytes: writing less costs as much CPU time
_COLLECT = 0.05  # s that a frame waits for others at most
_DRAIN = 60.0  # s without a single frame written, then closing gives up
T = TypeVar("T")


class Recording:
    """Keep the frames of one run: a `beamstream.sources.base.Listener` in front, a `Sink` behind.

    Frames come in the source's thread, which copies them into the ring and never waits. A thread of its own
    takes them from there to the sink. `arm` opens a window of frames; what arrives outside is put in the ring for
    viewers and counted as discarded.

    Parameters
    ----------
    name : str
        The detector's, for errors and thread names.
    ring : Ring
    sink : Sink
        Opened here, closed by `close`.
    geometry : Geometry
        Of every frame of the run.
    on_loss : {"mark", "fail"}
        Whether a missing frame fails the run or is only marked in the ledger, with a warning.

    Raises
    ------
    SinkError, RingError
        There is no place to record to.
    """

    def __init__(self, name: str, ring: Ring, sink: Sink, geometry: Geometry, *, on_loss: OnLoss = "mark") -> None:
        self.name = name
        self.ledger = Ledger(name)
        self.geometry = geometry
        self.error: Exception | None = None
        self._ring = ring
        self._on_loss = on_loss
        self._lock = threading.Condition()
        self._pending: deque[tuple[int, int]] = deque()  # (ring index, unique_id), oldest first
        self._window: Window | None = None
        self._last_id: int | None = None
        self._last_accepted: int | None = None  # ring index
        self._closing = False
        ring.prepare(geometry)
        worth = _WORTH_A_TRIP // max(1, geometry.nbytes)
        self._enough = max(1, min(worth, _MOST_IN_A_BATCH, ring.statistics().capacity // 8))
        sink.ring = ring.token
        self._sink = sink.__enter__()
        self._writer = threading.Thread(target=self._write_until_closed, name=f"{name}-recorder", daemon=True)
        self._writer.start()

    # what the device asks for

    def arm(self, window: Window) -> None:
        """Accept frames from now on."""
        with self._lock:
            if self.error is not None:
                raise self.error
            window.heard = time.monotonic()
            self._window = window
            self._lock.notify_all()

    def finish(self) -> None:
        """Accept no more; the window is done when what was accepted is on disk."""
        with self._lock:
            window = self._window
            if window is None:
                return
            window.number, window.exact = window.accepted, False
            self._lock.notify_all()
        self._settle(window)

    def drain(self, timeout: float) -> bool:
        """Wait until everything accepted is on disk; False if that takes longer than `timeout` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._pending, timeout)

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until the ring takes another frame; False if that takes longer than `timeout` seconds.

        For a source that can wait, as a film can; after an error nobody has to.
        """
        with self._lock:
            return self._lock.wait_for(lambda: self.error is not None or not self._ring.full, timeout)

    def pause(self) -> None:
        """Let frames pass until `resume`; the deadline stands still."""
        with self._lock:
            if self._window is not None:
                self._window.open = False

    def resume(self, discard: int = 0) -> None:
        """Accept again, after `discard` frames."""
        with self._lock:
            if self._window is not None:
                self._window.open, self._window.discard = True, discard
                self._window.heard = time.monotonic()

    def fail(self, error: Exception) -> None:
        """End the window with an error; frames accepted before it are still written."""
        with self._lock:
            if self.error is None:
                self.error = error
            window, self._window = self._window, None
            self._lock.notify_all()
        if window is not None:
            window.done(error)

    def close(self) -> None:
        """Write what was accepted, close the sink, end the thread. Calling it again does no harm.

        Raises
        ------
        SinkError
            The disk stood still for a minute.
        """
        with self._lock:
            self._window = None
            self._closing = True
            self._lock.notify_all()
            before = -1
            while self._pending and before != self.ledger.recorded:
                before = self.ledger.recorded
                self._lock.wait_for(lambda: not self._pending, _DRAIN)
            stuck = len(self._pending)
        if stuck:
            raise SinkError(
                f"{self.name}: the disk took no frame for {_DRAIN:g} s, {stuck} accepted frames are not written; "
                "look at the disk"
            )
        self._writer.join()
        self._sink.__exit__(None, None, None)

    def from_last(self, compute: Callable[[Frame], T]) -> T | None:
        """Return what a function makes of the frame accepted last, in the caller's thread.

        The function gets a view into the ring, and must not keep it.

        Returns
        -------
        T or None
            None if there is no such frame yet, or if newer ones have overwritten it.
        """
        index = self._last_accepted
        try:
            return None if index is None else self._ring.read(index, compute)
        except RingOverrun:
            return None

    # what the source tells, in its thread

    def frame(self, frame: Frame, missing: int | None) -> None:
        """Put a frame in the ring, and accept it if it was asked for."""
        self.ledger.received += 1
        if frame.geometry != self.geometry:
            self._refuse(frame)
            return
        window = self._accepting()
        try:
            index = self._ring.put(frame)
        except RingOverrun as e:
            self.ledger.lose(frame.unique_id - 1, 1, Place.RING)
            self.fail(e)
            return
        except MalformedFrame as e:
            self._drop(window, frame.unique_id, missing or 0, e)
            return
        if window is None:
            self.ledger.discarded += 1
        else:
            self._accept(window, index, frame.unique_id, missing)
        self._last_id = frame.unique_id

    def repeated(self) -> None:
        """Count an update that brought nothing new."""
        self.ledger.repeated += 1

    def malformed(self, error: BeamstreamError) -> None:
        """Count an update that is no frame, and say it once."""
        self.ledger.malformed += 1
        if self.ledger.malformed == 1 and not isinstance(error, MalformedMessage):  # its source names each kind
            logger.warning("%s: %s", self.name, error)
        if self._on_loss == "fail" and self._window is not None:
            self.fail(error)

    def connection(self, up: bool) -> None:
        """Hear that the server went away or came back: nobody knows what was lost meanwhile."""
        if up or self._window is None:
            return
        self._doubt(f"the server went away after unique_id {self._last_id}")

    def failed(self, error: Exception) -> None:
        """End the run with an error of our own."""
        self.fail(error)

    def _refuse(self, frame: Frame) -> None:
        if self._window is None:
            self.ledger.discarded += 1
            return
        self.ledger.lose(frame.unique_id - 1, 1, Place.GEOMETRY)
        self.fail(
            GeometryChanged(
                f"{self.name}: the run began with {self.geometry}, frame {frame.unique_id} is {frame.geometry}; "
                f"{self.ledger.recorded} frames are recorded; start a new run"
            )
        )

    def _accepting(self) -> Window | None:
        """Return the window if it takes the frame that has just come."""
        with self._lock:
            window = self._window
            if window is None or not window.open:
                return None
            window.heard = time.monotonic()
            if window.discard > 0:
                window.discard -= 1
                return None
            return window if window.wanted is None or window.wanted > 0 else None

    def _accept(self, window: Window, index: int, unique_id: int, missing: int | None) -> None:
        with self._lock:
            if missing and window.started and not window.accepted:
                missing = 0  # from before the start; one of ours would be missed at the end
            window.accepted += 1
            window.lost += missing or 0
            self._last_accepted = index
            self._pending.append((index, unique_id))
            if len(self._pending) == 1:
                self._ring.guard = index
                self._lock.notify_all()
            elif self._worth_writing():
                self._lock.notify_all()
        if missing is None:
            self._doubt(f"unique_id ran back from {self._last_id} to {unique_id}")
        elif missing:
            self._miss(unique_id - missing - 1, missing, Place.TRANSPORT)

    def _drop(self, window: Window | None, unique_id: int, missing: int, error: MalformedFrame) -> None:
        """Account for a frame that does not fit its own geometry, and for those missing before it."""
        if window is not None:
            with self._lock:
                window.lost += missing + 1
            self._miss(unique_id - missing - 1, missing + 1, Place.RING)
        self._last_id = unique_id
        self.malformed(error)

    def _doubt(self, what: str) -> None:
        self.ledger.restarts += 1
        message = f"{self.name}: {what}, frames may be missing and nobody can tell how many"
        if self._on_loss == "fail":
            self.fail(FrameLoss(f"{message}; start a new run"))
        else:
            logger.warning("%s; the run is marked", message)

    def _miss(self, after: int, missing: int, place: Place) -> None:
        self.ledger.lose(after, missing, place)
        message = f"{self.name}: {missing} frames lost after unique_id {after} ({place})"
        if self._on_loss == "fail":
            self.fail(FrameLoss(f"{message}, {self.ledger.recorded} recorded; on_loss is 'fail': start a new run"))
        else:
            logger.warning("%s; the run is marked", message)

    # the recorder's thread

    def _write_until_closed(self) -> None:
        while True:
            with self._lock:
                batch = self._next_batch()
                window = self._window
            if batch:
                self._write(batch)
            elif self._closing:
                return
            elif window is not None:
                self._watch(window)
            if window is not None:
                self._settle(window)

    def _next_batch(self) -> list[tuple[int, int]]:
        """Wait for frames, an end, or the moment to look at the clock."""
        if not self._pending and not self._closing:
            window = self._window
            late = window.heard + window.patience - time.monotonic() if window is not None else 1.0
            self._lock.wait(min(max(late, 0.1), 1.0))
        if self._pending and not self._worth_writing():
            self._lock.wait_for(self._worth_writing, _COLLECT)
        return list(islice(self._pending, _MOST_IN_A_BATCH))

    def _worth_writing(self) -> bool:
        """Whether enough frames wait, or no more are to come."""
        window = self._window
        complete = window is None or not window.open or (window.wanted is not None and window.wanted <= 0)
        return complete or self._closing or len(self._pending) >= self._enough

    def _write(self, batch: list[tuple[int, int]]) -> None:
        try:
            frames = [self._ring.frame(index) for index, _ in batch]
            kept = self._sink.write(frames)
        except Exception as e:
            self._give_up(e)
            return
        with self._lock:
            for _ in batch:
                self._pending.popleft()
            self._ring.guard = self._pending[0][0] if self._pending else None
            self.ledger.recorded = kept
            self._lock.notify_all()

    def _give_up(self, error: Exception) -> None:
        """Account for everything that waits for a disk which takes no more."""
        with self._lock:
            lost = len(self._pending)
            first = self._pending[0][1]
            self._pending.clear()
            self._ring.guard = None
            self._window, window = None, self._window
            if self.error is None:
                self.error = error
            self._lock.notify_all()
        self.ledger.lose(first - 1, lost, Place.DISK)
        if window is not None:
            window.done(error)

    def _settle(self, window: Window) -> None:
        """Tell who armed the window once all of it is on disk."""
        with self._lock:
            wanted = window.wanted
            if window is not self._window or self._pending or wanted is None or wanted > 0:
                return
            self._window = None
        window.done(None)

    def _watch(self, window: Window) -> None:
        """Fail a window whose detector has been silent for too long."""
        silent = time.monotonic() - window.heard
        wanted = window.wanted
        if not window.open or silent < window.patience or wanted == 0 or window is not self._window:
            return
        if window.exact and wanted and window.accepted and window.idle is not None and window.idle():
            after = self._last_id if self._last_id is not None else -1
            window.lost += wanted
            self._miss(after, wanted, Place.END)
            return
        if silent < window.deadline:
            return
        total = "" if window.number is None else f" of {window.number}"
        self.fail(
            SilentSource(
                f"{self.name}: no frame for {silent:.1f} s (deadline {window.deadline:g} s); "
                f"{window.accepted}{total} recorded; is the camera acquiring, does its server answer?"
            )
        )
