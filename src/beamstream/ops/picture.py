"""What can be looked at of an array: rows and columns, with colours or without; of others a plane, or a curve."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode

Array = NDArray[Any]

_COLOUR_AXIS = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}
_CURVE_ROWS, _CURVE_COLUMNS = 256, 1024  # of its picture, at most


class Picture(NamedTuple):
    """What is looked at, and in words what of the array that is; no words where it is all of it."""

    image: Array
    words: str = ""


def picture_of(image: Array, mode: ColorMode = ColorMode.MONO, *, curve: bool = True) -> Picture:
    """Return rows and columns, colours behind them: a view, but of a curve.

    Of a stack of planes, and of more axes, it is the plane in the middle; numbers along one axis become the picture of
    their curve. Three values along the last axis are colours where the mode is unknown.

    Parameters
    ----------
    image : ndarray
        One axis or more, none of length 0.
    mode : ColorMode
        How colours lie in memory, as far as the array has them: what a pipeline made may have none, or elsewhere.
    curve : bool
        False: numbers along one axis become one row, for those who draw curves themselves.

    Raises
    ------
    ValueError
        There is nothing to look at.
    """
    if not image.size or not image.ndim:
        raise ValueError(f"an array of shape {image.shape} cannot be shown; it has no pixels")
    if image.ndim == 1:
        return _curve(image) if curve else Picture(image[np.newaxis])
    axis = _colours_of(image, mode)
    if axis is not None:
        return Picture(np.moveaxis(image, axis, 2))
    if image.ndim == 3 and image.shape[2] == 1:
        return Picture(image[:, :, 0])
    ahead = image.shape[:-2]
    middle = tuple(n // 2 for n in ahead)
    return Picture(image[middle], _which(middle, ahead))


def _colours_of(image: Array, mode: ColorMode) -> int | None:
    """Return the axis of the colours; None if there is none."""
    if image.ndim != 3:
        return None
    axes = (2,) if mode not in _COLOUR_AXIS else (_COLOUR_AXIS[mode], 2, 1, 0)
    return next((axis for axis in axes if image.shape[axis] == 3), None)


def _which(at: tuple[int, ...], sizes: tuple[int, ...]) -> str:
    """Name a plane by its place along the axes before it, counted from 0, as slices do."""
    several = [(place, size) for place, size in zip(at, sizes, strict=True) if size > 1]
    if not several:
        return ""
    places, counts = (", ".join(map(str, part)) for part in zip(*several, strict=True))
    return f"plane {places} of {counts.replace(', ', ' × ')}"


def _curve(values: Array) -> Picture:
    """Draw numbers as a curve: 255 on it, 0 elsewhere; each column from the least to the greatest of its numbers."""
    finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    where = np.flatnonzero(finite)
    out = np.zeros((_CURVE_ROWS, min(values.size, _CURVE_COLUMNS)), np.uint8)
    if not where.size:
        return Picture(out, f"curve of {values.size} values, none of them finite")
    known = values[where].astype(np.float64)
    low, high = float(known.min()), float(known.max())
    rows = np.rint((known / 2 - low / 2) * ((_CURVE_ROWS - 1) / ((high / 2 - low / 2) or 1.0))).astype(np.intp)
    columns = where * out.shape[1] // values.size
    tops, bottoms = np.full(out.shape[1], -1), np.full(out.shape[1], _CURVE_ROWS)
    np.maximum.at(tops, columns, rows)
    np.minimum.at(bottoms, columns, rows)
    _join(tops, bottoms)
    heights = np.arange(_CURVE_ROWS)[::-1, np.newaxis]
    out[(bottoms <= heights) & (heights <= tops)] = 255
    return Picture(out, f"curve of {values.size} values, {low:.6g} to {high:.6g}")


def _join(tops: NDArray[np.intp], bottoms: NDArray[np.intp]) -> None:
    """Extend each column to the one before, where both have something: a curve has no holes between its points."""
    there = tops >= 0
    both = np.flatnonzero(there[1:] & there[:-1])
    top, bottom = tops.copy(), bottoms.copy()
    tops[both + 1] = np.maximum(top[both + 1], bottom[both] - 1)
    bottoms[both + 1] = np.minimum(bottom[both + 1], top[both] + 1)
