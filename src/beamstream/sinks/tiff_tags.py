"""Describe frames as TIFF pages: the tags, the numbers of TIFF 6.0 and BigTIFF, and what we put into the text.

A frame is a page, one of several planes a page for each. A page is uncompressed, one strip (one a colour where colours
lie in planes), in the byte order of the pixels, so that these go to the disk as they are. ``ImageDescription`` is JSON,
and the private tag `FRAME_TAG` the same JSON, for files whose first description becomes something else (OME-XML).
"""

import json
import math
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.direct import Bytes, as_bytes
from beamstream.sinks.tiff_resolution import NO_RESOLUTION, Resolution

FRAME_TAG = 65100
"""The private tag with the frame's JSON; free for everybody by the TIFF specification (65000 to 65535)."""

DESCRIPTION_TAG = 270
_STRIPS_TAG, _DATE_TAG = 273, 306
_FRAMES_OWN = (DESCRIPTION_TAG, _STRIPS_TAG, _DATE_TAG, FRAME_TAG)  # with the constant ones 18: see `link`
_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 2, 3, 4, 5, 16
_FORMS = {_SHORT: "H", _LONG: "I", _RATIONAL: "II", _LONG8: "Q"}
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
_AXES = {ColorMode.RGB1: "YXS", ColorMode.RGB2: "YSX", ColorMode.RGB3: "SYX"}
_UNKNOWN_DATE = "    :  :     :  :  "


class PageFormat:
    """Encode the pages of frames of one geometry.

    Parameters
    ----------
    geometry : Geometry
    big : bool
        Whether offsets have 64 bits (BigTIFF).
    constants : Mapping
        What every page's JSON says, before what belongs to the frame alone.
    resolution : Resolution
        Pixels per unit.

    Raises
    ------
    SinkError
        TIFF has no such pixels; the text says which are possible.
    """

    def __init__(
        self, geometry: Geometry, *, big: bool, constants: Mapping[str, Any], resolution: Resolution = NO_RESOLUTION
    ) -> None:
        self.geometry, self.big, self._resolution = geometry, big, resolution
        self.axes, self.stored_axes = stored_axes(geometry)
        dtype = np.dtype(geometry.dtype)
        shape = ((1,) * len(self.axes) + geometry.shape)[-len(self.axes) :]
        self.pages = math.prod(geometry.shape[: -len(self.axes)])
        """Of a frame."""
        self.sizes = {"S": 1} | dict(zip(self.axes, shape, strict=True))
        self._order = ">" if dtype.str[0] == ">" else "<"
        self._pointer = _LONG8 if big else _LONG
        # a place in the file, and the sizes of: the number of entries, an entry, the value inside an entry (bytes)
        self._place, self._head, self._entry, self._slot = ("Q", 8, 20, 8) if big else ("I", 2, 12, 4)
        self._planes = self.sizes["S"] if self.stored_axes == "SYX" else 1
        self._plane = geometry.nbytes // self._planes // self.pages  # bytes
        self._constant_tags = self._image_tags(dtype)
        common = {"beamstream": 1, "color_mode": str(geometry.color_mode), "received_codec": geometry.codec}
        common |= {"axes": self.axes, "stored_axes": self.stored_axes}
        common |= {"planes": list(geometry.shape[:-2])} if self.pages > 1 else {}
        common |= constants
        self._common = json_text(common)[:-1]
        self._fixed = len(self._page(0, 0, b"", 0.0, last=True))

    def _image_tags(self, dtype: np.dtype[Any]) -> dict[int, tuple[int, int, bytes]]:
        samples, planes = self.sizes["S"], self._planes
        return {
            256: self._numbers(_LONG, self.sizes["X"]),
            257: self._numbers(_LONG, self.sizes["Y"]),
            258: self._numbers(_SHORT, *[dtype.itemsize * 8] * samples),
            259: self._numbers(_SHORT, 1),  # not compressed
            262: self._numbers(_SHORT, 2 if samples == 3 else 1),  # RGB, or black is zero
            277: self._numbers(_SHORT, samples),
            278: self._numbers(_LONG, self.sizes["Y"]),  # rows a strip: all
            279: self._numbers(self._pointer, *[self._plane] * planes),
            282: self._numbers(_RATIONAL, *self._resolution.x),
            283: self._numbers(_RATIONAL, *self._resolution.y),
            284: self._numbers(_SHORT, 2 if planes > 1 else 1),
            296: self._numbers(_SHORT, self._resolution.unit),
            305: _text(b"beamstream"),
            339: self._numbers(_SHORT, *[_SAMPLE_FORMATS[dtype.kind]] * samples),
        }

    def _numbers(self, kind: int, *values: int) -> tuple[int, int, bytes]:
        packed = struct.pack(f"{self._order}{len(values)}{_FORMS[kind][0]}", *values)
        return kind, len(values) // len(_FORMS[kind]), packed

    def header(self, first: int) -> bytes:
        """Return the first bytes of a file whose first page's block is at `first`."""
        mark = b"MM" if self._order == ">" else b"II"
        if self.big:
            return mark + struct.pack(f"{self._order}HHHQ", 43, 8, 0, first)
        return mark + struct.pack(f"{self._order}HI", 42, first)

    def pixels(self, frame: Frame) -> Bytes:
        """Return a frame's pixels as they are stored: its own memory where that is possible."""
        image: NDArray[Any] = frame.image
        return as_bytes(np.moveaxis(image, 1, 2) if self.axes != self.stored_axes else image)

    def text(self, frame: Frame) -> bytes:
        """Return a frame's JSON, NUL at the end, ASCII."""
        own = {key: getattr(frame, key) for key in ("unique_id", "timestamp", "received", "source", "clock")}
        return f"{self._common}, {json_text(own | {'attributes': dict(frame.attributes)})[1:]}".encode() + b"\0"

    def size(self, text: bytes) -> int:
        """Return how long the block of a frame with this text is; a multiple of 8."""
        return self.pages * self._page_size(text)

    def _page_size(self, text: bytes) -> int:
        return self._fixed + up(len(text), 8)

    def block(self, at: int, pixels_at: int, text: bytes, timestamp: float, *, last: bool) -> bytes:
        """Return the tags of a frame's pages, for the place `at` (a multiple of 8) of the file.

        Parameters
        ----------
        pixels_at : int
            Where the frame's pixels are.
        text : bytes
            Of `text`.
        timestamp : float
            s since 1970-01-01 UTC.
        last : bool
            Whether no frame follows; otherwise the next one's block follows this one.
        """
        size, plane = self._page_size(text), self._plane * self._planes
        pages = range(self.pages)
        ends = [last and page == pages[-1] for page in pages]
        return b"".join(
            self._page(at + page * size, pixels_at + page * plane, text, timestamp, last=ends[page]) for page in pages
        )

    def _page(self, at: int, pixels_at: int, text: bytes, timestamp: float, *, last: bool) -> bytes:
        places = [pixels_at + plane * self._plane for plane in range(self._planes)]
        tags = self._constant_tags | {
            DESCRIPTION_TAG: (_ASCII, len(text), text),
            _STRIPS_TAG: self._numbers(self._pointer, *places),
            _DATE_TAG: _text(_date(timestamp)),
            FRAME_TAG: (_ASCII, len(text), text),
        }
        start = up(self._link(at) + self._slot, 8)
        entries, values, text_at = self._encode(tags, start, text)
        end = text_at + up(len(text), 8)
        number = struct.pack(f"{self._order}{'Q' if self.big else 'H'}", len(tags))
        head = number + entries + self.offset(0 if last else end)
        return head.ljust(start - at, b"\0") + (values + text).ljust(end - start, b"\0")

    def _encode(self, tags: dict[int, tuple[int, int, bytes]], start: int, text: bytes) -> tuple[bytes, bytes, int]:
        """Return the entries, the values that do not fit into them, from `start` on, and the place of the text."""
        outside = {code: value for code, (_, _, value) in tags.items() if len(value) > self._slot and value is not text}
        places, values = {}, b""
        for code, value in outside.items():
            places[code] = start + len(values)
            values += value.ljust(up(len(value), 8), b"\0")
        text_at = start + len(values)
        entries = b""
        for code in sorted(tags):
            kind, count, value = tags[code]
            place = text_at if value is text else places.get(code)
            inside = value.ljust(self._slot, b"\0") if place is None else self.offset(place)
            entries += struct.pack(f"{self._order}HH{self._place}", code, kind, count) + inside
        return entries, values, text_at

    def offset(self, place: int) -> bytes:
        """Encode a place in the file."""
        return struct.pack(f"{self._order}{self._place}", place)

    def link(self, at: int, text: bytes) -> int:
        """Return where the block at `at` has the place of the next one: with 64 bits a multiple of 8.

        So it changes in one piece under the eyes of a reader; an even number of tags makes it so.
        """
        return self._link(at + (self.pages - 1) * self._page_size(text))

    def _link(self, at: int) -> int:
        return at + self._head + self._entry * (len(self._constant_tags) + len(_FRAMES_OWN))

    def entry(self, at: int, code: int) -> int:
        """Return where the block at `at` has the count of a tag, which its place follows."""
        codes = sorted([*self._constant_tags, *_FRAMES_OWN])
        return at + self._head + self._entry * codes.index(code) + 4


