"""What a region of an image shows in numbers, rectangle or ellipse, and the profile along a line."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_MOST_SAMPLES = 8192


@dataclass(frozen=True, slots=True)
class RegionStatistics:
    """A region in numbers; in an image with colours each colour of a pixel is a value of its own.

    Attributes
    ----------
    total, mean, std, min, max : float
        Counts, of all finite values; NaN where there is none.
    row, col : float
        Where the intensity is, pixels of the whole image; 0 is the middle of the first pixel. The middle of the
        region's pixels where there is no intensity: the total is not above zero.
    pixels : int
        How many pixels of the image belong to the region.
    """

    total: float
    mean: float
    std: float
    min: float
    max: float
    row: float
    col: float
    pixels: int


def region_statistics(
    image: Array, place: tuple[float, float, float, float], *, ellipse: bool = False
) -> RegionStatistics:
    """Return the statistics of the pixels whose middles lie in a region; none need do.

    From any thread; the GIL is free meanwhile. The first call for a pixel type waits for the compiler.

    Parameters
    ----------
    image : ndarray of real numbers, shape (n_rows, n_cols) or (n_rows, n_cols, n_channels)
        Only read; the part that is needed is copied unless it is contiguous and of a type that has a loop.
    place : tuple of float
        First row, first column, rows, columns; pixel i reaches from i to i + 1. It may reach beyond the image.
    ellipse : bool
        Only what is in the ellipse that fits into this rectangle.
    """
    from beamstream.ops import region_kernels

    row, col, rows, cols = place
    top, bottom = (min(max(math.ceil(edge - 0.5), 0), image.shape[0]) for edge in (row, row + rows))
    left, right = (min(max(math.ceil(edge - 0.5), 0), image.shape[1]) for edge in (col, col + cols))
    if top >= bottom or left >= right:
        return _nothing(row + rows / 2 - 0.5, col + cols / 2 - 0.5, 0)
    part = _part(image[top:bottom, left:right])
    middle = (row + rows / 2 - 0.5 - top, col + cols / 2 - 0.5 - left)
    radii = (rows / 2, cols / 2) if ellipse else (math.inf, math.inf)
    sums, low, high = region_kernels.sums(part, middle, radii)
    pixels, count, total, down, across, all_down, all_across = sums
    if not count:
        return _nothing(*_middle(top, left, all_down, all_across, pixels), int(pixels))
    mean = total / count
    squares = region_kernels.squares(part, middle, radii, mean)
    if total > 0:
        row, col = top + down / total, left + across / total
    else:
        row, col = _middle(top, left, all_down, all_across, pixels)
    return RegionStatistics(total, mean, math.sqrt(squares / count), low, high, row, col, int(pixels))


def _nothing(row: float, col: float, pixels: int) -> RegionStatistics:
    return RegionStatistics(0.0, math.nan, math.nan, math.nan, math.nan, row, col, pixels)


def _middle(top: int, left: int, down: float, across: float, pixels: float) -> tuple[float, float]:
    return (top + down / pixels, left + across / pixels) if pixels else (float(top), float(left))


def _part(part: Array) -> Array:
    """Return pixels as the loops take them, three axes."""
    kind = part.dtype.newbyteorder("=")
    if kind not in (np.uint8, np.uint16, np.float32):
        kind = np.dtype(np.float64)
    part = np.require(part, kind, ["A"])
    part = (part if part.ndim == 3 else part[:, :, None]).view()
    part.flags.writeable = False  # one compiled loop for frames of all owners
    return part


def line_profile(image: Array, row: int, col: int, row2: int, col2: int) -> Array:
    """Return the values of the pixels along a line from the middle of one pixel to that of another.

    One for each step of a pixel's length, both ends included, each the value of the nearest pixel; of long lines
    8192, evenly spaced. Outside of the image there is NaN, and the result is float64 then.

    Returns
    -------
    ndarray of the image's type, shape (n_samples,) or (n_samples, n_channels)
    """
    number = min(_MOST_SAMPLES, round(math.hypot(row2 - row, col2 - col)) + 1)
    rows = np.rint(np.linspace(row, row2, number)).astype(np.intp)
    cols = np.rint(np.linspace(col, col2, number)).astype(np.intp)
    inside = (rows >= 0) & (rows < image.shape[0]) & (cols >= 0) & (cols < image.shape[1])
    if inside.all():
        return image[rows, cols]
    values = np.full((number, *image.shape[2:]), np.nan)
    values[inside] = image[rows[inside], cols[inside]]
    return values
