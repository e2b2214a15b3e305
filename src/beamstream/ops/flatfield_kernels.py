"""The loops of the flat field, compiled for one core when they are first called; importing this imports numba.

Each reads its arrays once, in order, and vectorises; measured, they move as many bytes a second as this one core
can. Stores that bypass the cache were tried: a fifth faster alone, slower as soon as anybody reads the result.

Every array is 1-D, contiguous, aligned, of the machine's byte order. Pixels and references are marked read-only: numba
compiles anew for each combination of types, and a frame may be either.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.compiled import compiled

Array = NDArray[Any]


@compiled()
def corrected(raw: Array, dark: Array | None, gain: Array, i: int) -> Any:
    """Return one corrected pixel, computed in the type of `dark`, without one in that of `gain`."""
    if dark is None:
        return gain.dtype.type(raw[i]) * gain[i]
    return (dark.dtype.type(raw[i]) - dark[i]) * gain[i]


@compiled()
def to_float32(raw: Array, dark: Array | None, gain: Array, dead: Array, dead_value: np.float32, out: Array) -> None:
    """Write the corrected pixels into `out`, float32; what float32 cannot say is NaN."""
    for i in range(raw.size):
        value = np.float32(corrected(raw, dark, gain, i))
        out[i] = value if np.isfinite(value) else np.float32(np.nan)
    for i in dead:
        out[i] = dead_value


@compiled()
def to_integers(
    raw: Array, dark: Array | None, gain: Array, dead: Array, dead_value: Any, out: Array, low: Any, high: Any
) -> None:
    """Write the corrected pixels into `out`, integers: rounded, ties to even, and clipped.

    `low` and `high` are the limits of the type of `out`, and like `dead_value` of that type.
    """
    least, most = gain.dtype.type(low), gain.dtype.type(high)
    for i in range(raw.size):
        value = corrected(raw, dark, gain, i)
        # the largest 64-bit integer is one higher as a float: what reaches it must not be converted
        out[i] = high if value >= most else out.dtype.type(np.rint(max(value, least)))
    for i in dead:
        out[i] = dead_value


@compiled()
def to_floats(
    raw: Array, dark: Array | None, gain: Array, dead: Array, dead_value: Any, out: Array, low: Any, high: Any
) -> None:
    """Write the corrected pixels into `out`, floats: clipped; NaN and infinities stay what they are.

    `low` and `high` are the limits of the type of `out`, and like `dead_value` of that type.
    """
    for i in range(raw.size):
        value = corrected(raw, dark, gain, i)
        out[i] = min(max(value, low), high) if np.isfinite(raw[i]) else raw[i]
    for i in dead:
        out[i] = dead_value
