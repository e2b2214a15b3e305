"""Read frames that were compressed elsewhere: decoded by us, not by HDF5's filters, which believe what the bytes say.

The lz4 and bitshuffle filters of hdf5plugin 7.1.0 (https://github.com/nexusformat/HDF5-External-Filter-Plugins, and
https://github.com/kiyo-masui/bitshuffle) do not know how many bytes they were given: 12 bytes of a frame that lies end
the process, others come back with memory of the process in place of pixels. HDF5's own zlib takes memory without end.
"""

from math import prod
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from beamstream.codecs import decode
from beamstream.errors import CodecError

_CODECS = {1: "zlib", 32001: "blosc", 32004: "lz4", 32008: "bslz4"}  # by number of the filter
_BITSHUFFLE_LZ4 = 2  # the last of the bitshuffle filter's options, where it is there
_PLAIN = 1  # bit of a chunk's mask: the first filter was left out


class CheckedDataset(h5py.Dataset):
    """A dataset of one compressed frame a chunk; what it reads is decoded with every size checked."""

    def frame(self, row: int) -> NDArray[Any]:
        """Return the pixels of one frame, plain, read-only; zeros where none was written.

        Raises
        ------
        CodecError
            Its bytes are not a frame of this size.
        OSError
            As HDF5 says it.
        """
        shape: tuple[int, ...] = self.shape[1:]
        where = (row, *[0] * len(shape))
        try:
            mask, stored = self.id.read_direct_chunk(where)
        except OSError:
            if self.id.get_chunk_info_by_coord(where).byte_offset is not None:
                raise
            return np.zeros(shape, self.dtype)
        try:
            return self._pixels(mask, np.frombuffer(stored, np.uint8), shape)
        except CodecError as error:
            path = self.file.filename
            raise CodecError(f"{path}: frame {row} does not decode: {error}; it was recorded as it came") from error

    def _pixels(self, mask: int, stored: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[Any]:
        if not mask & _PLAIN:
            return decode(checked_codec(self), stored, self.dtype, shape)
        if stored.size != prod(shape) * self.dtype.itemsize:
            raise CodecError(f"plain pixels: {shape} of {self.dtype} asked for, {stored.size} bytes are there")
        return stored.view(self.dtype).reshape(shape)

    def __getitem__(self, args: Any, new_dtype: Any = None) -> Any:
        """Return what h5py would, for slices and numbers."""
        index = args if isinstance(args, tuple) else (args,)
        whole = not index or index[0] is Ellipsis
        first, rest = (slice(None), index) if whole else (index[0], index[1:])
        rows = np.arange(self.shape[0])[first]
        found: NDArray[Any] | None = None
        for place, row in enumerate(rows.reshape(-1).tolist()):
            part = self.frame(row)[rest]
            if found is None:
                found = np.empty((rows.size, *part.shape), self.dtype)
            found[place] = part
        if found is None:
            found = np.empty((0, *np.empty(self.shape[1:], self.dtype)[rest].shape), self.dtype)
        found = found.reshape(rows.shape + found.shape[1:])
        return found if new_dtype is None else found.astype(new_dtype)


def checked(dataset: h5py.Dataset) -> h5py.Dataset:
    """Return a dataset to read from: another view of it where its frames are decoded by us."""
    return CheckedDataset(dataset.id) if checked_codec(dataset) else dataset


def checked_codec(dataset: h5py.Dataset) -> str:
    """Return how the frames of a dataset are compressed; ``""`` where HDF5 is left to read it."""
    if dataset.chunks is None or dataset.chunks != (1, *dataset.shape[1:]):
        return ""
    creation = dataset.id.get_create_plist()
    if creation.get_nfilters() != 1:
        return ""
    number, _, options, _ = creation.get_filter(0)
    codec = _CODECS.get(number, "")
    if codec == "bslz4" and options and options[-1] != _BITSHUFFLE_LZ4:
        return ""
    return codec
