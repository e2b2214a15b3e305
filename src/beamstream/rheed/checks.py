"""What frames and options of an upload have to be, said before anything begins."""

from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import PipelineError, UploadError
from beamstream.ops.eight_bit import EightBit

LEAST_CHUNK = 2.0  # s; the service wants no shorter ones
DTYPES = ("uint8", "uint16")
"""What a RHEED camera makes."""


def check_rule(rule: str, dtype: str, detector: str) -> None:
    """Refuse a rule that cannot make 8 bit of such pixels.

    Raises
    ------
    UploadError
        It names rules that can.
    """
    try:
        EightBit.parse(rule).check(np.dtype(dtype))
    except PipelineError as error:
        raise UploadError(f"{detector}: {error}") from error


def grey_images(frames: NDArray[Any]) -> NDArray[Any]:
    """Return frames as an array of three axes.

    Raises
    ------
    TypeError, ValueError
        They are no grey frames.
    """
    if not isinstance(frames, np.ndarray) or frames.dtype.name not in DTYPES:
        what = frames.dtype.name if isinstance(frames, np.ndarray) else type(frames).__name__
        raise TypeError(f"RHEED stream: frames of {what} pushed; give an array of {' or '.join(DTYPES)}")
    if frames.ndim not in (2, 3) or 0 in frames.shape[-2:]:
        raise ValueError(
            f"RHEED stream: frames of shape {frames.shape} pushed; give (n, rows, columns) or (rows, columns)"
        )
    return np.ascontiguousarray(frames if frames.ndim == 3 else frames[np.newaxis])


def frames_in_a_chunk(fps: float, asked: int | None) -> int:
    """Return how many frames a chunk has.

    Raises
    ------
    ValueError
        They are less than the service wants.
    """
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"RHEED stream: {fps} frames/s given; use a number above 0")
    least = ceil(LEAST_CHUNK * fps)
    if asked is not None and asked < least:
        raise ValueError(
            f"RHEED stream: chunks of {asked} frames asked for, at {fps:g} frames/s they are "
            f"{asked / fps:.3g} s; the service wants {LEAST_CHUNK:g} s: use chunk_size = {least} or more"
        )
    return least if asked is None else asked