def stored_axes(geometry: Geometry) -> tuple[str, str]:
    """Return the axes of a page (Y rows, X columns, S colours), and their order in the file.

    Raises
    ------
    SinkError
        TIFF has no such pixels.
    """
    dtype, shape = np.dtype(geometry.dtype), geometry.shape
    unnamed = "YXS" if len(shape) == 3 and shape[2] == 3 else "YX"  # colours without a colour mode
    axes = _AXES.get(geometry.color_mode, unnamed)
    colours = shape[axes.index("S")] if "S" in axes and len(shape) == 3 else 3
    fits = len(shape) == len(axes) or axes == "YX"
    if not fits or colours != 3 or 0 in shape or dtype.kind not in _SAMPLE_FORMATS:
        raise SinkError(
            f"TIFF: pages of {geometry} asked for, it has pages of rows and columns or of three colours, "
            "of integers or floating-point numbers; choose hdf5, zarr or npy"
        )
    return axes, "YXS" if axes == "YSX" else axes


def json_text(value: Any) -> str:
    """Return one line of standard JSON; what is no JSON becomes text, NaN ``{"$float": "NaN"}``."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(_portable(value), allow_nan=False)


def _portable(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    return str(value)


def _text(text: bytes) -> tuple[int, int, bytes]:
    return _ASCII, len(text) + 1, text + b"\0"


def _date(timestamp: float) -> bytes:
    """Return the time as TIFF writes it, UTC; blanks for a time that is none."""
    try:
        text = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(timestamp))
    except (ValueError, OverflowError, OSError):
        text = _UNKNOWN_DATE
    return (text if len(text) == 19 else _UNKNOWN_DATE).encode()


def up(number: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-number // multiple) * multiple
