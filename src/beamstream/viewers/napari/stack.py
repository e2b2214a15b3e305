"""Stack: the frames of a run as an array that is read where somebody looks, and the live one on top of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import BeamstreamError
from beamstream.frames import ColorMode, Frame
from beamstream.recorded import RecordedFrames
from beamstream.viewers.napari.pixels import as_plane

MOST_BYTES = 512 * 2**20
"""That may be asked for at once: nobody's memory is to be filled by a click."""

Spot = tuple[int, ...]


class Stack:
    """Give napari what it asks for: `shape`, `dtype`, `ndim`, and parts of it.

    Nothing is kept but the live frame. Parts that are not recorded (yet) are zero. To be used from one thread.

    Parameters
    ----------
    shape : tuple of int
        Of a frame, as the detector has it.
    dtype : str
    mode : ColorMode
    lead : tuple of int
        Sizes of the axes before those of a frame; (): only the live frame.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, mode: ColorMode, lead: tuple[int, ...] = ()) -> None:
        self.mode = mode
        self.frames = shape, np.dtype(dtype).newbyteorder("="), mode
        """What frames it takes."""
        blank, self.words = as_plane(np.broadcast_to(np.zeros((), self.frames[1]), shape), mode)
        """What of each frame is shown, where that is not all of it."""
        self.plane, self.dtype = blank.shape, blank.dtype
        self.rgb = blank.ndim == 3
        self.lead = lead
        self.live: NDArray[Any] | None = None
        """Shown at `newest` in place of what is recorded there."""
        self.newest: Spot = (0,) * len(lead)
        self.rows: Mapping[Spot, int] | None = None
        """Which row is where; None: the last axis of `lead` counts rows, the others are of size 1."""
        self.read = 0
        """Rows that were read from the file."""
        self.times: dict[Spot, float] = {}
        """When what was shown last was exposed, s since 1970-01-01 UTC, by place."""
        self.trouble = ""
        """Why a row could not be read, the last one."""
        self._file: RecordedFrames | None = None
        self._announced = 0

    # what napari asks for

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        return (*self.lead, *self.plane)

    @property
    def ndim(self) -> int:
        """How many axes, colours included."""
        return len(self.lead) + len(self.plane)

    @property
    def size(self) -> int:
        """How many values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Of the whole, if it were in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[()], dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a part, in memory of its own unless it is the live frame.

        Raises
        ------
        ValueError
            It is more than `MOST_BYTES`.
        """
        keys = _whole_key(key, self.ndim)
        ahead, within = keys[: len(self.lead)], keys[len(self.lead) :]
        choices = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.lead, ahead, strict=True)]
        kept = tuple(len(c) for c, k in zip(choices, ahead, strict=True) if isinstance(k, slice | np.ndarray))
        if not kept:
            return self._plane(tuple(int(c[0]) for c in choices))[within]
        one = np.broadcast_to(np.zeros((), self.dtype), self.plane)[within].shape
        out = self._room((*(len(c) for c in choices), *one))
        for at in np.ndindex(out.shape[: len(self.lead)]):
            out[at] = self._plane(tuple(int(c[i]) for c, i in zip(choices, at, strict=True)))[within]
        return out.reshape(kept + one)

    def _room(self, shape: tuple[int, ...]) -> NDArray[Any]:
        nbytes = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        if nbytes > MOST_BYTES:
            raise ValueError(
                f"viewer: {nbytes / 2**20:.0f} MiB of a run asked for at once, {MOST_BYTES / 2**20:.0f} are let "
                "through; look at it frame by frame, or open the file elsewhere"
            )
        return np.zeros(shape, self.dtype)

    # where frames are

    def announce(self, path: str, dataset: str, stop: int) -> None:
        """Hear that rows up to `stop` are in a file.

        Raises
        ------
        SinkError
            The file cannot be read.
        """
        if self._file is None:
            self._file = RecordedFrames(path, dataset=dataset)
        self._announced = max(self._announced, stop)

    @property
    def announced(self) -> int:
        """Rows that are in the file."""
        return self._announced

    def row(self, at: Spot) -> int | None:
        """Return which row of the file is at a place; None if none is."""
        row = self.rows.get(at) if self.rows is not None else at[-1] if at else self._announced - 1
        return row if row is not None and 0 <= row < self._announced else None

    def _plane(self, at: Spot) -> NDArray[Any]:
        if self.live is not None and at == self.newest:
            return self.live
        row = self.row(at)
        frame = None if row is None or self._file is None else self._read(self._file, row)
        if frame is None:
            return np.zeros(self.plane, self.dtype)
        self.times = {at: frame.timestamp}
        return np.array(as_plane(frame.image, self.mode).image, copy=True)  # the next reading uses the same memory

    def _read(self, file: RecordedFrames, row: int) -> Frame | None:
        try:
            (frames,) = file.read(row, row + 1)
        except (BeamstreamError, OSError) as error:  # cut off, deleted, a disk that is gone: others may be there
            self.trouble = str(error)
            return None
        self.read += 1
        return frames[-1]

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _whole_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """Return a key for each axis."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(k is Ellipsis for k in keys):
        where = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys = (*keys[:where], *[slice(None)] * (ndim - len(keys) + 1), *keys[where + 1 :])
    return (*keys, *[slice(None)] * (ndim - len(keys)))
