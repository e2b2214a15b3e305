"""The last frames of one source, in shared memory, by index: one writer that never waits, many readers."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from beamstream.errors import RingOverrun
from beamstream.exits import OpenObjects
from beamstream.frames import Frame, Geometry
from beamstream.ring_size import RingSize, Room
from beamstream.segment import PREFIX, RECORD_BYTES, SHM, Segment, held, slot_bytes, sweep

logger = logging.getLogger(__name__)

T = TypeVar("T")
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
    memory : int, optional
        Room for pixels, bytes. The number of slots follows from it, 4 to 16384. Automatic by default: some seconds of
        the stream, as far as there is memory, see `beamstream.ring_size`.
    source : str
        Copied into the frames that readers get.
    slots : int, optional
        In place of `memory`: keep just so many frames.

    Attributes
    ----------
    token : str
        Random: distinguishes this ring from all others, whatever their names and processes. With the index of a frame
        it identifies the frame for good.
    frame_time : float
        From one frame to the next, s; 0 where it is not known. An automatic ring is made for it.
    guard : int or None
        Oldest index that must not be overwritten; `put` fails instead. The recorder's.
    """

    def __init__(self, name: str, *, memory: int | None = None, source: str = "", slots: int | None = None) -> None:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"ring: name {name!r} given; use letters, digits, - and _")
        self.name = name
        self.token = uuid4().hex
        self.frame_time = 0.0
        self.guard: int | None = None
        self._size = RingSize(name, memory, slots)
        self._wanted = 0  # slots
        self._warned = False
        self._source = source
        self._segment: Segment | None = None
        self._previous: Segment | None = None
        self._next = 0
        self._epoch = -1
        self._grew = threading.Condition()
        sweep(PREFIX)
        _open.add(self)

    def prepare(self, geometry: Geometry) -> None:
        """Open an epoch for this geometry, its memory reserved. Nothing happens if there is one that is large enough.

        Raises
        ------
        RingError
            The shared memory is too small.
        """
        present, wanted = self._segment, self._size.wanted(geometry, self.frame_time)
        same = present is not None and present.geometry == geometry
        if same and wanted <= self._wanted:
            return
        self._previous = None  # two epochs at a time, not three
        self._wanted, room = wanted, Room.now()
        # what the present one has counts as free, or rings would become smaller with each change of geometry
        slots = self._size.fitting(geometry, wanted, room + (present.nbytes if present is not None else 0))
        if present is not None and same and slots <= present.capacity:
            return
        if slots * (slot_bytes(geometry) + RECORD_BYTES) > room.free:
            present = None
            room = self._make_room(room)
            slots = self._size.fitting(geometry, wanted, room)
        self._warn(self._size.shortage(geometry, wanted, slots, room, self.frame_time))
        path = SHM / f"{PREFIX}{self.name}.{os.getpid()}-{next(_serial)}-{self.token}"
        fresh = Segment.create(path, geometry, slots, self._next, self._source, self.token)
        if self._segment is not None:
            self._segment.end()
        self._previous, self._segment = self._segment, fresh
        self._epoch += 1

    def _make_room(self, room: Room) -> Room:
        """End the present epoch before the next begins, unless the recorder needs it; return what is free now."""
        if self._segment is None or self.guard is not None:
            return room
        self._segment.end()
        self._segment = None
        return Room.now()

    def _warn(self, shortage: str) -> None:
        """Log a shortage, the first one."""
        if shortage and not self._warned:
            self._warned = True
            logger.warning(shortage)

    def put(self, frame: Frame) -> int:
        """Copy a frame in and return its index; never waits. Called from one thread.

        Raises
        ------
        RingOverrun
            The slot is still needed by the recorder (`guard`), or there is no memory for a compressed frame that is
            larger than its pixels; the frame was not taken.
        MalformedFrame
            The payload does not fit its own geometry.
        """
        if self._segment is None or frame.geometry != self._segment.geometry:
            self.prepare(frame.geometry)
        segment = self._segment
        assert segment is not None
        index = self._next
        if self.full:
            raise RingOverrun(
                f"{self.name}: the ring is full, {segment.capacity} frames wait for the recorder; "
                "the disk is too slow for this rate: raise ring_memory_mb, or lower the frame rate"
            )
        segment.put(index, frame)
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

    def frame(self, index: int, attributes: Mapping[str, Any] | None = None) -> Frame:
        """Return one frame as a view; `holds` returns afterwards whether it was still whole.

        With `attributes`, those of the frame: whoever has them saves reading them, and a ring may have no room for all.
        """
        return self._of(index).frame(index, attributes)

    def read(self, index: int, compute: Callable[[Frame], T]) -> T:
        """Return what a function makes of a frame, see `beamstream.readers.FrameStore.read`."""
        return self._of(index).read(index, compute)

    def holds(self, index: int) -> bool:
        """Return whether a frame is still untouched."""
        try:
            return self._of(index).holds(index)
        except RingOverrun:
            return False

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
        """Release the name and the memory; views that are held stay valid."""
        if self._segment is not None:
            self._segment.end()
        self._segment = self._previous = None


def _close_all(rings: list[Ring]) -> None:
    for ring in rings:
        ring.close()


_open = OpenObjects(_close_all)
