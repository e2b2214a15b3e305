"""Ops on the values of an image: median, Gaussian, clip, threshold."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import PipelineError
from beamstream.ops.axes import rows_and_columns
from beamstream.ops.base import Meta
from beamstream.ops.dtypes import for_fractions
from beamstream.ops.options import Described, number, one_of, whole, wrong

_BAND = 16  # rows; what is sorted stays in the cache
_NETWORK = ((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
            (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2))  # fmt: skip
"""Which of nine to compare, in turn, so that the median ends in the middle (Smith's network of 19)."""


class MedianFilter(Described):
    """Remove outliers: each pixel becomes the median of a square around it.

    The pixel type stays (float16 becomes float32). The image is mirrored at its edges. What becomes of a NaN and the
    pixels around it is not defined. A square of 3 is many times faster than a larger one; a larger one rounds 64-bit
    integers beyond 2⁵³.

    Parameters
    ----------
    kernel_size : int
        Side of the square, pixels; odd.
    """

    def __init__(self, kernel_size: int = 3) -> None:
        self.kernel_size = whole("median", "kernel_size", kernel_size, least=1)
        if self.kernel_size % 2 == 0:
            raise wrong("median", "kernel_size", kernel_size, f"give an odd number, {kernel_size + 1} for example")

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the filtered image."""
        axes = rows_and_columns("median", image, meta)
        if self.kernel_size == 3:
            return _median_of_nine(image, axes)
        from scipy.ndimage import median_filter

        size = [self.kernel_size if axis in axes else 1 for axis in range(image.ndim)]
        return median_filter(_known_to_scipy(image), size=size)


class GaussianFilter(Described):
    """Smooth the image with a Gaussian; the result is a float image (float32 up to 16 bit, else float64).

    The image is mirrored at its edges; the Gaussian ends at 4 sigma.

    Parameters
    ----------
    sigma : float
        Standard deviation, pixels.
    """

    def __init__(self, sigma: float = 1.0) -> None:
        self.sigma = number("gaussian", "sigma", sigma, above=0)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the smooth image."""
        from scipy.ndimage import gaussian_filter

        axes = rows_and_columns("gaussian", image, meta)
        sigma = [self.sigma if axis in axes else 0 for axis in range(image.ndim)]
        return gaussian_filter(_known_to_scipy(image), sigma, output=for_fractions(image.dtype))


class Clip(Described):
    """Bound the values; the pixel type stays.

    A bound beyond what the pixel type can hold has no effect; fractions are rounded inwards for integers.

    Parameters
    ----------
    low, high : float, optional
        Bounds, counts; at least one.
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self.low = None if low is None else number("clip", "low", low)
        self.high = None if high is None else number("clip", "high", high)
        if self.low is None and self.high is None:
            raise PipelineError("clip: neither low nor high is given; give one of them or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise wrong("clip", "low", low, f"give at most high = {high!r}")

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the image with every value within the bounds."""
        low, high = self.low, self.high
        if image.dtype.kind in "ui":
            kind = np.iinfo(image.dtype)
            low = kind.min if low is None else max(math.ceil(low), kind.min)
            high = kind.max if high is None else min(math.floor(high), kind.max)
            if low > high:
                words = f"clip: {image.dtype} has no value within {self.low} and {self.high}"
                raise PipelineError(f"{words}; widen the bounds")
        return np.clip(image, low, high)


class Threshold(Described):
    """Keep what is bright: pixels below the level become 0.

    Parameters
    ----------
    level : float
        Counts; pixels of this value count as bright, NaN does not.
    mode : {"zero", "binary"}
        ``zero`` keeps the bright values and the pixel type; ``binary`` makes uint8, 1 bright and 0 dark.
    """

    def __init__(self, level: float, mode: str = "zero") -> None:
        self.level = number("threshold", "level", level)
        self.mode = one_of("threshold", "mode", mode, ("zero", "binary"))

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the bright pixels."""
        bright = image >= self.level
        if self.mode == "binary":
            return bright.view(np.uint8)
        return np.where(bright, image, np.zeros((), image.dtype))


def _median_of_nine(image: NDArray[Any], axes: tuple[int, int]) -> NDArray[Any]:
    """Return each pixel's median with its eight neighbours, sorted for all pixels of a few rows at once."""
    lines = np.moveaxis(_known_to_scipy(image), axes, (0, 1))
    padded = np.pad(lines, [(1, 1), (1, 1), *[(0, 0)] * (lines.ndim - 2)], mode="symmetric")
    result = np.empty_like(lines)
    for first in range(0, lines.shape[0], _BAND):
        last = min(first + _BAND, lines.shape[0])
        nine = [padded[first + row : last + row, col : col + lines.shape[1]] for row in range(3) for col in range(3)]
        for low, high in _NETWORK:
            nine[low], nine[high] = np.minimum(nine[low], nine[high]), np.maximum(nine[low], nine[high])
        result[first:last] = nine[4]
    return np.moveaxis(result, (0, 1), axes)


def _known_to_scipy(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image in a type that scipy.ndimage takes: no float16, native byte order."""
    if image.dtype == np.float16:
        return image.astype(np.float32)
    return image if image.dtype.isnative else image.astype(image.dtype.newbyteorder("="))
