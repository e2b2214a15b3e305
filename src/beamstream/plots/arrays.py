"""Pixels made ready to be drawn: colours last, few enough, and the range that is worth showing."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.contrast import samples

Array = NDArray[Any]

MOST_PIXELS = 1100
"""Rows or columns that are drawn at most; more are averaged."""
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


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


def profile(plane: Array, axis: int) -> NDArray[np.float64]:
    """Return the means of the finite pixels along an axis; NaN where there are none."""
    if plane.dtype.kind != "f":
        return plane.mean(axis=axis, dtype=np.float64)
    finite = np.isfinite(plane)
    count = finite.sum(axis=axis)
    total = np.sum(plane, axis=axis, dtype=np.float64, where=finite)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def histogram(image: Array, low: float, high: float, bins: int = 96) -> NDArray[np.float64]:
    """Return how often values occur between two limits: roots of the counts, the largest 1."""
    counts = np.histogram(samples(image), bins, (low, high))[0].astype(np.float64)
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

    def follow_values(self, values: Iterable[Array]) -> bool:
        """Take data; see `follow`."""
        together = np.concatenate([np.ravel(part) for part in values])
        together = together[np.isfinite(together)]
        return together.size > 0 and self.follow(float(together.min()), float(together.max()))

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
