"""Which pixel type an op returns, so that nothing wraps around: the rules, once for all ops."""

from typing import Any

import numpy as np

DType = np.dtype[Any]


def for_fractions(dtype: DType) -> DType:
    """Return the float that holds every value of `dtype`: float32 up to 16 bit and for float32, else float64."""
    return np.result_type(dtype, np.float32)


def for_sum(dtype: DType, count: int) -> DType:
    """Return what holds the sum of `count` pixels: (u)int32, else (u)int64, else float64.

    The sign is the pixels' own; floats follow `for_fractions`.
    """
    if dtype.kind not in "bui":
        return for_fractions(dtype)
    extreme = 1 if dtype.kind == "b" else max(abs(int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))
    sign = "i" if dtype.kind == "i" else "u"
    for size in (4, 8):
        wide = np.dtype(f"{sign}{size}")
        if extreme * count <= np.iinfo(wide).max:
            return wide
    return np.dtype(np.float64)


def for_difference(dtype: DType) -> DType:
    """Return what holds the difference of two pixels: the signed integer of twice the size, 64 bit: float64."""
    if dtype.kind not in "bui":
        return for_fractions(dtype)
    return np.dtype({1: np.int16, 2: np.int32, 4: np.int64}.get(dtype.itemsize, np.float64))
