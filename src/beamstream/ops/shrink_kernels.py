"""The loops that make images smaller, compiled for one core when they are first called; importing this imports numba.

Planes are 2-D, contiguous, aligned, of the machine's byte order; the values of one pixel's channels are neighbours.
Rows are added up first, which vectorises, then neighbours in the one row that is left.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.compiled import compiled

Array = NDArray[Any]


@compiled(fastmath={"reassoc", "contract"})
def means(plane: Array, row: int, col: int, rows: int, cols: int, channels: int, factor: int, out: Array) -> None:
    """Write the area means of integers of up to 16 bit into `out`, float32."""
    width = cols * channels
    line = np.empty(width, np.uint32)
    for r in range(out.shape[0]):
        top = row + r * factor
        height = min(factor, row + rows - top)
        line[:] = 0
        for i in range(top, top + height):
            source = plane[i, col * channels : col * channels + width]
            for c in range(width):
                line[c] += source[c]
        if channels == 1:
            _narrowed(line, cols, factor, height, out[r])
        else:
            _narrowed_colours(line, cols, channels, factor, height, out[r])


@compiled(fastmath={"reassoc", "contract"})
def _narrowed(line: Array, cols: int, factor: int, height: int, out: Array) -> None:
    """Write the means of neighbours in a row of sums over `height` rows."""
    whole = cols // factor
    weight = np.float32(1.0 / (height * factor))
    for c in range(whole):
        total = np.uint64(0)
        for k in range(factor):
            total += line[c * factor + k]
        out[c] = np.float32(total) * weight
    if whole < out.size:
        total = np.uint64(0)
        for k in range(whole * factor, cols):
            total += line[k]
        out[whole] = np.float32(total) / np.float32(height * (cols - whole * factor))


@compiled(fastmath={"reassoc", "contract"})
def _narrowed_colours(line: Array, cols: int, channels: int, factor: int, height: int, out: Array) -> None:
    """Do the same where the values of one pixel's channels are neighbours."""
    for c in range(out.size // channels):
        first, last = c * factor, min(cols, (c + 1) * factor)
        weight = np.float32(1.0 / (height * (last - first)))
        for channel in range(channels):
            total = np.uint64(0)
            for k in range(first, last):
                total += line[k * channels + channel]
            out[c * channels + channel] = np.float32(total) * weight


@compiled(fastmath={"reassoc", "contract"})
def finite_means(
    plane: Array, row: int, col: int, rows: int, cols: int, channels: int, factor: int, out: Array
) -> None:
    """Write the area means of what is finite into `out`, float32; NaN where nothing is.

    Rows are added up as they are; only where that gives something that is not finite, pixels are counted.
    """
    width = cols * channels
    line = np.empty(width, np.float32)
    counts = np.empty(width, np.float32)
    for r in range(out.shape[0]):
        top = row + r * factor
        height = min(factor, row + rows - top)
        line[:] = plane[top, col * channels : col * channels + width]
        for i in range(top + 1, top + height):
            source = plane[i, col * channels : col * channels + width]
            for c in range(width):
                line[c] += source[c]
        odd = 0
        for c in range(width):
            odd += not np.isfinite(line[c])
        if odd == 0 and channels == 1:
            _narrowed_floats(line, cols, factor, height, out[r])
        else:
            block = plane[top : top + height, col * channels : col * channels + width]
            _counted(block, cols, channels, factor, line, counts, out[r])


@compiled(fastmath={"reassoc", "contract"})
def _narrowed_floats(line: Array, cols: int, factor: int, height: int, out: Array) -> None:
    """Write the means of neighbours in a row of sums over `height` rows, all of them finite."""
    whole = cols // factor
    weight = np.float32(1.0 / (height * factor))
    if factor == 2:  # the usual one; the loop below does not vectorise
        for c in range(whole):
            out[c] = (line[2 * c] + line[2 * c + 1]) * weight
    else:
        for c in range(whole):
            total = np.float32(0)
            for k in range(factor):
                total += line[c * factor + k]
            out[c] = total * weight
    if whole < out.size:
        total = np.float32(0)
        for k in range(whole * factor, cols):
            total += line[k]
        out[whole] = total / np.float32(height * (cols - whole * factor))


@compiled(fastmath={"reassoc", "contract"})
def _counted(block: Array, cols: int, channels: int, factor: int, line: Array, counts: Array, out: Array) -> None:
    """Write the means of what is finite in some rows; `line` and `counts` are room to work in."""
    line[:] = 0
    counts[:] = 0
    for i in range(block.shape[0]):
        for c in range(line.size):
            finite = np.isfinite(block[i, c])
            line[c] += block[i, c] if finite else np.float32(0)
            counts[c] += np.float32(1) if finite else np.float32(0)
    for c in range(out.size // channels):
        last = min(cols, (c + 1) * factor)
        for channel in range(channels):
            total, count = np.float64(0), np.float64(0)
            for k in range(c * factor, last):
                total += line[k * channels + channel]
                count += counts[k * channels + channel]
            out[c * channels + channel] = total / count if count else np.nan


@compiled(fastmath={"reassoc", "contract"})
def limits(values: Array) -> tuple[Any, Any]:
    """Return the least and the greatest finite value of a 1-D array; (0, 0) if there is none."""
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for i in range(values.size):
        finite = np.isfinite(values[i])
        low = min(low, values[i]) if finite else low
        high = max(high, values[i]) if finite else high
    return (low, high) if low <= high else (np.float32(0), np.float32(0))


@compiled()
def quantised(values: Array, offset: float, factor: float, most: float, out: Array) -> None:
    """Write ``(value - offset) × factor``, rounded and clipped to 0 … most, into `out`; what is not finite is 0."""
    shift, gain, top = np.float32(offset), np.float32(factor), np.float32(most)
    for i in range(values.size):
        value = (values[i] - shift) * gain + np.float32(0.5)
        out[i] = np.uint32(min(max(value, np.float32(0)), top)) if np.isfinite(value) else 0
