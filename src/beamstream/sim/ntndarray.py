"""NTNDArray as areaDetector's PVA plug-in fills it: every pixel type, colour mode and codec."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pvaccess
from numpy.typing import NDArray

from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sim import encode

pva: Any = pvaccess  # compiled, without type information
COLOR_MODES = {
    ColorMode.MONO: 0,
    ColorMode.BAYER: 1,
    ColorMode.RGB1: 2,
    ColorMode.RGB2: 3,
    ColorMode.RGB3: 4,
}
# numpy's type: field of the union, pvData's number of the scalar type
PIXEL_TYPES = {
    "i1": ("byteValue", 1),
    "i2": ("shortValue", 2),
    "i4": ("intValue", 3),
    "i8": ("longValue", 4),
    "u1": ("ubyteValue", 5),
    "u2": ("ushortValue", 6),
    "u4": ("uintValue", 7),
    "u8": ("ulongValue", 8),
    "f4": ("floatValue", 9),
    "f8": ("doubleValue", 10),
}


class NtndFrame:
    """Hold one NTNDArray of fixed geometry, to be filled anew for each frame.

    What does not change is set once, so that filling costs one copy of the pixels (0.65 ms for 8 MB).
    Not for use from two threads at once.

    Parameters
    ----------
    geometry : Geometry
    attributes : Mapping of str to bool, int, float or str
        Sent beside ``ColorMode``.

    Raises
    ------
    ValueError
        An NTNDArray, or the codec, cannot carry such pixels.
    """

    def __init__(self, geometry: Geometry, attributes: Mapping[str, Any] | None = None) -> None:
        encode.check(geometry)
        dtype = np.dtype(geometry.dtype)
        if dtype.str[1:] not in PIXEL_TYPES or not dtype.isnative:
            raise ValueError(f"ntndarray: pixels of {geometry.dtype!r} asked for, there are {', '.join(PIXEL_TYPES)}")
        pixel_field, number = PIXEL_TYPES[dtype.str[1:]]
        self.geometry = geometry
        self._sizes: tuple[int, ...] | None = None
        self._attributes: dict[str, Any] = {}  # as PVAccess has them
        self._field = "ubyteValue" if geometry.codec else pixel_field
        self.pv = pva.NtNdArray()
        self.pv["uncompressedSize"] = geometry.nbytes
        self.set_dimensions(geometry.shape[::-1])
        self.pv["descriptor"] = "simulated"
        if geometry.codec:
            self.pv["codec"] = pva.PvCodec(geometry.codec, pva.PvInt(number))
        self.set_attributes(attributes or {})

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Replace the attributes; ``ColorMode`` is always among them."""
        everything = {"ColorMode": COLOR_MODES[self.geometry.color_mode]} | dict(attributes)
        if everything.keys() == self._attributes.keys():  # to make them anew takes twenty times as long
            for name, value in everything.items():
                self._attributes[name]["value"] = _scalar(value)
        else:
            self._attributes = {name: pva.NtAttribute(name, _scalar(value)) for name, value in everything.items()}
        self.pv["attribute"] = list(self._attributes.values())

    def set_dimensions(self, sizes: Iterable[int]) -> None:
        """Replace the dimension list, fastest first, by one that need not fit the pixels."""
        sizes = tuple(sizes)
        if sizes != self._sizes:
            self.pv["dimension"] = [pva.PvDimension(n, 0, n, 1, False) for n in sizes]
            self._sizes = sizes

    def parts(self) -> list[dict[str, Any]]:
        """Return the frame as three partial updates, the pixels last."""
        time_stamps = {name: self.pv[name] for name in ("dataTimeStamp", "timeStamp")}
        sizes = {name: self.pv[name] for name in ("compressedSize", "uncompressedSize")}
        return [
            {"uniqueId": self.pv["uniqueId"]} | time_stamps,
            {"dimension": self.pv["dimension"]},
            {"value": {self._field: self.pv["value"][0][self._field]}} | sizes,
        ]

    def fill(self, image: NDArray[Any], unique_id: int, data_timestamp: float, timestamp: float | None = None) -> Any:
        """Put a picture in, compressed where the geometry has a codec.

        Parameters
        ----------
        image : ndarray
            C-contiguous, of the geometry's shape and dtype; copied.
        unique_id : int
        data_timestamp : float
            When it was exposed, s since 1970-01-01 UTC.
        timestamp : float, optional
            When it was posted; default `data_timestamp`.

        Returns
        -------
        pvaccess.NtNdArray
            The same object every time, valid until the next call.
        """
        if image.shape != self.geometry.shape or image.dtype != self.geometry.dtype:
            raise ValueError(f"ntndarray: an image {image.shape} {image.dtype} given, this is for {self.geometry}")
        codec = self.geometry.codec
        payload = encode.encode(image, codec) if codec else image.reshape(-1)
        self.pv["value"] = {self._field: payload}
        self.pv["compressedSize"] = payload.nbytes
        self.pv["uniqueId"] = unique_id
        self.pv["dataTimeStamp"] = seconds(data_timestamp)
        self.pv["timeStamp"] = seconds(data_timestamp if timestamp is None else timestamp)
        return self.pv


def ntndarray(frame: Frame) -> Any:
    """Build an NTNDArray from a `Frame`; a payload that is compressed already is compressed anew."""
    made = NtndFrame(frame.geometry, frame.attributes)
    return made.fill(np.ascontiguousarray(frame.image), frame.unique_id, frame.timestamp)


def seconds(timestamp: float) -> dict[str, int]:
    """Return a ``time_t`` to the nanosecond."""
    whole, fraction = divmod(timestamp, 1.0)
    return {"secondsPastEpoch": int(whole), "nanoseconds": int(fraction * 1e9), "userTag": 0}


def _scalar(value: object) -> Any:
    if isinstance(value, bool):
        return pva.PvBoolean(value)
    if isinstance(value, int):
        return pva.PvInt(value)
    if isinstance(value, float):
        return pva.PvDouble(value)
    return pva.PvString(str(value))
