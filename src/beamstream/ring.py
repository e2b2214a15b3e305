"""The last frames of one source, in shared memory, by index: one writer that never waits, many readers."""

import os
import threading
from dataclasses import dataclass
from itertools import count

from beamstream.errors import RingOverrun
from beamstream.exits import OpenObjects
from beamstream.frames import Frame, Geometry
from beamstream.segment import PREFIX, SHM, Segment, held, slot_bytes, sweep

_MOST_SLOTS = 4096
_LEAST_SLOTS = 4
_serial = count()


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
    slots : int, optional
        In place of `memory`: keep just so many frames.
    """

    def __init__(self, name: str, *, memory: int = 512 * 2**20, source: str = "", slots: int | None = None) -> None:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"ring: name {name!r} given; use letters, digits, - and _")
        self.name = name
        self._memory = memory
        self._slots = slots
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
        fitting = min(_MOST_SLOTS, self._memory // slot_bytes(geometry))
        capacity = max(_LEAST_SLOTS, fitting if self._slots is None else self._slots)
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
        index = self._next
        if self.full:
            raise RingOverrun(
                f"{self.name}: the ring is full, {self._segment.capacity} frames wait for the recorder; "
                "the disk is too slow for this rate: raise ring_memory_mb, or lower the frame rate"
            )
        self._segment.put(index, frame)
        self._next = index + 1
        with self._grew:
            self._grew.notify_all()
        return index

    @property
    def source(self) -> str:
        """Where its frames come from, a URI; as given."""
        return self._source

    @property
    def full(self) -> bool:
        """Whether the next frame would overwrite one that the recorder still needs."""
        segment, guard = self._segment, self.guard
        return segment is not None and guard is not None and self._next - max(guard, segment.first) >= segment.capacity

    def bounds(self) -> tuple[int, int]:
        """Return the indices held of the present epoch, as (start, stop)."""
        return held(self._segment)

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


def _close_all(rings: list[Ring]) -> None:
    for ring in rings:
        ring.close()


_open = OpenObjects(_close_all)
