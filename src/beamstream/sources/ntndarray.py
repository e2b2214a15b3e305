"""Read one NTNDArray of PVAccess into a `Frame`, without a copy of the pixels."""

from math import isfinite, prod
from typing import Any

import numpy as np
import pvaccess
from numpy.typing import NDArray

from beamstream import codecs
from beamstream.errors import CodecError, MalformedFrame, NotAnImage
from beamstream.frames import ColorMode, Frame, Geometry

_pva: Any = pvaccess  # compiled, without type information
PvObject = Any  # pvaccess.PvObject

_REQUIRED = ("value", "dimension", "uniqueId", "codec", "compressedSize", "uncompressedSize", "dataTimeStamp")
_COLOR_MODES = dict(enumerate(ColorMode))  # NDColorMode_t counts as ColorMode lists them
_COLOR_AXIS = {ColorMode.RGB1: -1, ColorMode.RGB2: -2, ColorMode.RGB3: -3}
_DTYPES = {  # by pvData's ScalarType, which is what codec.parameters holds; pvaccess gives booleans as int8
    0: "|i1", 1: "|i1", 2: "<i2", 3: "<i4", 4: "<i8",
    5: "|u1", 6: "<u2", 7: "<u4", 8: "<u8",
    9: "<f4", 10: "<f8",
}  # fmt: skip
_ND_DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")  # NDDataType_t: ADCore issue 562
_EPICS_EPOCH = 631152000  # s, 1990-01-01: areaDetector's way to send a time stamp that nobody set
_LATEST = 253_402_300_799  # s, the end of the year 9999: there are no dates beyond
_LONGEST = 64  # values of an array attribute; longer ones are data, not a remark
_LONGEST_TEXT = 960  # characters of an attribute; no ring carries more of a frame
_MOST_AXES = 10  # areaDetector's ND_ARRAY_MAX_DIMS


