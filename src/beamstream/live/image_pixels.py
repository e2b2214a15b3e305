"""From a frame to the pixels that a page gets: a region, made smaller, in the smallest type that holds it."""

import math
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.live.image_wish import Region
from beamstream.ops.contrast import limits, samples
from beamstream.ops.picture import Picture, picture_of
from beamstream.ops.shrink import area_means

Array = NDArray[Any]

_SAMPLE = 1 << 16  # values that tell which range 8 bit have to cover
_INNER = 0.05, 99.95  # per cent of them; what lies far outside may be cut off
_MARGIN = 0.25  # of the range between, by which 8 bit reach beyond
_FRACTIONS = 256.0  # what one count is divided into at most


class Quality(NamedTuple):
    """How well a page gets a frame: the factor of area means, whether in 8 bit, whether deflated."""

    factor: int
    eight_bit: bool
    deflate: bool


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels to be sent: ``value = pixel × scale + offset``, counts."""

    data: bytes | memoryview
    dtype: str
    shape: tuple[int, int, int]
    factor: int
    scale: float
    offset: float
    deflated: bool

    @property
    def plain_nbytes(self) -> int:
        """How much it would be if it were not deflated, bytes."""
        return math.prod(self.shape) * int(self.dtype[1:])

    @property
    def nbytes(self) -> int:
        """How much is sent, bytes."""
        return len(self.data)


def plain(image: Array, color_mode: ColorMode) -> Picture:
    """Return what pages get of an array, see `picture_of`: integers or floats, where there are colours contiguous.

    Raises
    ------
    ValueError
        There is nothing to look at.
    """
    if image.dtype.kind == "b":
        image = image.view(np.uint8)
    if image.dtype.kind not in "uif":
        raise ValueError(f"pixels of type {image.dtype} cannot be shown; integers and floats can")
    shown, words = picture_of(image, color_mode)
    return Picture(shown if shown.ndim == 2 else np.ascontiguousarray(shown), words)


def plain_bytes(image: Array, factor: int) -> int:
    """Return what one pixel takes where nothing has to be saved, all channels together; `image` is plain."""
    if image.ndim == 3:
        return 3 * min(4, image.itemsize)
    small = image.dtype.kind in "ui" and image.itemsize <= 2
    return (image.itemsize if factor == 1 else 2) if small else 4


def pixels_of(image: Array, region: Region, quality: Quality) -> Pixels:
    """Return the pixels of a region; `image` as `plain` returns it. Takes a few ms, mostly without the GIL."""
    if quality.factor == 1 and not quality.eight_bit:
        array, scale, offset = _exact(image, region)
    else:
        means = area_means(image, region, quality.factor)
        color = image.ndim == 3 and image.dtype == np.uint8
        array, scale, offset = _eight_bit(means) if quality.eight_bit and not color else _packed(means, image.dtype)
    rows, cols, channels = array.shape if array.ndim == 3 else (*array.shape, 1)
    data = array.reshape(-1).view(np.uint8).data
    if quality.deflate:
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        data = packer.compress(data) + packer.flush()
    return Pixels(data, array.dtype.str[1:], (rows, cols, channels), quality.factor, scale, offset, quality.deflate)


def _exact(image: Array, region: Region) -> tuple[Array, float, float]:
    """Return the pixels as they are, where there is a type on the wire that holds them; otherwise as float32."""
    part = image[region.row : region.row + region.rows, region.col : region.col + region.cols]
    kind = part.dtype.newbyteorder("=")
    if kind in (np.int8, np.int16):
        lowest = int(np.iinfo(kind).min)
        part = np.ascontiguousarray(part, kind)
        unsigned = part.view(f"u{kind.itemsize}") ^ part.dtype.type(lowest).view(f"u{kind.itemsize}")
        return unsigned, 1.0, float(lowest)
    if kind not in (np.uint8, np.uint16, np.float32):
        kind = np.dtype(np.float32)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(part, kind), 1.0, 0.0


def _packed(means: NDArray[np.float32], raw: np.dtype[Any]) -> tuple[Array, float, float]:
    """Return means of integers as uint16 with fractions, colours of 8 bit as such, others as they are."""
    if raw.kind == "f":
        return means, 1.0, 0.0
    if raw == np.uint8 and means.ndim == 3:
        return _quantised(means, 0.0, 1.0, np.uint8)
    low, high = _limits(means)
    offset = float(min(0, math.floor(low)))
    reach = high - offset
    if reach > 65535:
        return means, 1.0, 0.0
    factor = _FRACTIONS if reach <= 0 else min(_FRACTIONS, 2.0 ** math.floor(math.log2(65535 / reach)))
    return _quantised(means, offset, factor, np.uint16)


def _eight_bit(means: NDArray[np.float32]) -> tuple[Array, float, float]:
    """Return means as uint8 over the range that nearly all of them lie in: one hot pixel must not make it coarse."""
    few = samples(means, _SAMPLE)
    low, high = _limits(means)
    if few.size:
        inner = limits(few, _INNER)
        margin = _MARGIN * (inner[1] - inner[0])
        low, high = max(low, inner[0] - margin), min(high, inner[1] + margin)
    return _quantised(means, low, 255.0 / (high - low) if high > low else 1.0, np.uint8)


def _limits(means: NDArray[np.float32]) -> tuple[float, float]:
    from beamstream.ops import shrink_kernels

    low, high = shrink_kernels.limits(means.reshape(-1))
    return float(low), float(high)


def _quantised(means: NDArray[np.float32], offset: float, factor: float, kind: type) -> tuple[Array, float, float]:
    from beamstream.ops import shrink_kernels

    out = np.empty(means.shape, kind)
    shrink_kernels.quantised(means.reshape(-1), offset, factor, float(np.iinfo(kind).max), out.reshape(-1))
    return out, 1.0 / factor, offset
