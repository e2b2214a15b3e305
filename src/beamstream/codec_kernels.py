"""The loop over the blocks of a compressed frame; importing this imports numba."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.compiled import compiled


@compiled()
def chain_end(payload: NDArray[Any], begin: int, number: int) -> int:
    """Return where a chain of blocks ends, each behind its size, 4 bytes big-endian; -1 where a size is cut off.

    `payload` is uint8, 1-D, contiguous and read-only. The end may lie beyond it.
    """
    at = begin
    for _ in range(number):
        if at + 4 > payload.size:
            return -1
        size = 0
        for k in range(4):
            size = size * 256 + np.int64(payload[at + k])
        at += 4 + int(size)
    return at
