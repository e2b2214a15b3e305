"""From the ring onto the disk: accepted frames are written in their order, in a thread of its own."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from beamstream.errors import BeamstreamError
from beamstream.ledger import Ledger, Place
from beamstream.ring import Ring
from beamstream.sinks.base import Sink, Undecoded

_MOST_IN_A_BATCH = 256
_FIRST_BATCH = 16  # how slow the disk is shows after it
_LONGEST_BATCH = 1.0  # s; of a slow disk, progress is known after each
_WORTH_A_TRIP = 8 * 2**20  # bytes: writing less costs as much CPU time
_COLLECT = 0.05  # s that a frame waits for others at most
_LONGEST_WAIT = 1.0  # s between two calls of `poll`
_Accepted = tuple[int, int, Mapping[str, Any]]  # ring index, unique_id, attributes


class RecordingWriter:
    """Write what is accepted, and account for what the disk does not take.

    Parameters
    ----------
    name : str
        Of the thread.
    ring : Ring
        Prepared for the geometry; its `guard` is set here.
    sink : Sink
        Opened here, closed by `close`.
    ledger : Ledger
        Its `recorded`, and what is lost on disk, are counted here.
    lock : Condition
        The recording's; notified by whoever changes what `complete` and `poll` look at.
    complete : callable
        Whether no more frames are to come for now; called with the lock held.
    poll : callable
        Called in the writer's thread after each batch, and whenever the seconds have passed that it returned.
    failed : callable
        Called with what the sink raised, with the lock held; what it returns is called without it.
    undecoded : callable
        Called with the frames that the sink left out.
    """

    def __init__(
        self,
        name: str,
        ring: Ring,
        sink: Sink,
        ledger: Ledger,
        lock: threading.Condition,
        *,
        complete: Callable[[], bool],
        poll: Callable[[], float],
        failed: Callable[[Exception], Callable[[], None]],
        undecoded: Callable[[Sequence[Undecoded]], None],
    ) -> None:
        self._ring, self._ledger, self._lock = ring, ledger, lock
        self._complete, self._poll, self._failed, self._undecoded = complete, poll, failed, undecoded
        self._pending: deque[_Accepted] = deque()  # oldest first
        self._written = 0
        self._unsynced: deque[tuple[int, int]] = deque()  # (kept, last unique_id) of batches, the first one is synced
        self._before = -1  # unique_id before the first one
        self._at_disk = 0  # frames of the batch that the sink has now
        self._most = _FIRST_BATCH
        self._closing = False
        statistics = ring.statistics()
        nbytes = statistics.geometry.nbytes if statistics.geometry is not None else 1
        worth = _WORTH_A_TRIP // max(1, nbytes)
        self._enough = max(1, min(worth, _MOST_IN_A_BATCH, statistics.capacity // 8))
        self._sink = sink.__enter__()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def pending(self) -> int:
        """Frames that wait for the disk."""
        return len(self._pending)

    def put(self, index: int, unique_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a frame of the ring written, with its attributes; called with the lock held."""
        self._pending.append((index, unique_id, attributes))
        waiting = len(self._pending)
        if waiting == 1:
            self._ring.guard = index
            self._lock.notify_all()
        elif waiting >= self._enough or self._complete():
            self._lock.notify_all()

    def drain(self, patience: float) -> bool:
        """Wait until everything is on disk; False when no frame was written for `patience` seconds."""
        with self._lock:
            written = -1
            while self._pending and written != self._written:
                written = self._written
                self._lock.wait_for(lambda before=written: not self._pending or before != self._written, patience)
            return not self._pending

    def abandon(self, *, everything: bool) -> int:
        """Count as lost what waits, except for the batch that the sink has, or with it; return how many frames."""
        with self._lock:
            return self._give_up(0 if everything else self._at_disk)

    def sync(self) -> None:
        """Return when the disk has what is written; one that cannot keep it fails the recording."""
        self._attempt(self._sink.sync)

    def check(self) -> None:
        """Fail the recording if what is written cannot be kept, as far as that is known; returns at once."""
        self._attempt(self._sink.check)

    def _attempt(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BeamstreamError as error:
            self._fail(error)

    def close(self, patience: float) -> int:
        """Write what waits, close the sink, end the thread; return how many frames the disk never took.

        Where it took none for `patience` seconds, they are counted as lost, and the thread is left to the disk.
        """
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if not self.drain(patience):
            return self._give_up()
        self._thread.join(patience)
        if not self._thread.is_alive():  # else it was abandoned in the middle of a write
            self._sink.__exit__(None, None, None)
        return 0

    def _run(self) -> None:
        pause = _LONGEST_WAIT
        while True:
            with self._lock:
                batch = self._next_batch(pause)
            if batch:
                self._write(batch)
            elif self._closing:
                return
            pause = self._poll()

    def _next_batch(self, pause: float) -> list[_Accepted]:
        """Wait for frames, an end, or the moment to poll."""
        if not self._pending and not self._closing:
            self._lock.wait(min(max(pause, 0.1), _LONGEST_WAIT))
        if self._pending and not self._worth_writing():
            self._lock.wait_for(self._worth_writing, _COLLECT)
        batch = list(islice(self._pending, self._most))
        self._at_disk = len(batch)
        return batch

    def _worth_writing(self) -> bool:
        """Whether enough frames wait, or no more are to come."""
        return len(self._pending) >= self._enough or self._closing or self._complete()

    def _write(self, batch: list[_Accepted]) -> None:
        began = time.monotonic()
        try:
            kept = self._sink.write([self._ring.frame(index, attributes) for index, _, attributes in batch])
        except Exception as e:
            self._fail(e)
            return
        self._undecoded(self._sink.undecoded)
        most = len(batch) * _LONGEST_BATCH / max(time.monotonic() - began, 1e-9)
        self._most = max(1, min(int(most), _MOST_IN_A_BATCH))
        with self._lock:
            if self._pending:  # otherwise given up meanwhile, and counted as lost
                for _ in batch:
                    self._pending.popleft()
                self._written += len(batch)
                self._ledger.recorded = kept
                self._note_unsynced(kept, batch)
            self._ring.guard = self._pending[0][0] if self._pending else None
            self._lock.notify_all()

    def _note_unsynced(self, kept: int, batch: Sequence[_Accepted]) -> None:
        if not self._unsynced:
            self._before = batch[0][1] - 1
        self._unsynced.append((kept, batch[-1][1]))
        while len(self._unsynced) > 1 and self._unsynced[1][0] <= self._sink.safe:
            self._unsynced.popleft()

    def _fail(self, error: Exception) -> None:
        """Account for what waits, and for what the disk took and cannot keep."""
        with contextlib.suppress(BeamstreamError):
            self._sink.sync()
        with self._lock:
            safe = self._sink.safe
            unsafe, self._ledger.recorded = self._ledger.recorded - safe, safe
            if unsafe:
                last = next((last for kept, last in reversed(self._unsynced) if kept <= safe), self._before)
                self._ledger.lose(last, unsafe, Place.DISK)
            self._give_up()
            self._ring.guard = None
            finish = self._failed(error)
        finish()

    def _give_up(self, spared: int = 0) -> int:
        """Count what waits behind the first `spared` frames as lost on disk; return how many frames these are."""
        with self._lock:
            lost = max(0, len(self._pending) - spared)
            if lost:
                self._ledger.lose(self._pending[spared][1] - 1, lost, Place.DISK)
            for _ in range(lost):
                self._pending.pop()
            self._lock.notify_all()
        return lost
