"""How many frames a ring has room for: what was asked for, what the stream needs, what memory there is.

A ring whose memory was given gets just that, where there is as much, and is not made where that holds no two frames:
what a frame claims to be never takes more. An automatic one holds `SECONDS` of the stream,
and not less than `USUAL` bytes or `USUAL_SLOTS` frames: so a disk may pause for 3 s. As long as the time between two
frames is not known, it gets `UNKNOWN` bytes: that is 5 s of 2048 × 2048 pixels of 16 bit at 100 fps. Of the memory that
is free an automatic ring takes at most a quarter, of the free room in /dev/shm at most half, so that the next one, of
another detector or another session, finds some as well. What does not fit is made smaller, with one warning.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from beamstream.errors import RingError
from beamstream.frames import Geometry
from beamstream.segment import RECORD_BYTES, SHM
from beamstream.slot_memory import slot_bytes

SECONDS = 4.0
"""Of a stream whose rate is known, in an automatic ring, s."""
USUAL = 512 * 2**20
"""Memory of an automatic ring for any rate, bytes."""
UNKNOWN = 4 * 2**30
"""Memory of an automatic ring as long as the rate is not known, bytes."""
LEAST_SLOTS, USUAL_SLOTS, MOST_SLOTS = 4, 4096, 16384
_MINIMUM = 2  # slots: one is being written while another is read


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that is free, bytes.

    Parameters
    ----------
    shared : int
        In /dev/shm.
    memory : int
        In the machine, or in the container.
    """

    shared: int
    memory: int

    @classmethod
    def now(cls) -> "Room":
        """Measure it."""
        shm = os.statvfs(SHM)
        return cls(shm.f_bavail * shm.f_frsize, min(_available(), _left_in_cgroup()))

    def __add__(self, nbytes: int) -> "Room":
        return Room(self.shared + nbytes, self.memory + nbytes)

    @property
    def free(self) -> int:
        """What a ring can have at all."""
        return min(self.shared, self.memory)

    @property
    def share(self) -> int:
        """What a ring takes that leaves something to others."""
        return min(self.shared // 2, self.memory // 4)


@dataclass(frozen=True, slots=True)
class RingSize:
    """What a ring is to be like.

    Parameters
    ----------
    name : str
        The ring's, for errors.
    memory : int or None
        Bytes that were asked for; None: automatic.
    slots : int or None
        In place of `memory`: frames that were asked for.
    """

    name: str
    memory: int | None
    slots: int | None = None

    def wanted(self, geometry: Geometry, frame_time: float) -> int:
        """Return the frames that a ring is to hold if there is room; `frame_time` in s, 0 where it is not known.

        Raises
        ------
        RingError
            The memory that was given holds no two frames.
        """
        if self.slots is not None:
            return max(LEAST_SLOTS, self.slots)
        each = slot_bytes(geometry)
        if self.memory is not None:
            return self._given(geometry, self.memory // each)
        if frame_time > 0:
            slots = max(math.ceil(SECONDS / frame_time), min(USUAL // each, USUAL_SLOTS))
        else:
            slots = UNKNOWN // each
        return max(LEAST_SLOTS, min(MOST_SLOTS, slots))

    def _given(self, geometry: Geometry, slots: int) -> int:
        if slots < _MINIMUM:
            need = math.ceil(_MINIMUM * slot_bytes(geometry) / 2**20)
            raise RingError(
                f"{self.name}: a ring for {geometry} wanted, the memory given for it, {_mb(self.memory or 0)}, is too "
                f"little for two frames; set ring_memory_mb to {need} or more, or correct what the detector sends"
            )
        return min(MOST_SLOTS, slots)

    def fitting(self, geometry: Geometry, wanted: int, room: Room) -> int:
        """Return the frames that a ring can hold.

        Raises
        ------
        RingError
            There is not even room for two.
        """
        each = slot_bytes(geometry) + RECORD_BYTES
        given = self.memory is not None or self.slots is not None
        if (given and wanted * each <= room.free) or wanted * each <= room.share:
            return wanted
        slots = min(wanted, max(LEAST_SLOTS, room.share // each), room.free // each)
        if slots < _MINIMUM:
            raise RingError(
                f"{self.name}: a ring of {wanted} frames of {geometry} wanted, {_mb(wanted * each)}; {_words(room)}, "
                f"too little for two; enlarge {SHM}, or lower ring_memory_mb of the other detectors"
            )
        return slots

    def shortage(self, geometry: Geometry, wanted: int, slots: int, room: Room, frame_time: float) -> str:
        """Return what to warn of where a ring holds less than it should; as long as no rate is known, than `USUAL`."""
        each = slot_bytes(geometry)
        open_ended = self.memory is None and self.slots is None and not frame_time > 0
        if slots >= (min(wanted, USUAL // each) if open_ended else wanted):
            return ""
        return (
            f"{self.name}: a ring of {_mb(wanted * each)} wanted, {_words(room)}; it holds {slots} frames of "
            f"{geometry}, {_mb(slots * each)}: a disk that pauses for longer than that ends the run; enlarge {SHM} "
            "(of a container: --shm-size=4g), or lower ring_memory_mb"
        )


def _mb(nbytes: int) -> str:
    return f"{nbytes / 2**20:.0f} MB"


def _words(room: Room) -> str:
    return f"{_mb(room.shared)} are free in {SHM}, {_mb(room.memory)} of memory"


def _available() -> int:
    """Return the memory that the system can give without swapping, bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _left_in_cgroup(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return what the limits of our control groups leave, bytes; a huge number without any (or with version 1)."""
    left = 1 << 62
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return left
    group = root / line.removeprefix("0::").lstrip("/")
    for directory in (group, *group.parents):
        if not directory.is_relative_to(root):
            break
        try:
            limit = int((directory / "memory.max").read_text())
            used = int((directory / "memory.current").read_text())
            stat = dict(line.split() for line in (directory / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # the root has none of them, and "max" is no number
            continue
        left = min(left, max(0, limit - used + int(stat.get("inactive_file", 0))))  # as docker counts it
    return left
