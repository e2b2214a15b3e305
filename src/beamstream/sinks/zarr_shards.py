"""The files of growing Zarr v3 arrays: pixels in shards, numbers in plain chunks.

A shard is the codec ``sharding_indexed`` of the Zarr v3 specification with its index at the start: for every chunk
an offset and a length, then the chunks. A chunk is written first, its entry in the index after it, and only the
array's ``zarr.json`` makes it part of the array. What an entry says never changes after that, so readers and a
kill find it right at any instant. Therefore the index carries no checksum: one over all entries would be wrong
for a moment with each new frame, and forever in a shard whose writer was killed in that moment.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from beamstream.sinks.direct import PAGE, Bytes, PlacedWriter, as_bytes, page_up

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is not there."""

_ENTRY = 16  # bytes: offset and length
_AT_PAGES = 16 * PAGE  # bytes; smaller chunks are never written around the page cache, and would waste their pages


class Shards:
    """Append chunks of one frame each to shard files; nothing is published here.

    Parameters
    ----------
    directory : Path
        The array's; it exists.
    ndim : int
        Dimensions of the array, the frames' count included.
    per_shard : int
        Frames in one file.

    Notes
    -----
    For one thread. Errors are OSError, as the system raises them; nothing can be appended after one.
    """

    def __init__(self, directory: Path, ndim: int, per_shard: int) -> None:
        self._directory, self._ndim, self._per_shard = directory, ndim, per_shard
        self._index_fd = -1
        self._writer: PlacedWriter | None = None
        self._end = 0

    def append(self, chunks: Sequence[Bytes], first: int) -> None:
        """Write chunks, the first of them for frame `first`; their memory is only read."""
        start = 0
        while start < len(chunks):
            shard, place = divmod(first + start, self._per_shard)
            if place == 0:
                self._begin(shard)
            stop = start + self._per_shard - place
            self._put(chunks[start:stop], place)
            start = stop

    def files(self, start: int, stop: int) -> Iterator[Path]:
        """Yield the files and directories that frames are in."""
        for shard in range(start // self._per_shard, (stop - 1) // self._per_shard + 1):
            path = self._path(shard)
            yield path
            yield from itertools.takewhile(lambda above: above != self._directory, path.parents)

    def close(self) -> None:
        """Close the current file; what was written stays."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._index_fd >= 0:
            os.posix_fadvise(self._index_fd, 0, 0, os.POSIX_FADV_DONTNEED)  # a long run would fill the memory
            os.close(self._index_fd)
            self._index_fd = -1

    def _begin(self, shard: int) -> None:
        self.close()
        path = self._path(shard)
        path.parent.mkdir(parents=True)
        self._index_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        _write(self._index_fd, np.full((self._per_shard, 2), ABSENT, "<u8"), 0)
        self._writer = PlacedWriter(path)
        self._end = self._per_shard * _ENTRY

    def _path(self, shard: int) -> Path:
        return self._directory.joinpath("c", str(shard), *["0"] * (self._ndim - 1))

    def _put(self, chunks: Sequence[Bytes], place: int) -> None:
        assert self._writer is not None
        entries = np.empty((len(chunks), 2), "<u8")
        for entry, chunk in zip(entries, chunks, strict=True):
            start = page_up(self._end) if chunk.size >= _AT_PAGES else self._end
            entry[:] = start, chunk.size
            self._end = start + chunk.size
        for start, stop in _runs(entries):
            self._writer.write(chunks[start:stop], int(entries[start, 0]))
        _write(self._index_fd, entries, place * _ENTRY)


def _runs(entries: np.ndarray) -> list[tuple[int, int]]:
    """Return which chunks follow each other without a gap, as starts and stops."""
    breaks = np.flatnonzero(entries[1:, 0] != entries[:-1].sum(axis=1)) + 1
    return list(pairwise([0, *breaks.tolist(), len(entries)]))


class Column:
    """Append one number a frame to the chunk files of a one-dimensional array; nothing is published here.

    A file has its full length from the beginning, as readers expect it; what is not there yet reads as 0.

    Parameters
    ----------
    directory : Path
        The array's; it exists.
    dtype : str
        Little-endian.
    per_chunk : int
        Numbers in one file.
    """

    def __init__(self, directory: Path, dtype: str, per_chunk: int) -> None:
        self._directory, self._dtype, self._per_chunk = directory / "c", np.dtype(dtype), per_chunk
        self._fd = -1

    def append(self, numbers: Sequence[float] | np.ndarray, first: int) -> None:
        """Write numbers, the first of them for frame `first`."""
        start = 0
        while start < len(numbers):
            chunk, place = divmod(first + start, self._per_chunk)
            if place == 0:
                self._begin(chunk)
            stop = start + self._per_chunk - place
            _write(self._fd, np.array(numbers[start:stop], self._dtype), place * self._dtype.itemsize)
            start = stop

    def files(self, start: int, stop: int) -> Iterator[Path]:
        """Yield the files that numbers are in, and their directory."""
        yield self._directory
        for chunk in range(start // self._per_chunk, (stop - 1) // self._per_chunk + 1):
            yield self._directory / str(chunk)

    def close(self) -> None:
        """Close the current file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _begin(self, chunk: int) -> None:
        self.close()
        self._directory.mkdir(exist_ok=True)
        self._fd = os.open(self._directory / str(chunk), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        os.ftruncate(self._fd, self._per_chunk * self._dtype.itemsize)


def _write(fd: int, array: np.ndarray, offset: int) -> None:
    """Write a small array at its place, all of it."""
    rest = as_bytes(array)
    while rest.size:
        written = os.pwrite(fd, rest, offset)  # pyright: ignore[reportArgumentType]  arrays are buffers
        rest, offset = rest[written:], offset + written
