"""The last frames of one source, in shared memory, by index: one writer that never waits, many readers."""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

from beamstream.errors import RingError, RingOverrun
from beamstream.frames import Frame, Geometry
from beamstream.segment import SHM, Segment, slot_bytes, sweep

PREFIX = f"beamstream-{os.getuid()}-"
_MOST_SLOTS = 4096
_LEAST_SLOTS = 4
_POLL = 0.002  # s; how late a reader in another process may notice a frame
_serial = count()
_open: "weakref.WeakSet[Ring]" = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """What a ring holds at one instant; indices as in ``range(start, stop)``."""

    name: str
    geometry: Geometry | None
    capacity: int
    start: int
    stop: int
    epoch: int
    attributes_dropped: int


class FrameStore(Protocol):
    """Where readers get frames from: the ring itself or a view of it in another process."""

    name: str

    def bounds(self) -> tuple[int, int]:
        """Return the indices held, as (start, stop)."""
        ...

    def frame(self, index: int) -> Frame:
        """Return one frame as a view."""
        ...

    def holds(self, index: int) -> bool:
        """Return whether a frame is still untouched."""
        ...

    def wait(self, index: int, timeout: float) -> bool:
        """Wait until frame `index` is there; False after `timeout` seconds."""
        ...


def _bounds(segment: Segment | None) -> tuple[int, int]:
    if segment is None:
        return 0, 0
    stop = segment.next_index
    return max(segment.first, stop - segment.capacity), stop


def frames(store: FrameStore, start: int, stop: int) -> list[Frame]:
    """Return the frames ``start:stop`` as views into the ring, oldest first.

    Raises
    ------
    RingOverrun
        Some of them are overwritten or not there yet; the message tells what the ring holds.
    """
    try:
        return [store.frame(i) for i in range(start, stop)]
    except RingOverrun:
        low, high = store.bounds()
        raise RingOverrun(
            f"{store.name}: frames {start}:{stop} asked for, the ring holds {low}:{high} (capacity {high - low}); "
            "raise the ring memory or make the reader faster"
        ) from None


