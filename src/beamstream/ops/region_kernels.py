"""The loops of the region statistics, compiled for one core when they are first called; importing this imports numba.

Parts have rows, columns and channels. A pixel belongs to the region where ``(dr / r)² + (dc / c)² <= 1``, with its
distance from the middle and the radii; infinite radii take all of the part.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.compiled import compiled

Array = NDArray[Any]


@compiled()
def _span(r: int, width: int, middle: tuple[float, float], radii: tuple[float, float]) -> tuple[int, int]:
    """Return which columns of a row belong to the region, as (start, stop)."""
    if not np.isfinite(radii[0]):
        return 0, width
    down = (r - middle[0]) / radii[0]
    if down * down > 1.0:
        return 0, 0
    reach = radii[1] * np.sqrt(1.0 - down * down)
    start, stop = np.ceil(middle[1] - reach), np.floor(middle[1] + reach) + 1.0
    return int(max(start, 0.0)), int(min(stop, float(width)))


@compiled(fastmath={"reassoc", "contract"})  # sums in any order, or they do not vectorise; NaN stays NaN
def sums(part: Array, middle: tuple[float, float], radii: tuple[float, float]) -> tuple[Any, float, float]:
    """Return sums, least and greatest value.

    The sums: pixels, finite values, their total, total weighted by row and by column, and rows and columns alone.
    """
    pixels, count = 0.0, 0.0
    total, down, across, all_down, all_across = 0.0, 0.0, 0.0, 0.0, 0.0
    lows, highs = np.full(part.shape[1], np.inf), np.full(part.shape[1], -np.inf)  # one of each would not vectorise
    for r in range(part.shape[0]):
        start, stop = _span(r, part.shape[1], middle, radii)
        many = max(0, stop - start)
        pixels += many
        all_down += float(r) * many
        all_across += 0.5 * (start + stop - 1) * many
        for k in range(part.shape[2]):
            of_row, weighted, there = 0.0, 0.0, 0
            for c in range(start, stop):
                value = np.float64(part[r, c, k])
                finite = np.isfinite(value)
                there += finite
                kept = value if finite else 0.0
                of_row += kept
                weighted += kept * c
                lows[c] = min(lows[c], value) if finite else lows[c]
                highs[c] = max(highs[c], value) if finite else highs[c]
            count += there
            total += of_row
            across += weighted
            down += of_row * r
    return (pixels, count, total, down, across, all_down, all_across), lows.min(), highs.max()


@compiled(fastmath={"reassoc", "contract"})
def squares(part: Array, middle: tuple[float, float], radii: tuple[float, float], mean: float) -> float:
    """Return the sum of the squared deviations from the mean."""
    total = 0.0
    for r in range(part.shape[0]):
        start, stop = _span(r, part.shape[1], middle, radii)
        for k in range(part.shape[2]):
            of_row = 0.0
            for c in range(start, stop):
                deviation = np.float64(part[r, c, k]) - mean
                of_row += deviation * deviation if np.isfinite(deviation) else 0.0
            total += of_row
    return total
