"""What a frame shows in numbers: how much, how even, where, and whether it is saturated."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.axes import as_rows, rows_and_columns

Array = NDArray[Any]
Roi = tuple[int, int, int, int]
"""First row, first column, n_rows, n_cols."""

_BLOCK = 1 << 16  # values; what numpy needs beside them stays in the cache
_ROWS_COLUMNS = {ColorMode.RGB1: (0, 1), ColorMode.RGB2: (0, 2), ColorMode.RGB3: (1, 2)}


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """A frame, or a region of it, in numbers that JSON can carry.

    In an image with colours each colour of a pixel is a value of its own; its intensity is their sum.

    Attributes
    ----------
    total : float
        Sum of the values, counts; exact for integers before it becomes a float.
    mean, std : float
        Counts; of all values, not of a sample.
    min, max : int or float
        Counts.
    centroid_row, centroid_col : float
        Where the intensity is, pixels of the whole image; 0 is the middle of the first pixel. The middle of the
        region where there is no intensity: the total is zero, negative or beyond float64. Negative pixels weigh
        negatively, and may push the centroid out of the region where they nearly balance the others.
    saturated : int
        How many values are the greatest that the integer type has; 0 for floats.
    not_finite : int
        How many values are NaN or infinite. They are left out of all the others, which are 0 if none is left.
    """

    total: float
    mean: float
    min: int | float
    max: int | float
    std: float
    centroid_row: float
    centroid_col: float
    saturated: int
    not_finite: int


@np.errstate(over="ignore", invalid="ignore")  # a total beyond float64 is infinite, not an error
def frame_statistics(
    image: Array, *, color_mode: ColorMode = ColorMode.MONO, roi: Roi | None = None
) -> FrameStatistics:
    """Return the statistics of an image or a region of it.

    From any thread; the GIL is free meanwhile. The first call for a pixel type waits for the compiler.

    Parameters
    ----------
    image : ndarray of integers, float32 or float64
        Any byte order, only read; not copied if it is contiguous and of the machine's byte order.
    color_mode : ColorMode
        Where rows, columns and colours lie. Without colours the last two axes are rows and columns, the pixels of all
        planes before them count, and numbers along one axis are one row.
    roi : tuple of int, optional
        First row, first column, n_rows, n_cols.

    Raises
    ------
    ValueError
        The region is empty or not inside the image, or the image has another shape than its colour mode.
    TypeError
        The pixels are neither integers nor float32 or float64.
    """
    from beamstream.ops import statistics_kernels

    pixels, axes = _region(image, color_mode, roi)
    plane = _plane(pixels, axes)
    number = float if plane.dtype.kind == "f" else int
    exact = number is int and plane.itemsize < 8  # sums of 64-bit integers need more than 64 bit
    row_sums = np.zeros(plane.shape[0], np.int64 if exact else np.float64)
    column_sums = np.zeros(plane.shape[1], row_sums.dtype)
    bottom, top = _limits(plane.dtype)
    lows, highs = np.full(plane.shape[1], top), np.full(plane.shape[1], bottom)
    full, lost = statistics_kernels.sums(plane, row_sums, column_sums, lows, highs, top)
    total = _total(plane) if number is int and not exact else float(row_sums.sum())
    count = pixels.size - lost
    mean = total / count if count else 0.0
    squares = statistics_kernels.squared_deviations(plane, mean)
    row, column = roi[:2] if roi is not None else (0, 0)
    split = max(axes)
    return FrameStatistics(
        total=total,
        mean=mean,
        min=number(lows.min()) if count else 0,
        max=number(highs.max()) if count else 0,
        std=math.sqrt(squares / count) if count else 0.0,
        centroid_row=row + _centroid(row_sums.reshape(pixels.shape[:split]), axes[0]),
        centroid_col=column + _centroid(column_sums.reshape(pixels.shape[split:]), axes[1] - split),
        saturated=int(full),
        not_finite=int(lost),
    )


@np.errstate(over="ignore", invalid="ignore")
def roi_sum(image: Array, roi: Roi, *, color_mode: ColorMode = ColorMode.MONO) -> float:
    """Return the sum of the values in a region, counts; the terms are those of `frame_statistics`."""
    return _total(_region(image, color_mode, roi)[0])


def _region(image: Array, color_mode: ColorMode, roi: Roi | None) -> tuple[Array, tuple[int, int]]:
    """Return the part of the image asked for, and which axes are rows and columns."""
    if image.dtype.kind not in "iu" and image.dtype.newbyteorder("=") not in (np.float32, np.float64):
        raise TypeError(f"statistics: pixels of type {image.dtype} came; integers, float32 or float64 can be counted")
    image = as_rows(image)
    coloured = color_mode in _ROWS_COLUMNS
    if not image.size or (image.ndim != 3 if coloured else image.ndim < 2):
        raise ValueError(f"statistics: a {color_mode} image asked for, one of shape {image.shape} came")
    axes = rows_and_columns("statistics", image, {"color_mode": color_mode})
    if roi is None:
        return image, axes
    selection = [slice(None)] * image.ndim
    for axis, start, length in zip(axes, roi[:2], roi[2:], strict=True):
        if start < 0 or length < 1 or start + length > image.shape[axis]:
            n_rows, n_cols = (image.shape[a] for a in axes)
            raise ValueError(
                f"statistics: region {roi} (row, column, n_rows, n_cols) asked for, the image has {n_rows} rows and "
                f"{n_cols} columns; choose one inside it"
            )
        selection[axis] = slice(start, start + length)
    return image[tuple(selection)], axes


def _plane(pixels: Array, axes: tuple[int, int]) -> Array:
    """Return the pixels as the loops take them, 2-D: colours join the columns, or the rows where they are not last."""
    plane = np.require(pixels, pixels.dtype.newbyteorder("="), ["C", "A"])
    plane = np.asarray(plane).reshape(math.prod(pixels.shape[: max(axes)]), -1)
    plane.flags.writeable = False  # numba compiles anew for memory that it may write
    return plane


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return the least and the greatest value of a pixel type, in that type."""
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    return dtype.type(np.iinfo(dtype).min), dtype.type(np.iinfo(dtype).max)


def _centroid(sums: Array, axis: int) -> float:
    """Return the mean position along an axis, weighted by the sums; the middle without a weight."""
    weights = sums.astype(np.float64).sum(axis=tuple(a for a in range(sums.ndim) if a != axis))
    total = float(weights.sum())
    if not 0.0 < total < math.inf:
        return (weights.size - 1) / 2
    return float(np.arange(weights.size) @ (weights / total))


def _total(pixels: Array) -> float:
    """Return the sum of all finite values; integers are added up exactly."""
    if pixels.dtype.kind == "f":
        return float(np.sum(pixels, where=np.isfinite(pixels), dtype=np.float64))
    if pixels.dtype.itemsize < 8:
        return float(np.sum(pixels, dtype=np.int64))
    values, total = pixels.reshape(-1), 0
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        total += (int(np.sum(block >> 32)) << 32) + int(np.sum(block & 0xFFFFFFFF))
    return float(total)
