"""Shades: which value gets which colour, and which values are worth showing."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.contrast import PERCENTILES, limits

Array = NDArray[Any]
Mode = Literal["auto", "limits", "manual"]

STEPS = 4096
"""Shades that floats are told apart by."""
_BEND = 1000.0
"""How much the logarithm lifts what is dark: 1/1000 of the span is shown at a tenth of the colours."""
_CALM = 0.02
"""Part of the span that automatic limits may be off before they move: noise does not flicker."""
_FAR = 4.0
"""Times that span from it, values are no part of the histogram: one hot pixel would press all others together."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Say which values become black and white.

    Parameters
    ----------
    mode : {"auto", "limits", "manual"}
        By percentiles, from the least to the greatest, or by `low` and `high`.
    low, high : float
        Counts.
    percentiles : tuple of float
        Which part of the pixels is darker than black, and than white, per cent.
    log : bool
    """

    mode: Mode = "auto"
    low: float = 0.0
    high: float = 255.0
    percentiles: tuple[float, float] = PERCENTILES
    log: bool = False


AUTOMATIC = Contrast()


def levels(contrast: Contrast, image: Array, few: NDArray[np.float64]) -> tuple[float, float]:
    """Return what becomes black and white; never equal. `few` are the image's `beamstream.ops.contrast.samples`."""
    low, high = contrast.low, contrast.high
    if contrast.mode == "auto" and few.size:
        if image.ndim == 3 and image.dtype == np.uint8:
            return 0.0, 255.0  # colours as the camera made them
        return limits(few, contrast.percentiles)
    if contrast.mode == "limits":
        low, high = extremes(image)
    return (low, high) if high > low else (low, low + max(1.0, abs(low) * 1e-3))


def extremes(image: Array) -> tuple[float, float]:
    """Return the least and the greatest finite value."""
    if image.dtype.kind in "iu":
        return float(image.min()), float(image.max())
    from beamstream.ops import shrink_kernels

    with np.errstate(over="ignore"):  # a float64 beyond float32 is infinite
        values = np.ascontiguousarray(image, np.float32).reshape(-1)
    low, high = shrink_kernels.limits(values)
    return float(low), float(high)


def calm(old: tuple[float, float], new: tuple[float, float]) -> tuple[float, float]:
    """Return the new limits if they differ from the old ones by more than noise."""
    slack = _CALM * (new[1] - new[0])
    return old if abs(new[0] - old[0]) <= slack and abs(new[1] - old[1]) <= slack else new


def histogram(few: NDArray[np.float64], bins: int = 128) -> tuple[Array, Array]:
    """Return counts and the edges of their bins, from the least to the greatest value that is not far outside."""
    if not few.size:
        return np.zeros(1), np.array([0.0, 1.0])
    low, high = limits(few)
    far = _FAR * (high - low)
    low, high = max(float(few.min()), low - far), min(float(few.max()), high + far)
    narrow = high - low < 1e-6 * max(1.0, abs(low))  # float32 knows nothing between
    return np.histogram(few, bins, (low, low + max(1.0, abs(low) * 1e-3) if narrow else high))


def positions(values: Array, low: float, high: float, log: bool) -> Array:
    """Return where values lie between black (0) and white (1)."""
    at = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.log1p(_BEND * at) / np.log1p(_BEND) if log else at


class Shades:
    """Keep the table that turns values into colours; made anew only when something changes.

    Parameters
    ----------
    table : ndarray
        A colour for each value of 8 or 16 bit, or for each of `STEPS` steps from `low` to `high`: uint32 0xffRRGGBB,
        of images with colours uint32 0 to 255.
    """

    def __init__(self) -> None:
        self.table: NDArray[np.uint32] = np.zeros(1, np.uint32)
        self.low, self.high = 0.0, 1.0
        self._made: object = None

    def make(self, values: int, low: float, high: float, log: bool, palette: NDArray[np.uint32] | None) -> None:
        """Make the table for integers below `values`, or for floats where that is 0; without palette for colours."""
        made = values, low, high, log, None if palette is None else palette.tobytes()
        if made == self._made:
            return
        self._made, self.low, self.high = made, low, high
        at = np.arange(values) if values else np.linspace(low, high, STEPS)
        shade = np.rint(255.0 * positions(at, low, high, log)).astype(np.intp)
        self.table = shade.astype(np.uint32) if palette is None else palette[shade]

    @property
    def gain(self) -> np.float32:
        """Steps a count, for floats."""
        return np.float32((STEPS - 1) / (self.high - self.low))
