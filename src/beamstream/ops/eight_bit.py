"""How pixels become 8 bit: by a rule that is said beforehand and kept in the record, never by accident."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import PipelineError
from beamstream.ops.base import Meta

_BLOCK = 1 << 18  # pixels at a time, so that what is between two steps stays in the cache
_RULES = "as-is (8-bit pixels only), shift:BITS, or window:LOW:HIGH, as in window:0:4095"


@dataclass(frozen=True, slots=True)
class EightBit:
    """Map pixels to 8 bit: ``EightBit.parse("window:0:4095").apply(images)``. Nothing ever wraps around.

    ``as-is`` takes 8-bit pixels as they are. ``shift:4`` drops the lowest four bits of unsigned pixels, and is refused
    where more than 8 remain. ``window:0:4095`` is linear, 0 becomes 0 and 4095 becomes 255, rounded to the nearest;
    what lies outside is clipped, NaN becomes 0.

    Parameters
    ----------
    kind : {"as-is", "shift", "window"}
    bits : int
        That are dropped.
    low, high : float
        What becomes 0 and 255, counts.
    """

    kind: Literal["as-is", "shift", "window"]
    bits: int = 0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule as `text` writes it.

        Raises
        ------
        PipelineError
            It is none.
        """
        match text.split(":"):
            case ["as-is"]:
                return cls("as-is")
            case ["shift", bits] if bits.isdecimal():
                return cls("shift", bits=int(bits))
            case ["window", low, high]:
                window = _window(low, high)
                if window is not None:
                    return cls("window", low=window[0], high=window[1])
        raise PipelineError(f"8 bit: rule {text!r} asked for; give {_RULES}")

    @property
    def text(self) -> str:
        """The rule, for the record."""
        match self.kind:
            case "shift":
                return f"shift:{self.bits}"
            case "window":
                return f"window:{self.low:.17g}:{self.high:.17g}"
        return "as-is"

    def describe(self) -> dict[str, Any]:
        """Return what goes into a descriptor."""
        return {"rule": self.text}

    def check(self, dtype: np.dtype[Any]) -> None:
        """Return if pixels of this type can be mapped.

        Raises
        ------
        PipelineError
            They cannot; names a rule that fits.
        """
        name, bits = dtype.name, 8 * dtype.itemsize
        if dtype.kind not in "uif":
            raise PipelineError(f"8 bit: pixels are {name}, which no rule takes; give integers or floats")
        if self.kind == "as-is" and dtype != np.uint8:
            fit = f"shift:{bits - 8} or " if dtype.kind == "u" else ""
            raise PipelineError(f"8 bit: rule as-is asked for, pixels are {name}; give {fit}window:LOW:HIGH")
        if self.kind == "shift" and dtype.kind != "u":
            raise PipelineError(f"8 bit: rule {self.text} asked for, pixels are {name}; give window:LOW:HIGH")
        if self.kind == "shift" and not 0 <= bits - self.bits <= 8:
            raise PipelineError(
                f"8 bit: rule {self.text} asked for, pixels are {name} and {max(bits - self.bits, 0)} bits of them "
                f"remain; give shift:{bits - 8}, or window:LOW:HIGH if the detector has fewer bits than that"
            )

    def apply(self, images: NDArray[Any], meta: Meta | None = None) -> NDArray[np.uint8]:
        """Return pixels of the same shape: new memory, or `images` itself where the rule is ``as-is``.

        Raises
        ------
        PipelineError
            Pixels of this type cannot be mapped, see `check`.
        """
        self.check(images.dtype)
        if self.kind == "as-is":
            return images
        mapped = np.empty(images.shape, np.uint8)
        source, target = np.ascontiguousarray(images).reshape(-1), mapped.reshape(-1)
        for start in range(0, source.size, _BLOCK):
            target[start : start + _BLOCK] = self._map(source[start : start + _BLOCK])
        return mapped

    def _map(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        if self.kind == "shift":
            return (pixels >> self.bits).astype(np.uint8)
        if pixels.dtype.kind == "f" or pixels.dtype.itemsize > 2:
            return linear(pixels, self.low, self.high)
        native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        table = _table(self.low, self.high, native.dtype.str)
        return table[native.view(f"u{native.dtype.itemsize}")]


def _window(low: str, high: str) -> tuple[float, float] | None:
    try:
        window = float(low), float(high)
    except ValueError:
        return None
    return window if np.isfinite(window).all() and window[0] < window[1] else None


def linear(
    pixels: NDArray[Any], low: float, high: float, kind: type[np.unsignedinteger[Any]] = np.uint8
) -> NDArray[Any]:
    """Return pixels of an unsigned type: `low` becomes 0, `high` the greatest; what is outside is clipped, NaN is 0."""
    most = float(np.iinfo(kind).max)
    with np.errstate(over="ignore"):  # what is far outside may become infinite
        scaled = (pixels.astype(np.float64) - low) * (most / (high - low))
    return np.rint(np.nan_to_num(np.clip(scaled, 0.0, most), nan=0.0)).astype(kind)


@lru_cache(maxsize=8)
def _table(low: float, high: float, dtype: str) -> NDArray[np.uint8]:
    """Return what each value becomes, by its bits."""
    bits = np.arange(1 << 8 * np.dtype(dtype).itemsize, dtype=f"u{np.dtype(dtype).itemsize}")
    return linear(bits.view(dtype), low, high)
