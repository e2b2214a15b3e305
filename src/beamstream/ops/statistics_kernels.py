"""The loops of the frame statistics, compiled for one core when they are first called; importing this imports numba.

Images are 2-D, contiguous, aligned, of the machine's byte order. Pixels that are not finite are left out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.compiled import compiled

Array = NDArray[Any]


@compiled(fastmath={"reassoc", "contract"})  # sums in any order, or they do not vectorise; NaN stays NaN
def sums(image: Array, row_sums: Array, column_sums: Array, lows: Array, highs: Array, top: Any) -> tuple[Any, Any]:
    """Add up rows and columns into `row_sums` and `column_sums`: int64 or float64, zeros at first.

    `lows` and `highs` become least and greatest of each column (of all together would not vectorise for floats);
    they start at the limits of the pixel type, for floats at inf and -inf. Returns how many pixels are `top`, and
    how many are not finite.
    """
    full, lost = np.int64(0), np.int64(0)
    zero = image.dtype.type(0)
    for r in range(image.shape[0]):
        line = image[r]
        total = row_sums.dtype.type(0)
        for c in range(line.size):
            finite = np.isfinite(line[c])
            pixel = line[c] if finite else zero
            total += pixel
            column_sums[c] += pixel
            lows[c] = min(lows[c], line[c]) if finite else lows[c]
            highs[c] = max(highs[c], line[c]) if finite else highs[c]
            full += finite and line[c] == top
            lost += not finite
        row_sums[r] = total
    return full, lost


@compiled(fastmath={"reassoc", "contract"})
def squared_deviations(image: Array, mean: float) -> float:
    """Return the sum of ``(pixel - mean)²`` in float64."""
    total = 0.0
    for r in range(image.shape[0]):
        line = image[r]
        of_row = 0.0
        for c in range(line.size):
            deviation = np.float64(line[c]) - mean
            of_row += deviation * deviation if np.isfinite(line[c]) else 0.0
        total += of_row
    return total
