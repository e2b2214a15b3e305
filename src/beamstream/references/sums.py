"""The loops that add a frame to an average: one pass over memory, without the GIL."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True)
def add_exactly(image: NDArray[Any], total: NDArray[np.int64], squares: NDArray[np.int64]) -> None:
    """Add integers of up to 16 bit and their squares; exact for 2**30 frames."""
    for i in range(image.size):
        value = np.int64(image[i])
        total[i] += value
        squares[i] += value * value


@njit(nogil=True)
def add_welford(image: NDArray[Any], number: int, mean: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
    """Bring mean and summed squared deviations up to date with frame `number`, counted from 1 (Welford 1962)."""
    weight = 1.0 / number
    for i in range(image.size):
        value = np.float64(image[i])
        before = value - mean[i]
        mean[i] += before * weight
        squares[i] += before * (value - mean[i])