class Ring:
    """The writer's end of a ring, to be closed by whoever made it.

    Parameters
    ----------
    name : str
        Under which other processes find it; letters, digits, ``_`` and ``-``.
    memory : int
        Room for pixels, bytes. The number of slots follows from it, 4 to 4096.
    source : str
        Copied into the frames that readers get.
    """

    def __init__(self, name: str, *, memory: int = 512 * 2**20, source: str = "") -> None:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"ring: name {name!r} given; use letters, digits, - and _")
        self.name = name
        self._memory = memory
        self._source = source
        self._segment: Segment | None = None
        self._previous: Segment | None = None
        self._next = 0
        self._epoch = -1
        self._grew = threading.Condition()
        self.guard: int | None = None
        """Oldest index that must not be overwritten; `put` fails instead. The recorder's."""
        sweep(PREFIX)
        _open.add(self)

    def prepare(self, geometry: Geometry) -> None:
        """Open an epoch for this geometry: reserve and touch its memory. Nothing happens if it is open already.

        Raises
        ------
        RingError
            The shared memory is too small.
        """
        if self._segment is not None and self._segment.geometry == geometry:
            return
        capacity = max(_LEAST_SLOTS, min(_MOST_SLOTS, self._memory // slot_bytes(geometry)))
        path = SHM / f"{PREFIX}{self.name}.{os.getpid()}-{next(_serial)}"
        fresh = Segment.create(path, geometry, capacity, self._next, self._source)
        if self._segment is not None:
            self._segment.end()
        self._previous, self._segment = self._segment, fresh
        self._epoch += 1

    def put(self, frame: Frame) -> int:
        """Copy a frame in and return its index; never waits. Called from one thread.

        Raises
        ------
        RingOverrun
            The slot is still needed by the recorder (`guard`); the frame was not taken.
        MalformedFrame
            The payload does not fit its own geometry.
        """
        self.prepare(frame.geometry)
        assert self._segment is not None
        index, guard = self._next, self.guard
        if guard is not None and index - max(guard, self._segment.first) >= self._segment.capacity:
            raise RingOverrun(
                f"{self.name}: the ring is full, {self._segment.capacity} frames wait for the recorder; "
                "the disk is too slow for this rate: raise ring_memory_mb, or lower the frame rate"
            )
        self._segment.put(index, frame)
        self._next = index + 1
        with self._grew:
            self._grew.notify_all()
        return index

    def bounds(self) -> tuple[int, int]:
        """Return the indices held of the present epoch, as (start, stop)."""
        return _bounds(self._segment)

    def _of(self, index: int) -> Segment:
        for segment in (self._segment, self._previous):
            if segment is not None and index >= segment.first:
                return segment
        raise RingOverrun(f"frame {index} is not in the ring")

    def frame(self, index: int) -> Frame:
        """Return one frame as a view; `holds` tells afterwards whether it was still whole."""
        return self._of(index).frame(index)

    def holds(self, index: int) -> bool:
        """Return whether a frame is still untouched."""
        return self._of(index).holds(index)

    def wait(self, index: int, timeout: float) -> bool:
        """Wait until frame `index` is there; False after `timeout` seconds."""
        with self._grew:
            return self._grew.wait_for(lambda: self._next > index, timeout)

    def statistics(self) -> RingStatistics:
        """Return what the ring holds now."""
        s = self._segment
        start, stop = self.bounds()
        return RingStatistics(
            self.name,
            s.geometry if s else None,
            s.capacity if s else 0,
            start,
            stop,
            self._epoch,
            s.attributes_dropped if s else 0,
        )

    def close(self) -> None:
        """Give the name and the memory back; views that somebody holds stay valid."""
        if self._segment is not None:
            self._segment.end()
        self._segment = self._previous = None


class RingView:
    """A ring of another process, followed through its epochs by name.

    Parameters
    ----------
    name : str
        As given to `Ring`; of several living rings of that name the youngest is taken.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._segment = self._find()

    def _find(self) -> Segment:
        paths = sorted(SHM.glob(f"{PREFIX}{self.name}.*"), key=lambda p: p.stat().st_mtime_ns)
        if not paths:
            raise RingError(f"{self.name}: no ring of this name; is its device staged or watched?")
        return Segment.attach(paths[-1])

    def refresh(self) -> bool:
        """Follow the writer into its next epoch; False while there is none."""
        if self._segment.closed:
            try:
                self._segment = self._find()
            except RingError:
                return False
        return not self._segment.closed

    def bounds(self) -> tuple[int, int]:
        """Return the indices held of the present epoch, as (start, stop)."""
        return _bounds(self._segment)

    def frame(self, index: int) -> Frame:
        """Return one frame as a view."""
        return self._segment.frame(index)

    def holds(self, index: int) -> bool:
        """Return whether a frame is still untouched."""
        return self._segment.holds(index)

    def wait(self, index: int, timeout: float) -> bool:
        """Wait until frame `index` is there; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._segment.next_index <= index:
            if time.monotonic() > deadline:
                return False
            self.refresh()
            time.sleep(_POLL)
        return True

    def close(self) -> None:
        """Let go of the memory."""
        self._segment.detach()


def every(store: FrameStore, start: int | None = None, *, timeout: float, most: int = 64) -> Iterator[list[Frame]]:
    """Yield every frame from `start` on, in order, in batches of views; end after `timeout` seconds without one.

    Raises
    ------
    RingOverrun
        The reader fell behind by more than the ring holds, also while it worked on the last batch.
    """
    index = store.bounds()[1] if start is None else start
    while store.wait(index, timeout):
        batch = frames(store, index, min(index + most, store.bounds()[1]))
        yield batch
        if not store.holds(index):
            frames(store, index, index + 1)  # raises, with the numbers
        index += len(batch)


class Latest:
    """Read the newest frame whenever there is time for one; older ones are skipped and counted.

    Parameters
    ----------
    store : Ring or RingView
    """

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._next = store.bounds()[1]
        self.skipped = 0

    def read(self, timeout: float) -> Frame | None:
        """Return a copy of the newest frame that was not returned yet, or None after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._store.wait(self._next, max(0.0, deadline - time.monotonic())):
            start, stop = self._store.bounds()
            if start == stop:  # a new epoch, nothing in it yet
                self._next = stop
                continue
            index = stop - 1
            copy = self._copy(index)
            if copy is not None:
                self.skipped += index - self._next
                self._next = index + 1
                return copy
        return None

    def _copy(self, index: int) -> Frame | None:
        """Return a copy, None if the writer came in between."""
        try:
            frame = self._store.frame(index)
            copy = replace(frame, payload=frame.payload.copy())
            return copy if self._store.holds(index) else None
        except RingOverrun:
            return None


@atexit.register
def _close_all() -> None:
    for ring in list(_open):
        ring.close()
