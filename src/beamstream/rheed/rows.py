"""Rows of the recorded file, many at once into one array, also while it grows."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import CodecError, SinkError
from beamstream.frames import ColorMode
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5_layout import SCALARS
from beamstream.sinks.hdf5_reading import row_reader

_EPOCH_AT_LEAST = 1e9  # s; a timestamp before 2001 is of a clock that was never set


class RecordedRows:
    """Read a file of `beamstream.sinks.hdf5.Hdf5Sink` in long pieces.

    `beamstream.recorded.RecordedFrames` gives frame by frame what is known of each; this gives one array and the time
    of its first frame. Opened once in a process; `read` and `start_ms` from one thread, ``len`` from any.

    Parameters
    ----------
    path : Path
    dataset : str
        Where the pixels are.

    Attributes
    ----------
    shape : tuple of int
        Of one frame.
    dtype : numpy.dtype
    grey : bool
        Whether a frame is one number a pixel.

    Raises
    ------
    SinkError
        The file cannot be read, or is not there yet.
    """

    def __init__(self, path: Path, dataset: str) -> None:
        import h5py

        self.path = path
        with explained("upload", "read", path):
            self._file = h5py.File(path, "r", swmr=True)
            group: Any = self._file[dataset.rpartition("/")[0]]
            self._data: Any = self._file[dataset]
            self._scalars = {column.name: group[column.name] for column in SCALARS}
        self.shape: tuple[int, ...] = self._data.shape[1:]
        self.dtype: np.dtype[Any] = self._data.dtype
        self.grey = len(self.shape) == 2 and self._data.attrs.get("color_mode", "mono") == ColorMode.MONO
        self._pixels = row_reader(path, self._data, live=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._pixels.close()
        self._file.close()

    def __len__(self) -> int:
        """Rows that are on disk now."""
        for scalar in self._scalars.values():
            scalar.refresh()
        return min(scalar.shape[0] for scalar in self._scalars.values())

    def times(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return when rows ``start:stop`` were taken, s since 1970-01-01 UTC; by our clock if the camera has none."""
        with explained("upload", f"read times {start}:{stop} of", self.path):
            times = self._scalars["timestamp"][start:stop]
            return times if len(times) and times[0] >= _EPOCH_AT_LEAST else self._scalars["received"][start:stop]

    def read(self, start: int, stop: int) -> tuple[NDArray[Any], list[int]]:
        """Return rows ``start:stop`` in memory of their own, and those of them that do not decode, which are 0.

        Raises
        ------
        SinkError
            The file has not so many rows, or cannot be read.
        """
        images = np.empty((stop - start, *self.shape), self.dtype)
        undecoded: list[int] = []
        with explained("upload", f"read frames {start}:{stop} of", self.path):
            for row in range(start, stop):
                try:
                    self._pixels.read(row, stop, images[row - start])
                except CodecError:
                    images[row - start] = 0
                    undecoded.append(row)
        return images, undecoded


def frames_per_second(times: NDArray[np.float64]) -> float:
    """Return the rate of some frames, to four digits, so that the same camera gives the same number each time.

    Raises
    ------
    SinkError
        They have no times that rise.
    """
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    if not span > 0:
        raise SinkError(
            f"upload: the rate of {len(times)} frames asked for, they span {span:g} s; set fps in the configuration"
        )
    return float(f"{(len(times) - 1) / span:.4g}")
