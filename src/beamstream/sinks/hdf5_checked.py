"""Read frames that were compressed elsewhere: decoded by us, not by HDF5's filters, which believe what the bytes say.

The lz4 and bitshuffle filters of hdf5plugin 7.1.0 (https://github.com/nexusformat/HDF5-External-Filter-Plugins, and
https://github.com/kiyo-masui/bitshuffle) do not know how many bytes they were given: 12 bytes of a frame that lies end
the process, others come back with memory of the process in place of pixels. HDF5's own zlib takes memory without end.
"""

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from beamstream import codecs
from beamstream.errors import CodecError
from beamstream.sinks.hdf5_filters import codec_of, does_not_decode

_PLAIN = 1  # bit of a chunk's mask: the first filter was left out


class CheckedDataset(h5py.Dataset):
    """A dataset of one compressed frame a chunk; what it reads is decoded with every size checked."""

    def frame(self, row: int) -> NDArray[Any]:
        """Return the pixels of one frame; zeros where none was written.

        Raises
        ------
        CodecError
            Its bytes are not a frame of this size.
        OSError
            As HDF5 says it.
        """
        out = np.empty(self.shape[1:], self.dtype)
        self.read_frame(row, out)
        return out

    def read_frame(self, row: int, out: NDArray[Any]) -> None:
        """Put the pixels of one frame into `out`; raises as `frame` does."""
        try:
            stored = self._stored(row)
            if stored is None:
                out[...] = 0
            elif stored[0] & _PLAIN:
                np.copyto(out, _plain(stored[1], out))
            else:
                self._decode(row, stored[1], out)
        except CodecError as error:
            path = self.file.filename
            raise CodecError(f"{path}: frame {row} does not decode: {error}; it was recorded as it came") from error

    def _stored(self, row: int) -> tuple[int, NDArray[np.uint8]] | None:
        where = (row, *[0] * (len(self.shape) - 1))
        try:
            mask, chunk = self.id.read_direct_chunk(where)
        except OSError:
            if self.id.get_chunk_info_by_coord(where).byte_offset is not None:
                raise
            return None
        return mask, np.frombuffer(chunk, np.uint8)

    def _decode(self, row: int, stored: NDArray[np.uint8], out: NDArray[Any]) -> None:
        codec = codec_of(self)
        if codec != "bslz4":
            np.copyto(out, codecs.decode(codec, stored, out.dtype, out.shape))
            return
        codecs.check(stored, codec, out.nbytes, itemsize=out.itemsize)
        import hdf5plugin  # noqa: F401  # registers the filter: it is faster, and gets only what was checked

        try:
            self.read_direct(out, np.s_[row])
        except OSError as error:
            raise CodecError(str(error)) if does_not_decode(error) else error from error

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


def _plain(stored: NDArray[np.uint8], out: NDArray[Any]) -> NDArray[Any]:
    if stored.size != out.nbytes:
        raise CodecError(f"plain pixels: {out.shape} of {out.dtype} asked for, {stored.size} bytes are there")
    return stored.view(out.dtype).reshape(out.shape)
