"""The loops that make coloured pixels of values, compiled when they are first called; importing this imports numba.

Each device pixel takes the value at ``(rows[y], cols[x])``, or at ``(rows[x], cols[y])`` where the frame is turned.
Tables have one colour for each value (integers) or step (floats), 0xffRRGGBB; NaN gets `nothing`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.compiled import compiled

Array = NDArray[Any]
_TILE = 32
"""Device pixels whose values still lie in the cache when the next line of a turned frame asks for their neighbours."""


@compiled()
def integers(pixels: Array, rows: Array, cols: Array, turned: bool, table: Array, out: Array) -> None:
    """Colour integers of 8 or 16 bit."""
    if not turned:
        for y in range(out.shape[0]):
            line = pixels[rows[y]]
            for x in range(out.shape[1]):
                out[y, x] = table[line[cols[x]]]
        return
    for top in range(0, out.shape[0], _TILE):
        for x in range(out.shape[1]):
            line = pixels[rows[x]]
            for y in range(top, min(top + _TILE, out.shape[0])):
                out[y, x] = table[line[cols[y]]]


@compiled()
def step(value: Any, low: Any, gain: Any, top: Any) -> Any:
    """Return which colour a value gets: 0 to `top`, all float32."""
    return np.int32(min(max((value - low) * gain + np.float32(0.5), np.float32(0)), top))


@compiled()
def floats(
    pixels: Array, rows: Array, cols: Array, turned: bool, table: Array, low: Any, gain: Any, nothing: Any, out: Array
) -> None:
    """Colour float32."""
    top = np.float32(table.size - 1)
    if not turned:
        for y in range(out.shape[0]):
            line = pixels[rows[y]]
            for x in range(out.shape[1]):
                value = line[cols[x]]
                out[y, x] = nothing if np.isnan(value) else table[step(value, low, gain, top)]
        return
    for tile in range(0, out.shape[0], _TILE):
        for x in range(out.shape[1]):
            line = pixels[rows[x]]
            for y in range(tile, min(tile + _TILE, out.shape[0])):
                value = line[cols[y]]
                out[y, x] = nothing if np.isnan(value) else table[step(value, low, gain, top)]


@compiled()
def colours(pixels: Array, rows: Array, cols: Array, turned: bool, table: Array, out: Array) -> None:
    """Put the three values of each pixel, integers of 8 or 16 bit, through a table of 0 to 255."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            pixel = pixels[rows[x], cols[y]] if turned else pixels[rows[y], cols[x]]
            red, green, blue = table[pixel[0]], table[pixel[1]], table[pixel[2]]
            out[y, x] = 0xFF000000 | (red << 16) | (green << 8) | blue


@compiled()
def float_colours(
    pixels: Array, rows: Array, cols: Array, turned: bool, table: Array, low: Any, gain: Any, nothing: Any, out: Array
) -> None:
    """Put the three values of each pixel, float32, through a table of 0 to 255."""
    top = np.float32(table.size - 1)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            pixel = pixels[rows[x], cols[y]] if turned else pixels[rows[y], cols[x]]
            if np.isnan(pixel[0] + pixel[1] + pixel[2]):
                out[y, x] = nothing
                continue
            red, green = table[step(pixel[0], low, gain, top)], table[step(pixel[1], low, gain, top)]
            out[y, x] = 0xFF000000 | (red << 16) | (green << 8) | table[step(pixel[2], low, gain, top)]