class Decoder:
    """Turn the updates of one NTNDArray channel into frames, fast enough for the monitor's callback.

    It remembers the geometry, so that equal frames share one `Geometry` object. One decoder belongs to
    one channel and one thread. A frame of any size with one attribute takes 20 µs with the GIL held, each
    attribute more 8 µs, and 12 µs with ``attributes=False``.

    Parameters
    ----------
    source : str
        Goes into `Frame.source` and in front of error texts.
    attributes : bool
        False hands none on and reads them only when another part of the geometry changes: for detectors
        with dozens of attributes at a high rate. A change of ``ColorMode`` alone is not seen then.
    """

    def __init__(self, source: str, *, attributes: bool = True) -> None:
        self._source = source
        self._with_attributes = attributes
        self._key: tuple[Any, ...] | None = None
        self._geometry = Geometry((), "|u1")

    def __call__(self, pv: PvObject, received: float) -> Frame:
        """Return the frame that `pv` holds; `pv` may be reused by pvaccess afterwards.

        Parameters
        ----------
        pv : PvObject
            The whole structure (field request ``field()``).
        received : float
            When it came, s since 1970-01-01 UTC.

        Returns
        -------
        Frame
            Its payload is a read-only view of the memory that PVAccess received into, kept alive by it.
            `Frame.timestamp` is ``dataTimeStamp``, without one ``timeStamp``, without both `received`.

        Raises
        ------
        NotAnImage
            A field of NTNDArray is missing or has another type.
        MalformedFrame
            There are no pixels (the first update of a server that has not acquired yet), or dimensions,
            sizes, types, colour mode and compressed bytes contradict each other.
        CodecError
            The codec is none of `beamstream.codecs.NAMES`.
        """
        try:
            field = pv.getSelectedUnionFieldName("value")
            sizes = tuple([d["size"] for d in pv.getStructureArray("dimension")])
            unique_id = pv.getInt("uniqueId")
            codec = pv.getString("codec.name")
            scalar_type = _scalar_type(pv) if codec else None
            timestamp = timestamp_of(pv) or received
            attributes = _attributes(pv) if self._with_attributes else {}
            values: Any = pv.getUnion("value").getScalarArray(field) if field else None
            key = (field, sizes, codec, scalar_type, attributes.get("ColorMode"))
            if key != self._key:
                self._geometry = self._describe(pv, values, key)
                self._key = key
            geometry = self._geometry
            unpack = self._compressed if geometry.codec else self._pixels
            payload = unpack(pv, values, geometry)
        except (_pva.PvaException, KeyError, TypeError, UnicodeError) as error:
            raise NotAnImage(self._what_is_wrong(pv, error)) from error
        return Frame(payload, geometry, unique_id, timestamp, received, self._source, "system", attributes)

    def _describe(self, pv: PvObject, values: Any, key: tuple[Any, ...]) -> Geometry:
        field, sizes, codec, scalar_type, color = key
        if not field:
            raise MalformedFrame(
                f"{self._source}: an image asked for, the value is empty; "
                f"the server has not acquired since it started: start it, or wait for the next update"
            )
        if not isinstance(values, np.ndarray):
            raise TypeError(f"value holds {field}, not an array of numbers")
        if not sizes or min(sizes) <= 0 or len(sizes) > _MOST_AXES:
            raise MalformedFrame(
                f"{self._source}: {values.size} values in {field}, but dimensions are {_quoted(list(sizes))}; "
                f"1 to {_MOST_AXES} are understood, each 1 or more: correct the server's dimension field"
            )
        if not self._with_attributes:
            color = _attributes(pv).get("ColorMode")
        shape = sizes[::-1]
        color_mode = self._color_mode(color, shape)
        name = codec.strip().lower()
        if name in ("", "none"):
            return Geometry(shape, values.dtype.str, color_mode)
        if name not in codecs.NAMES:
            raise CodecError(
                f"{self._source}: codec {_quoted(codec)} is not known, known are {', '.join(sorted(codecs.NAMES))}; "
                f"choose one of them at the detector, or none"
            )
        if values.itemsize != 1:
            raise MalformedFrame(
                f"{self._source}: codec {name} with pixels in {field}; compressed bytes come as ubyteValue"
            )
        return Geometry(shape, self._codec_dtype(name, scalar_type), color_mode, name)

    def _color_mode(self, value: Any, shape: tuple[int, ...]) -> ColorMode:
        """Return what the ColorMode attribute says; mono without it, whatever the number of dimensions."""
        number = 0 if value is None else value
        mode = _COLOR_MODES.get(number) if isinstance(number, int) else None
        if mode is None:
            raise MalformedFrame(
                f"{self._source}: ColorMode is {_quoted(value)}, known are 0 mono, 1 Bayer, 2 RGB1, 3 RGB2, 4 RGB3; "
                f"convert at the detector (NDPluginColorConvert)"
            )
        axis = _COLOR_AXIS.get(mode)
        fits = len(shape) == 3 and shape[axis] == 3 if axis else mode != ColorMode.BAYER or len(shape) == 2
        if not fits:
            raise MalformedFrame(
                f"{self._source}: ColorMode {value} ({mode}) and dimensions {list(shape[::-1])} contradict "
                f"each other; correct the ColorMode attribute at the server"
            )
        return mode

    def _codec_dtype(self, codec: str, scalar_type: Any) -> str:
        if scalar_type is None and codec == "jpeg":
            return "|u1"
        dtype = _DTYPES.get(scalar_type) if isinstance(scalar_type, int) else None
        if dtype is None:
            raise MalformedFrame(
                f"{self._source}: codec {codec} with codec.parameters {_quoted(scalar_type)}; it must be pvData's "
                f"number of the pixel type: 1-4 int8 to int64, 5-8 uint8 to uint64, 9 float32, 10 float64"
            )
        return dtype

    def _pixels(self, _: Any, values: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
        try:
            return values.reshape(geometry.shape)
        except ValueError as error:
            raise MalformedFrame(
                f"{self._source}: dimensions {list(geometry.shape[::-1])} ask for {prod(geometry.shape)} "
                f"values, {values.size} are there; correct the server's dimension field"
            ) from error

    def _compressed(self, pv: PvObject, values: NDArray[Any], geometry: Geometry) -> NDArray[np.uint8]:
        """Return the compressed bytes, checked; a size of 0 is a size that the server did not fill in."""
        compressed, uncompressed = pv.getLong("compressedSize"), pv.getLong("uncompressedSize")
        if uncompressed not in (0, geometry.nbytes):
            raise MalformedFrame(
                f"{self._source}: {geometry} is {geometry.nbytes} bytes, uncompressedSize is {uncompressed}; "
                f"correct dimension, codec.parameters or uncompressedSize at the server"
                f"{_counted_otherwise(pv, geometry, uncompressed)}"
            )
        if not (0 <= compressed <= values.size and values.size):
            raise MalformedFrame(
                f"{self._source}: compressedSize is {compressed}, {values.size} bytes are there; "
                f"correct it at the server"
            )
        payload = values.view(np.uint8)[: compressed or values.size]
        itemsize = np.dtype(geometry.dtype).itemsize
        try:
            codecs.check(payload, geometry.codec, geometry.nbytes, itemsize=itemsize, shape=geometry.shape)
        except CodecError as error:
            raise MalformedFrame(f"{self._source}: {error}") from error
        return payload

    def _what_is_wrong(self, pv: PvObject, error: Exception) -> str:
        missing = [name for name in _REQUIRED if not pv.hasField(name)]
        what = f"it has no {', '.join(missing)}" if missing else f"{error}"
        return (
            f"{self._source}: an NTNDArray asked for, {what}; "
            f"is this the name of an image, like PREFIX:Pva1:Image, and is the field request field()?"
        )


def decode(pv: PvObject, *, source: str, received: float) -> Frame:
    """Return the frame that `pv` holds; for more than one, keep a `Decoder`, whose call this is."""
    return Decoder(source)(pv, received)


def structure_geometry(pv: PvObject, *, source: str = "") -> Geometry:
    """Return the geometry of the frame that a server holds, as ``channel.get("field()")`` delivers it.

    Raises what `Decoder` raises: `MalformedFrame` when the server has not acquired since it started.
    """
    return Decoder(source)(pv, 0.0).geometry


def timestamp_of(pv: PvObject) -> float:
    """Return ``dataTimeStamp``, otherwise ``timeStamp``, s since 1970-01-01 UTC; 0.0 when nobody set them to a time."""
    for name in ("dataTimeStamp", "timeStamp"):
        if name == "timeStamp" and not pv.hasField(name):
            break
        seconds, nanoseconds = pv.getLong(f"{name}.secondsPastEpoch"), pv.getInt(f"{name}.nanoseconds")
        if (nanoseconds or seconds not in (0, _EPICS_EPOCH)) and 0 <= seconds <= _LATEST:
            return seconds + nanoseconds * 1e-9
    return 0.0


def _scalar_type(pv: PvObject) -> int | str | None:
    """Return ``codec.parameters``; as text when it is no number, None when it is empty."""
    parameters = pv["codec"]["parameters"]  # (value, type) of a variant union
    value = parameters[0].get("value") if isinstance(parameters, tuple) else parameters
    return value if value is None or isinstance(value, int) else str(value)


def _counted_otherwise(pv: PvObject, geometry: Geometry, nbytes: int) -> str:
    """Return a hint where the pixel type fits as areaDetector counts types, which pvData counts otherwise."""
    number = _scalar_type(pv)
    if not isinstance(number, int) or not 0 <= number < len(_ND_DTYPES):
        return ""
    dtype = np.dtype(_ND_DTYPES[number])
    if prod(geometry.shape) * dtype.itemsize != nbytes:
        return ""
    return f" (codec.parameters {number} is {dtype.name} to an NDPluginPvxs of before 2026: update ADCore)"


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _attributes(pv: PvObject) -> dict[str, Any]:
    """Return name → value of the attributes that JSON can carry; none where one of them is no UTF-8."""
    try:
        listed = pv.getStructureArray("attribute")
    except (_pva.FieldNotFound, UnicodeError):
        return {}
    found: dict[str, Any] = {}
    for attribute in listed:
        value = attribute["value"]
        value = _plain(value[0].get("value") if isinstance(value, tuple) else value)
        if value is not None:
            found[attribute["name"]] = value
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON can carry it; None when it cannot: not-a-number, structures, long arrays."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else None
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size <= _LONGEST else None
    if not isinstance(value, list) or len(value) > _LONGEST:
        return None
    plain = [_plain(item) for item in value]
    return None if None in plain else plain
