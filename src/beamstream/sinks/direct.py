"""Write pixels at given places of a file, past the page cache where that pays.

Writing through the page cache costs a copy and, on memory that was not used before, more time than the disk
needs. ``O_DIRECT`` avoids both, for pointers, offsets and lengths that are multiples of a page. Everything
else goes through the cache and is dropped from there behind the writer, so that a long run does not fill the
memory.
"""

import errno
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from beamstream.forks import close_unshared, open_unshared
from beamstream.locks import open_locked

PAGE = 4096
"""What O_DIRECT wants pointers, offsets and lengths to be a multiple of, bytes."""

_DIRECT_FROM = 1 << 20  # bytes at once; below, a trip to the disk takes longer than a copy into the cache
_BOUNCE = 8 << 20
_WINDOW = 8 << 20
_WINDOWS_IN_FLIGHT = 4
_LATE = 512 << 20
_REFUSED = {errno.EINVAL, errno.EOPNOTSUPP}

Bytes = NDArray[np.uint8]


def page_up(offset: int) -> int:
    """Round up to the next page boundary."""
    return -(-offset // PAGE) * PAGE


def as_bytes(array: NDArray[Any]) -> Bytes:
    """Return the memory of an array as 1-D bytes, copied only if it is not contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class DropBehind:
    """Keep what was written through the page cache from piling up there.

    ``POSIX_FADV_DONTNEED`` starts to write dirty pages back and forgets the clean ones, and waits for
    neither: called once when a window is full and once more a few windows later, it bounds both without ever
    stalling the writer.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._windows: list[tuple[int, int]] = []
        self._start = self._stop = -1

    def wrote(self, start: int, stop: int) -> None:
        """Take note that the bytes from `start` to `stop` are in the cache; call in ascending order."""
        if self._start < 0:
            self._start = start
        self._stop = stop
        if self._stop - self._start >= _WINDOW:
            self._next()

    def _next(self) -> None:
        self._advise(self._start, self._stop)
        self._windows.append((self._start, self._stop))
        self._start = -1
        if len(self._windows) > _WINDOWS_IN_FLIGHT:
            start, stop = self._windows.pop(0)
            self._advise(max(0, start - _LATE), stop)  # pages that were still on their way last time, too

    def _advise(self, start: int, stop: int) -> None:
        os.posix_fadvise(self._fd, start, stop - start, os.POSIX_FADV_DONTNEED)


class PlacedWriter:
    """Write to given offsets of an existing file, around the page cache when possible.

    Parameters
    ----------
    path : Path
        An existing file; it may be open elsewhere. A shared lock on it is held until `close`: it tells
        `beamstream.locks.is_locked` that the writer lives, and lets readers in.
    direct : bool, optional
        Whether to write around the page cache; by default, where the filesystem agrees and where it pays.

    Notes
    -----
    For one thread. The global interpreter lock is released while the disk works.
    """

    def __init__(self, path: Path, *, direct: bool | None = None) -> None:
        self._cached_fd = open_locked(path, os.O_WRONLY, shared=True)
        self._direct_fd = -1
        self._bounce: mmap.mmap | None = None
        self._direct_from = PAGE if direct else _DIRECT_FROM
        self._drop = DropBehind(self._cached_fd)
        try:
            if direct is not False:
                self._direct_fd = _open_direct(path, required=bool(direct))
        except BaseException:
            self.close()
            raise

    @property
    def direct(self) -> bool:
        """Whether large writes go around the page cache."""
        return self._direct_fd >= 0

    @property
    def drop(self) -> DropBehind:
        """For those who write to this file through the page cache by other means."""
        return self._drop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was written stays."""
        for fd in (self._cached_fd, self._direct_fd):
            if fd >= 0:
                close_unshared(fd)
        self._cached_fd = self._direct_fd = -1
        self._bounce = None

    def reserve(self, start: int, stop: int) -> None:
        """Take these bytes from the disk now, so that writing them later cannot find it full."""
        if stop > start:
            os.posix_fallocate(self._cached_fd, start, stop - start)

    def write(self, pieces: Sequence[Bytes], offset: int) -> None:
        """Write pieces one after the other, the first at `offset`.

        Parameters
        ----------
        pieces : sequence of ndarray of uint8, 1-D
            Only read, and not needed any more afterwards.
        offset : int
            A multiple of `PAGE` for the direct way.

        Raises
        ------
        OSError
            As the system raises it; a part may be written.
        """
        nbytes = sum(piece.size for piece in pieces)
        if not self.direct or nbytes < self._direct_from or offset % PAGE:
            self._write_cached(pieces, offset, nbytes)
        elif all(piece.size % PAGE == 0 and piece.ctypes.data % PAGE == 0 for piece in pieces):
            _write_all(self._direct_fd, pieces, offset)
        else:
            for piece in pieces:
                self._write_direct(piece, offset)
                offset += piece.size

    def _write_cached(self, pieces: Sequence[Bytes], offset: int, nbytes: int) -> None:
        _write_all(self._cached_fd, pieces, offset)
        self._drop.wrote(offset, offset + nbytes)

    def _write_direct(self, piece: Bytes, offset: int) -> None:
        """Write whole pages directly, copied first if they start inside a page, and the rest cached."""
        head = piece.size // PAGE * PAGE if offset % PAGE == 0 else 0
        if head and piece.ctypes.data % PAGE == 0:
            _write_all(self._direct_fd, [piece[:head]], offset)
        else:
            for start in range(0, head, _BOUNCE):
                part = piece[start : min(start + _BOUNCE, head)]
                _write_all(self._direct_fd, [self._aligned(part)], offset + start)
        if head < piece.size:
            _write_all(self._cached_fd, [piece[head:]], offset + head)

    def _aligned(self, part: Bytes) -> Bytes:
        if self._bounce is None:
            self._bounce = mmap.mmap(-1, _BOUNCE)
        copy = np.frombuffer(self._bounce, np.uint8, part.size)
        copy[:] = part
        return copy


def _write_all(fd: int, pieces: Sequence[Bytes], offset: int) -> None:
    """Write everything, however little the system takes at once."""
    for start in range(0, len(pieces), os.sysconf("SC_IOV_MAX")):
        some = list(pieces[start : start + os.sysconf("SC_IOV_MAX")])
        while some:
            taken = os.pwritev(fd, some, offset)  # pyright: ignore[reportArgumentType]  arrays are buffers
            offset += taken
            while some and taken >= some[0].size:
                taken -= some.pop(0).size
            if some:
                some[0] = some[0][taken:]


def _open_direct(path: Path, *, required: bool) -> int:
    try:
        return open_unshared(path, os.O_WRONLY | os.O_DIRECT)
    except OSError as error:
        if required or error.errno not in _REFUSED:
            raise
        return -1
