"""Write a burst at the speed of memory, and a long run at the speed of the disk.

Through the page cache a frame costs one copy if the memory behind it was used before, and several times as much as the
disk itself needs if it was not. Which it is shows at the first frame. So the first frames of a
run go through the page cache as long as that is fast, and the others around it, or are dropped from it.
"""

import os
import time
from pathlib import Path
from typing import Any

from beamstream.sinks.direct import Bytes, PlacedWriter

_BURST = 512 << 20  # bytes of a run that may stay in the page cache
_FAST = 1.5e9  # bytes/s; slower than this, the memory is new, and the disk is not slower
_COUNTS = 1 << 20  # bytes; less would measure the system call, not the memory


class Burst:
    """Decide whether the next bytes of a run should stay in the page cache."""

    def __init__(self) -> None:
        self.left = _BURST
        """Bytes that still may stay there."""

    def wrote(self, nbytes: int, seconds: float) -> None:
        """Take note of bytes that went through the page cache, and how long that took."""
        slow = nbytes >= _COUNTS and nbytes / max(seconds, 1e-9) < _FAST
        self.left = 0 if slow else self.left - nbytes


class BurstWriter:
    """Write at given offsets of one existing file, each byte the way that is faster now.

    Parameters
    ----------
    path : Path
        The file; a shared lock on it is held until `close`.

    Notes
    -----
    For one thread. The global interpreter lock is released while memory is copied and while the disk works.
    """

    def __init__(self, path: Path) -> None:
        self._placed = PlacedWriter(path)
        try:
            self._fd = os.open(path, os.O_WRONLY)
        except BaseException:
            self._placed.close()
            raise
        self._burst = Burst()

    def write(self, pieces: list[Bytes], offset: int) -> None:
        """Write pieces one after the other; their memory is not needed any more afterwards.

        Raises
        ------
        OSError
            As the system raises it; a part may be written.
        """
        nbytes = sum(piece.size for piece in pieces)
        if nbytes > self._burst.left:
            self._placed.write(pieces, offset)
            return
        began = time.perf_counter()
        for piece in pieces:
            write_at(self._fd, piece, offset)
            offset += piece.size
        self._burst.wrote(nbytes, time.perf_counter() - began)

    def patch(self, data: bytes, offset: int) -> None:
        """Write a few bytes through the page cache, with one system call."""
        write_at(self._fd, data, offset)

    def truncate(self, size: int) -> None:
        """Cut off what lies behind `size`."""
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        """Close; what was written stays."""
        fd, self._fd = self._fd, -1
        if fd >= 0:  # twice would close whatever has that number by now
            os.close(fd)
        self._placed.close()


def write_at(fd: int, data: Any, offset: int) -> None:
    """Write the whole of a 1-D buffer of bytes, however little the system takes at once."""
    rest = memoryview(data)
    while rest:
        taken = os.pwrite(fd, rest, offset)
        rest, offset = rest[taken:], offset + taken
