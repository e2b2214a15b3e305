"""Line profiles of frames that become the rows of an image growing in time, one image for each azimuth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.axes import as_rows, rows_and_columns
from beamstream.ops.statistics import Roi


def line_profile(
    image: NDArray[Any],
    region: Roi | None = None,
    *,
    average: Literal["rows", "columns"] = "rows",
    color_mode: ColorMode = ColorMode.MONO,
) -> NDArray[np.float32]:
    """Return the mean of a band of rows or columns, one value for each place along it, over colours and planes too.

    Parameters
    ----------
    image : ndarray
    region : tuple of int, optional
        First row, first column, n_rows, n_cols; the whole image by default.
    average : {"rows", "columns"}
        What the mean is over: ``"rows"`` leaves one value a column.
    color_mode : ColorMode

    Returns
    -------
    ndarray of float32, shape (n_cols,) or (n_rows,)
        Counts; the caller's own.

    Raises
    ------
    ValueError
        The region is not inside the image.
    """
    image = as_rows(image)
    axes = rows_and_columns("strip", image, {"color_mode": color_mode})
    shape = image.shape[axes[0]], image.shape[axes[1]]
    place = [slice(None)] * image.ndim
    for axis, size, start, length in zip(
        axes, shape, (region or (0, 0))[:2], (region or (0, 0, *shape))[2:], strict=True
    ):
        if start < 0 or length < 1 or start + length > size:
            raise ValueError(
                f"strip: region {region} (row, column, n_rows, n_cols) asked for, the image has {shape[0]} rows and "
                f"{shape[1]} columns; choose one inside it"
            )
        place[axis] = slice(start, start + length)
    part = image[tuple(place)]
    along = axes[1] if average == "rows" else axes[0]
    over = tuple(axis for axis in range(image.ndim) if axis != along)
    exact = part.dtype.kind in "iu" and part.dtype.itemsize < 4  # sums fit, and are twice as fast
    sums = part.sum(axis=over, dtype=np.int64 if exact else np.float64)
    return (sums / (part.size // part.shape[along])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Say at which azimuth a rotating sample is: ``azimuth + 360 (t - reference) rotations_per_min / 60``.

    Attributes
    ----------
    rotations_per_min : float
        Negative turns the other way; 0 rests.
    azimuth : float
        Degrees at `reference`.
    reference : float
        s since 1970-01-01 UTC.
    """

    rotations_per_min: float
    azimuth: float = 0.0
    reference: float = 0.0

    def at(self, time: float) -> float:
        """Return the azimuth at a time (s since 1970-01-01 UTC), degrees from 0 to 360."""
        return (self.azimuth + 6.0 * self.rotations_per_min * (time - self.reference)) % 360.0

    def sector(self, time: float, angles: Sequence[float], tolerance: float) -> int | None:
        """Return which of some angles (degrees) is nearest at a time; None if it is further than `tolerance`."""
        here = self.at(time)
        distances = [abs(math.remainder(here - angle, 360.0)) for angle in angles]
        nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] <= tolerance else None
