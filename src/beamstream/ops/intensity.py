"""How bright a region of a frame is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.axes import as_rows, rows_and_columns
from beamstream.ops.statistics import Roi, roi_sum


def mean_intensity(image: NDArray[Any], region: Roi | None = None, color_mode: ColorMode = ColorMode.MONO) -> float:
    """Return the mean of the values in a region, counts; all colours and planes count, what is not finite does not.

    Parameters
    ----------
    image : ndarray of integers, float32 or float64
        Any byte order, only read.
    region : tuple of int, optional
        First row, first column, n_rows, n_cols; the whole image by default.
    color_mode : ColorMode

    Returns
    -------
    float
        NaN where no value is finite.

    Raises
    ------
    ValueError
        The region is empty or not inside the image.
    """
    image = as_rows(image)
    axes = rows_and_columns("intensity", image, {"color_mode": color_mode})
    row, col, n_rows, n_cols = region or (0, 0, image.shape[axes[0]], image.shape[axes[1]])
    total = roi_sum(image, (row, col, n_rows, n_cols), color_mode=color_mode)
    counted = n_rows * n_cols * (image.size // (image.shape[axes[0]] * image.shape[axes[1]]))
    if image.dtype.kind == "f":
        finite = np.isfinite(image).view(np.uint8)
        counted = round(roi_sum(finite, (row, col, n_rows, n_cols), color_mode=color_mode))
    return total / counted if counted else float("nan")
