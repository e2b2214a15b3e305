"""Pixels made ready to be drawn: colours last, few enough, and the range that is worth showing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode

Array = NDArray[Any]

MOST_PIXELS = 1100
"""Rows or columns that are drawn at most; more are averaged."""
_SAMPLES = 1 << 16
_COLOUR_AXIS = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def colours_last(image: Array, mode: ColorMode) -> Array:
    """Return an image as rows × columns or rows × columns × 3, a view.

    Raises
    ------
    ValueError
        It is neither an image nor one with three colours.
    """
    if image.ndim == 2:
        return image
    if image.ndim == 3:
        axes = [_COLOUR_AXIS.get(mode, 2), 2, 1, 0]  # what made it from a frame may have moved the colours
        for axis in axes:
            if image.shape[axis] == 3:
                return np.moveaxis(image, axis, 2)
    raise ValueError(f"an image of shape {image.shape} cannot be drawn; rows and columns, or these and 3 colours can")


def reduced(image: Array, most: int = MOST_PIXELS) -> tuple[Array, tuple[int, int]]:
    """Return an image of at most `most` rows and columns, and how many rows and columns one of its pixels is.

    Blocks are averaged; rows and columns that fill no block are cut off at the end.
    """
    from beamstream.ops.reduce import Bin

    rows, columns = (-(-n // most) for n in image.shape[:2])
    if rows == columns == 1:
        return image, (1, 1)
    mode = ColorMode.MONO if image.ndim == 2 else ColorMode.RGB1
    return Bin([rows, columns]).apply(image, {"color_mode": str(mode)}), (rows, columns)


def grey(image: Array) -> NDArray[np.float32]:
    """Return the brightness of an image with colours last, float32."""
    if image.ndim == 2:
        return image.astype(np.float32, copy=False)
    return image.astype(np.float32) @ _GREY


def contrast(image: Array, percentile: tuple[float, float]) -> tuple[float, float]:
    """Return the values to show darkest and brightest, from about 65 000 pixels that are finite; never equal."""
    stride = max(1, int((image.size / _SAMPLES) ** 0.5))
    few = np.asarray(image[::stride, ::stride], np.float64).ravel()
    few = few[np.isfinite(few)]
    if not few.size:
        return 0.0, 1.0
    low, high = np.percentile(few, percentile).tolist()
    return (low, high) if high > low else (low, low + max(1.0, abs(low) * 1e-3))


def histogram(image: Array, low: float, high: float, bins: int = 96) -> NDArray[np.float64]:
    """Return how often values occur between two limits: roots of the counts, the largest 1."""
    stride = max(1, int((image.size / _SAMPLES) ** 0.5))
    few = np.asarray(image[::stride, ::stride], np.float64).ravel()
    counts = np.histogram(few[np.isfinite(few)], bins, (low, high))[0].astype(np.float64)
    return np.sqrt(counts / max(1.0, counts.max()))


class Span:
    """Limits of an axis that follow the data, but not their flicker.

    Parameters
    ----------
    margin : float
        Room that is left on either side, as a part of the data's span; also how far data may move without effect.
    """

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._data: tuple[float, float] | None = None
        self.limits = (0.0, 1.0)

    def follow(self, low: float, high: float) -> bool:
        """Take the data's extremes; return whether the limits have changed."""
        if not (np.isfinite(low) and np.isfinite(high)):
            return False
        span = high - low or max(1.0, abs(high) * 1e-3)
        if self._data is not None:
            slack = 0.9 * max(self._margin, 0.05) * (self._data[1] - self._data[0])
            if abs(low - self._data[0]) <= slack and abs(low + span - self._data[1]) <= slack:
                return False
        self._data = (low, low + span)
        self.limits = (low - self._margin * span, low + span + self._margin * span)
        return True
