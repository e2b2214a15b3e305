"""Pixels as napari takes them: colours last, the machine's byte order; and how far their contrast may be moved."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.picture import Picture, picture_of


def as_plane(image: NDArray[Any], mode: ColorMode) -> Picture:
    """Return what is shown of an array, see `picture_of`, in this machine's byte order; a view where that is possible.

    Raises
    ------
    ValueError
        There is nothing to look at.
    """
    shown, words = picture_of(image, mode)
    return Picture(shown.astype(shown.dtype.newbyteorder("="), copy=False), words)


def contrast_range(dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
    """Return how far the contrast may be moved by hand: over all values of the type, or ten times what is shown."""
    if dtype.kind in "ui" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        return float(limits.min), float(limits.max)
    span = high - low
    return low - 5 * span, high + 5 * span
