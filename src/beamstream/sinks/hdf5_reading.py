"""Read the pixels of a recorded HDF5 file row by row, also while it grows."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import CodecError, SinkError
from beamstream.sinks.direct import PAGE, page_up
from beamstream.sinks.hdf5_filters import codec_of, does_not_decode

if TYPE_CHECKING:
    from beamstream.sinks.hdf5_checked import CheckedDataset

_WRITER = "beamstream"


class RowReader(Protocol):
    """Reads rows of one dataset; from one thread."""

    def read(self, row: int, stop: int, out: NDArray[Any]) -> None:
        """Put a row into `out`; those up to `stop` are likely to follow."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


def row_reader(path: Path, dataset: Any, *, live: bool) -> RowReader:
    """Choose the way that fits a dataset of one chunk a row; `live`: rows are read once, while others are written."""
    plain = not dataset.id.get_create_plist().get_nfilters()
    ours = dataset.file.attrs.get("creator", "") == _WRITER
    if plain and ours and dataset.dtype.itemsize * int(np.prod(dataset.shape[1:])) >= PAGE:
        return _Placed(path, dataset, live)
    if not codec_of(dataset):
        return _Decoded(dataset)
    from beamstream.sinks.hdf5_checked import CheckedDataset

    return _Compressed(CheckedDataset(dataset.id))


class _Placed:
    """Plain chunks, read from their place in the file: around HDF5, its lock and the GIL.

    HDF5 finds the place of one chunk by walking over all before it. But the sinks append: where the first and the
    last of some rows are just as far apart as these rows are long, the others lie between them in order.
    """

    def __init__(self, path: Path, dataset: Any, live: bool) -> None:
        self._dataset = dataset.id
        self._live = live
        self._rest = (0,) * (len(dataset.shape) - 1)
        self._stride = page_up(dataset.dtype.itemsize * int(np.prod(dataset.shape[1:])))
        self._places: dict[int, int] = {}  # byte offset by row, of the rows asked for
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, row: int, stop: int, out: NDArray[Any]) -> None:
        if row not in self._places:
            self._places = {row: self._place(row), stop - 1: self._place(stop - 1)}
            self._between(row, stop - 1)
        view = memoryview(out.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]
        got = 0
        while got < len(view):
            count = os.preadv(self._fd, [view[got:]], self._places[row] + got)
            if not count:
                raise SinkError(f"{self._path}: frame {row} ends in the middle; the file was cut off")
            got += count
        if self._live:  # memory that comes back at once costs a tenth of memory that the system has to find
            os.posix_fadvise(self._fd, self._places[row], len(view), os.POSIX_FADV_DONTNEED)

    def _between(self, first: int, last: int) -> None:
        """Fill in the places of the rows between two whose places are known."""
        if last - first < 2:
            return
        start = self._places[first]
        if self._places[last] - start == (last - first) * self._stride:
            self._places |= {row: start + (row - first) * self._stride for row in range(first + 1, last)}
            return
        middle = (first + last) // 2
        self._places[middle] = self._place(middle)
        self._between(first, middle)
        self._between(middle, last)

    def _place(self, row: int) -> int:
        # no refresh without need: HDF5 2.0 loses all chunks but the first of a dataset that is open twice in a process
        if row >= self._dataset.shape[0]:
            self._dataset.refresh()
        place = self._dataset.get_chunk_info_by_coord((row, *self._rest)).byte_offset
        if place is None:
            raise SinkError(
                f"{self._path}: frame {row} is there, HDF5 does not find it; read the file in another process"
            )
        return place

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:  # twice would close whatever has that number by now
            os.close(fd)


class _Compressed:
    """Frames that were compressed elsewhere, decoded by us."""

    def __init__(self, frames: "CheckedDataset") -> None:
        self._frames = frames

    def read(self, row: int, stop: int, out: NDArray[Any]) -> None:
        if row >= self._frames.shape[0]:
            self._frames.refresh()
        self._frames.read_frame(row, out)

    def close(self) -> None:
        """Nothing is held."""


class _Decoded:
    """Chunks of less than a page, and files of others, read by HDF5."""

    def __init__(self, dataset: Any) -> None:
        import hdf5plugin  # noqa: F401  # registers its filters

        self._dataset = dataset

    def read(self, row: int, stop: int, out: NDArray[Any]) -> None:
        if row >= self._dataset.shape[0]:
            self._dataset.refresh()
        try:
            self._dataset.read_direct(out, np.s_[row])
        except OSError as error:
            if not does_not_decode(error):
                raise
            path = self._dataset.file.filename
            raise CodecError(f"{path}: frame {row} does not decode: {error}; it was recorded as it came") from error

    def close(self) -> None:
        """Nothing is held."""
