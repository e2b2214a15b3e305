"""Rows made fewer for a page that cannot take them all."""

import numpy as np
from numpy.typing import NDArray


def combined(
    values: NDArray[np.float32], times: NDArray[np.float64], number: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.uint32]]:
    """Return the means of every `number` neighbouring rows, of their times, and how many each is of.

    NaN does not count; where there is nothing else, the mean is NaN.
    """
    n, m = values.shape
    more = -n % number  # rows of nothing that fill the last group
    groups = np.pad(values, ((0, more), (0, 0)), constant_values=np.nan).reshape(-1, number, m)
    there = np.isfinite(groups)
    with np.errstate(invalid="ignore", over="ignore"):
        means = np.where(there, groups, np.float32(0)).sum(axis=1) / there.sum(axis=1, dtype=np.float32)
    many = np.full(len(groups), number, "<u4")
    many[-1] -= more
    return means, np.pad(times, (0, more)).reshape(-1, number).sum(axis=1) / many, many
