"""The pages behind the slots of a segment: reserved before frames come, touched ahead of them."""

import mmap
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beamstream import codecs
from beamstream.frames import Geometry

PAGE = mmap.PAGESIZE
_AT_ONCE = 512 << 20  # bytes that are touched before the first frame at least; the system clears 1 to 2 GB/s
_AHEAD = 2.0  # s that touching the rest may take: half the time in which a stream fills an automatic ring
_PIECE = 8 << 20  # bytes between two checks whether the ring has ended
_COMPRESSED_MARGIN = 4096


def pages(nbytes: int) -> int:
    """Round up to whole pages, bytes."""
    return -(-nbytes // PAGE) * PAGE


def slot_bytes(geometry: Geometry) -> int:
    """Return the memory that is reserved for one frame of this geometry, bytes."""
    margin = geometry.nbytes // 100 + _COMPRESSED_MARGIN if geometry.codec else 0
    return pages(max(1, geometry.nbytes) + margin)


@dataclass(frozen=True)
class Slots:
    """Where the slots of a segment are.

    Slots of compressed frames are as far apart as the largest frame that an encoder can make. Only the beginning of
    each, `slot_bytes`, is reserved: the rest is a hole in the file until a frame needs it.

    Parameters
    ----------
    geometry : Geometry
    number : int
    at : int
        Where the first begins, bytes.
    """

    geometry: Geometry
    number: int
    at: int

    @cached_property
    def reserved(self) -> int:
        """Memory of each slot from the beginning, bytes."""
        return slot_bytes(self.geometry)

    @cached_property
    def stride(self) -> int:
        """Distance between two slots, bytes: the largest frame."""
        g = self.geometry
        return max(self.reserved, pages(codecs.most_bytes(g.codec, g.shape, np.dtype(g.dtype).itemsize)))

    @property
    def end(self) -> int:
        """Size of the segment, bytes."""
        return self.at + self.number * self.stride

    def reserve(self, fd: int) -> None:
        """Make a file as large as the segment, with memory for everything but the holes.

        Raises
        ------
        OSError
            There is not so much.
        """
        os.ftruncate(fd, self.end)
        if self.reserved == self.stride:
            os.posix_fallocate(fd, 0, self.end)
            return
        os.posix_fallocate(fd, 0, self.at)
        for start in range(self.at, self.end, self.stride):
            os.posix_fallocate(fd, start, self.reserved)

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield what is reserved as (start, stop), in the order in which frames come."""
        if self.reserved == self.stride:
            yield from _pieces(0, self.end)
            return
        yield from _pieces(0, self.at)
        for start in range(self.at, self.end, self.stride):
            yield from _pieces(start, start + self.reserved)


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for piece in range(start, stop, _PIECE):
        yield piece, min(piece + _PIECE, stop)


class Touching:
    """Touch the memory of slots, so that no frame has to wait until the system has cleared its pages.

    A frame that has to wait for its own pages takes several times as long as its copy. So as much is touched at once as
    is needed to stay ahead of the frames: all but what takes 2 s, as fast as it went so far; at least 512 MiB. A thread
    of its own touches the rest. It only reads, frames may come meanwhile.
    """

    def __init__(self, memory: NDArray[np.uint8], slots: Slots, name: str) -> None:
        self._memory, self._pieces = memory, slots.pieces()
        self._left = slots.at + slots.number * slots.reserved  # bytes
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        began, all_of_it = time.monotonic(), self._left
        while self._left > 0:
            self._touch()
            done, took = all_of_it - self._left, time.monotonic() - began
            if done >= _AT_ONCE and self._left * took <= done * _AHEAD:
                break
        if self._left > 0:
            self._thread = threading.Thread(target=self._touch_all, name=f"{name}-memory", daemon=True)
            self._thread.start()

    def _touch_all(self) -> None:
        while self._left > 0 and not self._ended.is_set():
            self._touch()

    def _touch(self) -> None:
        start, stop = next(self._pieces)
        self._memory[start:stop:PAGE].max()  # without the GIL; a page that was read is mapped for writing, too
        self._left -= stop - start

    def end(self) -> None:
        """Leave the rest untouched; the thread has ended when this returns."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
