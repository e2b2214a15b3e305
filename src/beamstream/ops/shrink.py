"""Make a region of an image smaller by area means: each pixel that comes out is the mean of those it covers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_COMPILED = (np.dtype("u1"), np.dtype("u2"), np.dtype("f4"))
"""The pixel types that have loops of their own; others are copied to float32 first."""


def area_means(image: Array, region: tuple[int, int, int, int], factor: int) -> NDArray[np.float32]:
    """Return the means of ``factor × factor`` pixels of a region.

    From any thread; the GIL is free meanwhile. The first call for a pixel type waits for the compiler. At the
    right and lower edge a mean is over as many pixels as there are. NaN and infinities do not count; where there
    is nothing else, the mean is NaN.

    Parameters
    ----------
    image : ndarray of real numbers, shape (n_rows, n_cols) or (n_rows, n_cols, n_channels)
        Only read; not copied if it is uint8, uint16 or float32, contiguous and of the machine's byte order.
    region : tuple of int
        First row, first column, rows, columns; inside the image.
    factor : int
        At least 1.

    Returns
    -------
    ndarray of float32, shape (⌈rows / factor⌉, ⌈columns / factor⌉) or with n_channels as well
        Counts; the caller's own memory.

    Raises
    ------
    ValueError
        The region is empty or not inside the image, or the factor is less than 1.
    """
    from beamstream.ops import shrink_kernels

    row, col, rows, cols = region
    _check(image.shape, region, factor)
    if factor == 1 and image.dtype.kind in "ui":
        return image[row : row + rows, col : col + cols].astype(np.float32)
    channels = image.shape[2] if image.ndim == 3 else 1
    pixels = _as_compiled(image, row, rows)
    first = row if pixels.shape[0] == image.shape[0] else 0
    out = np.empty((-(-rows // factor), -(-cols // factor), channels), np.float32)
    plane = pixels.reshape(pixels.shape[0], -1)
    plane.flags.writeable = False  # one compiled loop for frames of all owners
    shrink = shrink_kernels.finite_means if plane.dtype.kind == "f" else shrink_kernels.means
    shrink(plane, first, col, rows, cols, channels, factor, out.reshape(out.shape[0], -1))
    return out if image.ndim == 3 else out[:, :, 0]


def _as_compiled(image: Array, row: int, rows: int) -> Array:
    """Return the image as the loops take it, or only the rows that are needed where they have to be copied."""
    if image.dtype in _COMPILED and image.dtype.isnative and image.flags.c_contiguous and image.flags.aligned:
        return image.view()
    part = image[row : row + rows]
    kind = image.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite, and does not count
        return np.require(part, kind if kind in _COMPILED else np.float32, ["C", "A"]).view()


def _check(shape: tuple[int, ...], region: tuple[int, int, int, int], factor: int) -> None:
    row, col, rows, cols = region
    inside = row >= 0 and col >= 0 and rows > 0 and cols > 0 and row + rows <= shape[0] and col + cols <= shape[1]
    if not inside or factor < 1:
        raise ValueError(
            f"area means: region {region} (row, column, rows, columns) by {factor} asked for, the image has shape "
            f"{shape}; choose one inside it, and a factor of at least 1"
        )
