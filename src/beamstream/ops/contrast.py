"""Which values of an image become black and white: from its finite pixels, and no single one decides."""

from math import ceil, floor, gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.eight_bit import EightBit

PERCENTILES = (0.5, 99.8)
"""Which part of the pixels is black, and not white yet, per cent."""
SAMPLES = 1 << 15
_LARGEST = float(np.finfo(np.float32).max)  # screens draw float32: beyond, a value is infinite


def samples(image: NDArray[Any], most: int = SAMPLES) -> NDArray[np.float64]:
    """Return at most about `most` finite values from everywhere in an image, in memory of their own.

    Each row and each column has its part, whatever their number: a hot row or column counts for no more than it is.
    """
    step = max(1, ceil(image.size / most))
    if image.flags.c_contiguous and image.size:
        while gcd(step, image.size // image.shape[0]) > 1:
            step += 1
        few = image.reshape(-1)[::step]
    else:  # colours that were moved, a part of an image: without a copy of all of it
        few = image[tuple(slice(None, None, ceil(step**0.5)) for _ in image.shape[:2])]
    few = few.astype(np.float64).reshape(-1)
    return few[np.abs(few) <= _LARGEST]  # NaN is not


def limits(few: NDArray[np.float64], percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float]:
    """Return which values become black and white, finite and never equal.

    With percentiles other than 0 and 100 neither the least nor the greatest value decides, however few there are: one
    hot pixel, or a dead one, takes nothing from the contrast of the others.

    Parameters
    ----------
    few : ndarray of float64
        Of `samples`.
    percentiles : tuple of float
        0 to 100, the smaller one first.
    """
    if not few.size:
        return 0.0, 1.0
    first, last = ceil(percentiles[0] / 100 * (few.size - 1)), floor(percentiles[1] / 100 * (few.size - 1))
    if first >= last:  # too few to leave any out
        first, last = 0, few.size - 1
    low, high = np.partition(few, (first, last))[[first, last]].tolist()
    return low, high if high > low else low + max(1.0, abs(low) * 1e-3)


def as_seen(image: NDArray[Any], percentiles: tuple[float, float] = PERCENTILES) -> NDArray[np.uint8]:
    """Return an image in 8 bit for a picture file; NaN is black. Colours of 8 bit are returned as they are."""
    if image.ndim == 3 and image.dtype == np.uint8:
        return image
    low, high = limits(samples(image), percentiles)
    return EightBit("window", low=low, high=high).apply(image)
