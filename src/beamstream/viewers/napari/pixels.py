"""Pixels as napari takes them: colours last, the machine's byte order, and a contrast that is worth showing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode

_COLOUR_AXIS = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}
_SAMPLES = 1 << 16
_PERCENTILES = (0.5, 99.8)


def plane_shape(shape: tuple[int, ...], mode: ColorMode) -> tuple[int, ...]:
    """Return the shape that `as_plane` gives frames of a shape: (rows, cols) or (rows, cols, 3)."""
    if mode not in _COLOUR_AXIS:
        return shape
    axis = _COLOUR_AXIS[mode]
    return (*(n for i, n in enumerate(shape) if i != axis), shape[axis])


def as_plane(image: NDArray[Any], mode: ColorMode) -> NDArray[Any]:
    """Return an image with its colours last, in this machine's byte order; a view where that is possible."""
    if mode in _COLOUR_AXIS:
        image = np.moveaxis(image, _COLOUR_AXIS[mode], 2)
    return image.astype(image.dtype.newbyteorder("="), copy=False)


def contrast(image: NDArray[Any]) -> tuple[float, float]:
    """Return the values to show darkest and brightest, from about 65 000 finite pixels; never equal."""
    stride = max(1, int((image.size / _SAMPLES) ** 0.5))
    few = np.asarray(image[::stride, ::stride], np.float64).ravel()
    few = few[np.isfinite(few)]
    if not few.size:
        return 0.0, 1.0
    low, high = np.percentile(few, _PERCENTILES).tolist()
    return (low, high) if high > low else (low, low + max(1.0, abs(low) * 1e-3))


def contrast_range(dtype: np.dtype[Any], low: float, high: float) -> tuple[float, float]:
    """Return how far the contrast may be moved by hand: over all values of the type, or ten times what is shown."""
    if dtype.kind in "ui" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        return float(limits.min), float(limits.max)
    span = high - low
    return low - 5 * span, high + 5 * span
