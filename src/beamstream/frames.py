"""Frame and Geometry: what every source delivers and everything downstream takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from beamstream import codecs

NO_ATTRIBUTES: Mapping[str, Any] = MappingProxyType({})
ARRIVAL = "arrival"
"""`Frame.clock` of a frame that is dated by when it came."""
CAMERA_TIMESTAMP = "camera_timestamp"
"""The attribute that keeps what the detector stamped (s) where its clock cannot be believed."""


class ColorMode(StrEnum):
    """How colours lie in memory; shapes in numpy order, slowest axis first.

    The names and numbers are areaDetector's ``NDColorMode_t``.
    """

    MONO = "mono"  # (n_rows, n_cols)
    BAYER = "bayer"  # (n_rows, n_cols), one colour a pixel
    RGB1 = "rgb1"  # (n_rows, n_cols, 3)
    RGB2 = "rgb2"  # (n_rows, 3, n_cols)
    RGB3 = "rgb3"  # (3, n_rows, n_cols)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What must stay the same for two frames to lie in one array.

    Parameters
    ----------
    shape : tuple of int
        Numpy order, fastest axis last.
    dtype : str
        Numpy's type string of the decoded pixels, byte order included: ``"<u2"``.
    color_mode : ColorMode
    codec : str
        ``""`` for plain pixels, otherwise a name of `beamstream.codecs`.
    """

    shape: tuple[int, ...]
    dtype: str
    color_mode: ColorMode = ColorMode.MONO
    codec: str = ""

    @classmethod
    def of(cls, image: NDArray[Any], color_mode: ColorMode = ColorMode.MONO) -> Self:
        """Return the geometry of a decoded image."""
        return cls(image.shape, image.dtype.str, color_mode)

    @property
    def nbytes(self) -> int:
        """Size of one decoded frame, bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "color_mode": str(self.color_mode),
            "codec": self.codec,
        }

    @classmethod
    def from_dict(cls, doc: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(tuple(doc["shape"]), doc["dtype"], ColorMode(doc["color_mode"]), doc["codec"])

    def __str__(self) -> str:
        size = " × ".join(map(str, self.shape))
        colour = "" if self.color_mode == ColorMode.MONO else f" {self.color_mode}"
        codec = f" {self.codec}" if self.codec else ""
        return f"{size} {np.dtype(self.dtype).name}{colour}{codec}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure: pixels, which one it is, when, and what the detector sent with it.

    Parameters
    ----------
    payload : ndarray
        The pixels in `geometry`'s shape and dtype; with a codec, the compressed bytes (1-D uint8).
        Read-only; a view wherever that is possible, valid as long as it is held, unless its
        owner documents otherwise (a ring does).
    geometry : Geometry
    unique_id : int
        The detector's own count.
    timestamp : float
        The detector's, s since 1970-01-01 UTC; ours where it has none that can be believed.
    received : float
        Ours, s since 1970-01-01 UTC.
    source : str
        Where it came from, a URI.
    clock : str
        Which clock made `timestamp`: ``"system"`` until a source knows better, ``"arrival"`` where it is `received`.
    attributes : Mapping
        The detector's attributes by name; values that JSON can carry.
    ring_index : int
        Its index in the ring that it was read from, which no other frame of that ring has; -1 for none.
    """

    payload: NDArray[Any]
    geometry: Geometry
    unique_id: int
    timestamp: float
    received: float
    source: str = ""
    clock: str = "system"
    attributes: Mapping[str, Any] = field(default_factory=lambda: NO_ATTRIBUTES)
    ring_index: int = -1

    @property
    def stamped(self) -> float:
        """When it was taken by the detector's own clock, s, right or wrong; for steps from frame to frame."""
        stamp = self.attributes.get(CAMERA_TIMESTAMP)
        return stamp if isinstance(stamp, float) else self.timestamp

    @property
    def image(self) -> NDArray[Any]:
        """The pixels; decoded anew at each access where there is a codec.

        Raises
        ------
        CodecError
            The bytes do not decode to this geometry.
        """
        if not self.geometry.codec:
            return self.payload
        g = self.geometry
        return codecs.decode(g.codec, self.payload, np.dtype(g.dtype), g.shape)
