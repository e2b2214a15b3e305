"""Read one NTNDArray of PVAccess into a `Frame`, without a copy of the pixels."""

import logging
from math import prod
from typing import Any

import numpy as np
import pvaccess
from numpy.typing import NDArray

from beamstream import codecs
from beamstream.errors import CodecError, MalformedFrame, NotAnImage
from beamstream.frame_attributes import DIMENSION
from beamstream.frames import ColorMode, Frame, Geometry

logger = logging.getLogger(__name__)

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
_LONGEST = 4096  # values of an array attribute; longer ones are data, not a remark
_LONGEST_TEXT = 65536  # characters of an attribute
_MOST_NAMED = 100  # attributes that are left out, in the log
_MOST_AXES = 10  # areaDetector's ND_ARRAY_MAX_DIMS


class Decoder:
    """Turn the updates of one NTNDArray channel into frames, fast enough for the monitor's callback.

    It remembers the geometry, so that equal frames share one `Geometry` object, and equal attributes one mapping. One
    decoder belongs to one channel and one thread. A frame of any size takes 9 µs with the GIL held, and each attribute
    3 to 5 µs more, which is what pvaccess 5.6 takes to make a dict of it; it has no other way to read them.

    Where an image is a region of the sensor, binned or reversed by ``dimension``, `Frame.attributes` has the
    item `DIMENSION`: lists ``offset``, ``binning``, ``reverse`` and ``full_size``, in numpy order, slowest axis first.

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
        self._dimensions: list[dict[str, Any]] | None = None
        self._sizes: tuple[int, ...] = ()
        self._region: dict[str, Any] = {}
        self._attributes: dict[str, Any] = {}
        self._left_out: set[str] = set()

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
            sizes = self._sizes_of(pv.getStructureArray("dimension"))
            unique_id = pv.getInt("uniqueId")
            codec = pv.getString("codec.name")
            scalar_type = _scalar_type(pv) if codec else None
            timestamp = timestamp_of(pv) or received
            attributes = self._attributes_of(pv) if self._with_attributes else {}
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

    def forget(self) -> None:
        """Log once more what is left out of the attributes: another run begins."""
        self._left_out.clear()

    def _sizes_of(self, dimensions: list[dict[str, Any]]) -> tuple[int, ...]:
        """Return the sizes; mostly the dimensions are the last frame's."""
        if dimensions != self._dimensions:
            self._sizes = tuple([d["size"] for d in dimensions])
            self._region = _region(dimensions)
            self._dimensions = dimensions
        return self._sizes

    def _attributes_of(self, pv: PvObject) -> dict[str, Any]:
        """Return name → value of the attributes, the same mapping where they are as before."""
        found = self._named_values(pv)
        if self._region:
            if DIMENSION in found:
                found[f"{DIMENSION}_2"] = found[DIMENSION]
            found[DIMENSION] = self._region
        if found != self._attributes or not _have_types_of(found, self._attributes):
            self._attributes = found
        return self._attributes

    def _named_values(self, pv: PvObject) -> dict[str, Any]:
        try:
            listed = pv.getStructureArray("attribute")
        except _pva.FieldNotFound:
            return {}
        except UnicodeError:
            self._leave_out("attributes are", "one of them is no UTF-8, and pvaccess 5.6 reads all or none")
            return {}
        try:
            found = {attribute["name"]: attribute["value"][0]["value"] for attribute in listed}
            if len(found) == len(listed) and _are_plain(found):
                return found
        except (TypeError, KeyError, IndexError):
            pass
        return self._odd_values(listed)

    def _odd_values(self, listed: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what `_named_values` does, of attributes that are more than numbers and texts, or share a name."""
        found: dict[str, Any] = {}
        for attribute in listed:
            value = attribute["value"]
            value = value[0].get("value") if isinstance(value, tuple) and isinstance(value[0], dict) else value
            name, number = attribute["name"], 1
            while name in found:
                number += 1
                name = f"{attribute['name']}_{number}"
            try:
                found[name] = _plain(value)
            except ValueError as error:
                self._leave_out(f"attribute {name[:80]!r} is", str(error))
        return found

    def _leave_out(self, what: str, why: str) -> None:
        """Log that an attribute is not kept, once a run."""
        if what not in self._left_out and len(self._left_out) < _MOST_NAMED:
            self._left_out.add(what)
            logger.warning("%s: the %s left out: %s", self._source, what, why)

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
            color = self._attributes_of(pv).get("ColorMode")
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


def _have_types_of(found: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether equal values are of equal types: 1, 1.0 and True are not."""
    return list(map(type, found.values())) == list(map(type, other.values()))


def _are_plain(found: dict[str, Any]) -> bool:
    """Return whether all values are numbers and texts that are not too long."""
    for value in found.values():
        kind = type(value)
        if kind is str and len(value) <= _LONGEST_TEXT:
            continue
        if kind is not float and kind is not int and kind is not bool:
            return False
    return True


def _plain(value: Any) -> Any:
    """Return a value as Python's json can carry it.

    Raises
    ------
    ValueError
        It is too long.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size <= _LONGEST else list(value[: _LONGEST + 1])
    if isinstance(value, list | dict) and len(value) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} values")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise ValueError(f"it has more than {_LONGEST_TEXT} characters")
    return value if value is None or isinstance(value, int | float | str) else _quoted(value)


def _region(dimensions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return where on the sensor an image comes from, slowest axis first; nothing where it is all of it, as it is."""
    offset, full_size, binning = (
        [int(d.get(key, 0)) for d in reversed(dimensions)] for key in ("offset", "fullSize", "binning")
    )
    reverse = [bool(d.get("reverse", False)) for d in reversed(dimensions)]
    sizes = [d["size"] for d in reversed(dimensions)]
    whole = all(full in (0, size) for full, size in zip(full_size, sizes, strict=True))  # 0: the server leaves it out
    if whole and not any(offset) and not any(reverse) and max(binning, default=1) <= 1:
        return {}
    return {"offset": offset, "binning": binning, "reverse": reverse, "full_size": full_size}
