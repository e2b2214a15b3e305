"""From the source through the ring onto the disk: accept what was asked for, account for everything."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from beamstream.errors import (
    BeamstreamError,
    GeometryChanged,
    MalformedFrame,
    MalformedMessage,
    RingOverrun,
    SilentSource,
    SinkError,
)
from beamstream.frame_times import FirstFrame, FrameTimes
from beamstream.frames import Frame, Geometry
from beamstream.ledger import Ledger, OnLoss, Place
from beamstream.losses import Losses
from beamstream.recording_writer import RecordingWriter
from beamstream.ring import Ring
from beamstream.sinks.base import Sink, Undecoded
from beamstream.window import Window

logger = logging.getLogger(__name__)

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

    Attributes
    ----------
    ledger : Ledger
    error : Exception or None
        Why no more frames are recorded.

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
        self._window: Window | None = None
        self._last_accepted: int | None = None  # ring index
        self._times = FrameTimes()
        self._losses = Losses(name, self.ledger, self._times, on_loss)
        self._malformed: tuple[float, BeamstreamError] | None = None  # the last that came, s of time.monotonic
        ring.prepare(geometry)
        sink.ring = ring.token
        self._writer = RecordingWriter(
            f"{name}-recorder",
            ring,
            sink,
            self.ledger,
            self._lock,
            complete=self._complete,
            poll=self._poll,
            failed=self._end,
            undecoded=self._leave_out,
        )
        self._writer.start()

    # what the device asks for

    def arm(self, window: Window) -> None:
        """Accept frames from now on."""
        with self._lock:
            if self.error is not None:
                raise self.error
            self._open(window, window.discard)
            if not window.discard:
                self.ledger.trigger_rule = "started"
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

    def drain(self, patience: float) -> bool:
        """Wait until everything accepted is written, as long as the disk makes progress.

        Also returns when the disk has failed: what it did not take is counted as lost, and `error` is set.

        Parameters
        ----------
        patience : float
            Longest time, s, without a single frame written. Give it several seconds: a batch of frames takes the
            disk up to one, and progress is known after each batch.

        Returns
        -------
        bool
            False when no frame was written for `patience` seconds.
        """
        if not self._writer.drain(patience):
            return False
        with self._lock:
            return self._lock.wait_for(lambda: not self._is_settling(), patience)

    def sync(self) -> None:
        """Return when the disk has everything that is written; what it cannot keep is lost, and `error` is set."""
        self._writer.sync()

    @property
    def waiting(self) -> int:
        """Frames that were accepted and are not on disk yet."""
        return self._writer.pending

    def abandon(self, reason: str, *, everything: bool = False) -> None:
        """Count as lost what waits for the disk, and fail if that is anything.

        Parameters
        ----------
        reason : str
            Why it is not waited for any longer, for the error.
        everything : bool
            Also the batch that the disk is at; otherwise `drain` still waits for that one.
        """
        if lost := self._writer.abandon(everything=everything):
            self.fail(SinkError(f"{self.name}: {reason}; {lost} accepted frames are not written; look at the disk"))

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until the ring takes another frame; False if that takes longer than `timeout` seconds.

        For a source that can wait, as a film can; returns at once after an error.
        """
        with self._lock:
            return self._lock.wait_for(lambda: self.error is not None or not self._ring.full, timeout)

    def pause(self) -> None:
        """Let frames pass until `resume`; the deadline stands still."""
        with self._lock:
            if self._window is not None:
                self._window.open = False

    def resume(self, discard: int = 0) -> None:
        """Accept again; `discard` as of a `Window`."""
        with self._lock:
            if self._window is not None:
                self._open(self._window, discard)

    def fail(self, error: Exception) -> None:
        """End the window with an error; frames accepted before it are still written."""
        with self._lock:
            finish = self._end(error)
        finish()

    def close(self) -> None:
        """Write what was accepted, close the sink, end the thread. Calling it again does no harm.

        Raises
        ------
        SinkError
            The disk stood still for a minute.
        """
        with self._lock:
            self._window = None
        if stuck := self._writer.close(_DRAIN):
            raise SinkError(
                f"{self.name}: the disk took no frame for {_DRAIN:g} s, {stuck} accepted frames are not written; "
                "look at the disk"
            )

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

    def _open(self, window: Window, discard: int) -> None:
        window.first = FirstFrame(discard) if discard > 0 else None
        window.last_frame = time.monotonic()
        window.open = True

    def _end(self, error: Exception) -> Callable[[], None]:
        """Accept no more, with the lock held; return what to call without it."""
        if self.error is None:
            self.error = error
        window, self._window = self._window, None
        self._lock.notify_all()
        return (lambda: None) if window is None else (lambda: window.done(error))

    # called by the source, in its thread

    def frame(self, frame: Frame, missing: int | None) -> None:
        """Put a frame in the ring, and accept it if it was asked for."""
        ledger, losses, unique_id = self.ledger, self._losses, frame.unique_id
        self._times.add((unique_id, frame.stamped, frame.received))
        window = None if self._window is None else self._accepting()
        error = None
        if missing == 0 and unique_id > losses.newest:
            losses.newest = unique_id
        else:
            error = losses.before(window, self._window, unique_id, missing)
        try:
            if frame.geometry is not self.geometry and frame.geometry != self.geometry:
                error = self._refuse(window, frame) or error
            else:
                index = self._ring.put(frame)
                if window is None:
                    ledger.discarded += 1
                else:
                    self._accept(window, index, frame)
        except Exception as e:
            error = self._drop(window, unique_id, e) or error
        ledger.received += 1  # last, beside its column: an account that is read meanwhile adds up
        if error is not None:
            self.fail(error)

    def repeated(self) -> None:
        """Count an update that brought nothing new."""
        self.ledger.received += 1
        self.ledger.repeated += 1

    def malformed(self, error: BeamstreamError) -> None:
        """Count an update that is no frame, and log the first."""
        self._losses.malformed += 1
        self._malformed = time.monotonic(), error
        self._count_malformed(error)

    def _count_malformed(self, error: BeamstreamError) -> None:
        self.ledger.malformed += 1
        if self.ledger.malformed == 1 and not isinstance(error, MalformedMessage):  # its source names each kind
            logger.warning("%s: %s", self.name, error)
        if self._on_loss == "fail" and not self._complete():
            self.fail(error)

    def connection(self, up: bool) -> None:
        """Note that the server went away or came back: what was lost meanwhile is not known."""
        if up or self._complete():
            return
        error = self._losses.doubt(f"the server went away after unique_id {self._losses.last_id}")
        if error is not None:
            self.fail(error)

    def failed(self, error: Exception) -> None:
        """End the run with an error of our own."""
        self.fail(error)

    def _accepting(self) -> Window | None:
        """Return the window if it takes the frame that has just come."""
        with self._lock:
            window = self._window
            if window is None or not window.open:
                return None
            window.last_frame = time.monotonic()
            if window.first is not None:
                there, self.ledger.trigger_rule = window.first.is_there(self._times), window.first.rule
                if not there:
                    return None
                window.first = None
            return window if window.number is None or window.number > window.accepted else None

    def _accept(self, window: Window, index: int, frame: Frame) -> None:
        with self._lock:
            window.accepted += 1
            self._last_accepted = index
            self._writer.put(index, frame.unique_id, frame.attributes)

    def _refuse(self, window: Window | None, frame: Frame) -> GeometryChanged | None:
        """Account for a frame of another geometry; return why the run fails, if it was asked for."""
        if window is None:
            self.ledger.discarded += 1
            return None
        self.ledger.lose(frame.unique_id - 1, 1, Place.GEOMETRY)
        return GeometryChanged(
            f"{self.name}: the run began with {self.geometry}, frame {frame.unique_id} is {frame.geometry}; "
            f"{self.ledger.recorded} frames are recorded; start a new run"
        )

    def _drop(self, window: Window | None, unique_id: int, error: Exception) -> Exception | None:
        """Account for a frame that the ring did not take; return why the run fails, if it does."""
        if window is None:
            self.ledger.discarded += 1
        elif not isinstance(error, MalformedFrame):
            self.ledger.lose(unique_id - 1, 1, Place.RING)
            return error
        else:
            window.lost += 1
            loss = self._losses.miss(unique_id - 1, 1, Place.RING)
            if loss is not None:
                self.fail(loss)
        if isinstance(error, MalformedFrame):
            self._count_malformed(error)
        return None

    # in the writer's thread

    def _complete(self) -> bool:
        """Whether no more frames are to be accepted for now."""
        window = self._window
        return window is None or not window.open or (window.number is not None and window.number <= window.accepted)

    def _poll(self) -> float:
        """Look whether the window is done or its detector silent; return when to look again, s."""
        if not self._writer.pending:
            self._writer.check()
        window = self._window
        if window is None:
            return 1.0
        if not self._writer.pending:
            self._watch(window)
        self._settle(window)
        return window.last_frame + window.patience - time.monotonic()

    def _is_settling(self) -> bool:
        """Whether the window has all that it wants, and it is not known yet whether the disk keeps it."""
        wanted = None if self._window is None else self._window.wanted
        return wanted is not None and wanted <= 0

    def _settle(self, window: Window) -> None:
        """Report the window as done once the disk has all of it."""
        with self._lock:
            if window is not self._window or self._writer.pending or not self._is_settling():
                return
        if window.number != 1:  # a point of a step scan would wait for it; the run's end does
            self._writer.sync()
        with self._lock:
            if window is not self._window:
                return
            self._window = None
            self._lock.notify_all()
        window.done(None)

    def _leave_out(self, undecoded: Sequence[Undecoded]) -> None:
        """Account for frames that do not decode, in place of which others are waited for."""
        for frame in undecoded:
            with self._lock:
                self.ledger.lose(frame.unique_id - 1, 1, Place.CODEC)
                if self._window is not None:
                    self._window.accepted -= 1
                    self._window.lost += 1
            self._count_malformed(frame.error)

    def _watch(self, window: Window) -> None:
        """End or fail a window whose detector has been silent for too long."""
        silent = time.monotonic() - window.last_frame
        if not window.open or silent < window.patience or window.wanted == 0 or window is not self._window:
            return
        if window.over() or (silent >= window.deadline and window.all_counted):
            self._end_without(window)
        elif silent >= window.deadline:
            self.fail(self._silence(window, silent))

    def _silence(self, window: Window, silent: float) -> SilentSource:
        total = "" if window.number is None else f" of {window.number}"
        last = self._malformed
        if last is not None and last[0] > window.last_frame:
            what = f"no valid frame for {silent:.1f} s"
            why = f"what comes instead contradicts itself: {last[1]}"
        else:
            what = f"no frame for {silent:.1f} s"
            why = "is the camera acquiring, does its server answer?"
        return SilentSource(
            f"{self.name}: {what} (deadline {window.deadline:g} s); {window.accepted}{total} recorded; {why}"
        )

    def _end_without(self, window: Window) -> None:
        """Wait no longer for what the detector made and was never received."""
        with self._lock:
            never = max(0, (window.wanted or 0) - window.lost)
            window.number = window.accepted
        if never:
            error = self._losses.miss(self._losses.last_id, never, Place.END)
            if error is not None:
                self.fail(error)
