"""Read recorded frames while those before are worked on."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from beamstream.frames import Frame
from beamstream.recorded import RecordedFrames


class ReadAhead(RecordedFrames):
    """Read the frames of one recorded file in batches, the next one in another thread.

    It has twice the memory of `RecordedFrames`, and is used as that.

    Parameters
    ----------
    path : path-like
    dataset : str
        Where the pixels are.
    """

    def __init__(self, path: str | os.PathLike[str], *, dataset: str) -> None:
        super().__init__(path, dataset=dataset)
        self._spare = np.empty_like(self._buffers)
        self._pool = ThreadPoolExecutor(1, "read-ahead")

    def read(self, start: int, stop: int) -> Iterator[list[Frame]]:
        """Yield the frames of rows ``start:stop``, in order, in batches that are valid until the next.

        Raises
        ------
        SinkError
            The file has not so many rows, or cannot be read.
        """
        if start >= stop:
            return
        coming = self._pool.submit(self._first_batch, start, stop)
        while start < stop:
            batch = coming.result()
            start += len(batch)
            if start < stop:
                coming = self._pool.submit(self._first_batch, start, stop)
            yield batch

    def _first_batch(self, start: int, stop: int) -> list[Frame]:
        # not a second reader: HDF5 finds no chunks any more when one of two refreshes the dataset
        self._buffers, self._spare = self._spare, self._buffers
        return next(super().read(start, stop))

    def close(self) -> None:
        """End the thread, and let go of the file."""
        self._pool.shutdown()
        super().close()
