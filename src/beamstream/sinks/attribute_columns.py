"""Which attributes of frames become columns, and what of a frame fits into none of them."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frame_attributes import to_json
from beamstream.frames import Frame
from beamstream.sinks.hdf5_layout import RING_INDEX, SCALARS, Column

logger = logging.getLogger(__name__)

COLOR_MODE = "ColorMode"
"""areaDetector's attribute for `Geometry.color_mode`; the same on every frame of a run."""

_MOST_COLUMNS = 256
_LONGEST_NAME = 64  # characters of a column's
_TEXT_STEP, _LONGEST_TEXT = 32, 256  # bytes
_KINDS: dict[type, str] = {bool: "|b1", int: "<i8", float: "<f8"}
_BLANKS: dict[str, Any] = {"b": False, "i": 0, "f": np.nan, "S": b""}
"""What a column has where there is no value for it."""
_TYPES: dict[str, type] = {"b": bool, "i": int, "f": float, "S": str}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_TAKEN = {"data", "image", "spectrum", "time", "beam", "polarization", "frequency", "frequency_mhz", "about"}
_TAKEN |= {"changes", "changes_at", "attribute_changes", "recorded_to"}
_MISSING = type("Missing", (), {})()


def attribute_columns(
    attributes: Mapping[str, Any], taken: Collection[str] = (), kinds: str = "bifS"
) -> tuple[Column, ...]:
    """Return the columns for the attributes of a frame: its numbers and short texts, as far as numpy has these `kinds`.

    Names of columns are letters, digits, ``_`` and ``-``, whatever those of the attributes are, and none of `taken` or
    of what every file has. Text has room for twice its length, as UTF-8, 256 bytes at most.
    """
    used = {name.casefold() for name in (*taken, *_TAKEN, RING_INDEX.name, *(c.name for c in SCALARS))}
    columns: list[Column] = []
    for attribute, value in attributes.items():
        dtype = _dtype(value)
        if (
            attribute == COLOR_MODE
            or not dtype
            or dtype[1] not in kinds
            or "\0" in attribute
            or len(columns) == _MOST_COLUMNS
        ):
            continue
        begin = name = re.sub(r"[^A-Za-z0-9_-]", "_", attribute)[:_LONGEST_NAME] or "_"
        number = 1
        while name.casefold() in used:
            number += 1
            name = f"{begin}_{number}"
        used.add(name.casefold())
        columns.append(Column(name, dtype, attribute=attribute))
    return tuple(columns)


def _dtype(value: Any) -> str:
    """Return how a column keeps such values; ``""`` where it cannot."""
    if not isinstance(value, str):
        return _KINDS.get(type(value), "")
    nbytes = len(value.encode(errors="replace"))
    if nbytes > _LONGEST_TEXT:
        return ""
    return f"|S{min(_LONGEST_TEXT, max(1, -(-2 * nbytes // _TEXT_STEP)) * _TEXT_STEP)}"


@dataclass(frozen=True, slots=True)
class Packed:
    """The attributes of some frames, as they are kept.

    Parameters
    ----------
    arrays : list of ndarray
        One for each column.
    changes : bytes
        Lines of JSON: what of the frames fits into no column, from a frame on until the next line.
    change_of : ndarray of int64
        For each frame: at which byte of all lines that one begins which holds for it; -1 where there is none yet.
    """

    arrays: list[NDArray[Any]]
    changes: bytes
    change_of: NDArray[np.int64]


class AttributePacker:
    """Sort the attributes of the frames of one run into columns, and the rest into lines of JSON.

    A line is ``{"row": 12, "attributes": {…}, "missing": […]}``: from row 12 on frames have these attributes beside,
    or in place of, what the columns hold, and those whose columns are named as missing they have not. It is written
    where that changes, so that what stays as it is takes no room. An attribute that appears, disappears, becomes
    another type or too long for its column is logged once.

    Parameters
    ----------
    attributes : Mapping
        Of a first frame: what is not in them, and comes later, is logged as that.
    columns : sequence of Column
    name : str
        The detector's, for the log.
    ignored : collection of str
        Attributes that are kept elsewhere.
    is_known : bool
        Whether readers know `attributes`: the first line is that of the first frame which has others.
    """

    def __init__(
        self,
        attributes: Mapping[str, Any],
        columns: Sequence[Column],
        name: str,
        ignored: Collection[str] = (),
        *,
        is_known: bool = False,
    ) -> None:
        self.columns = tuple(columns)
        self._name = name
        self._ignored = frozenset(ignored)
        self._in_columns = {column.source for column in columns}
        self._known = {*attributes, COLOR_MODE}
        self._logged: set[str] = set()
        self._rest: Mapping[str, Any] | None = {}  # of the last frame; None where something did not fit a column
        self._line = b""  # without the row
        self._place, self._end = -1, 0  # of the line that holds, and of all lines
        if is_known:
            self._line = self._state(attributes, {}, 0)

    def pack(self, frames: Sequence[Frame], first: int) -> Packed:
        """Return what is kept of the attributes of some frames, the first of them for row `first`."""
        attributes = [frame.attributes for frame in frames]
        misfits: dict[int, dict[str, Any]] = {}  # by number of the frame: values that their columns cannot hold
        arrays = [self._array(column, attributes, misfits) for column in self.columns]
        lines: list[bytes] = []
        places = np.full(len(frames), self._place, np.int64)
        for number, own in enumerate(attributes):
            if number not in misfits and self._is_as_before(own):
                places[number] = self._place
                continue
            line = self._state(own, misfits.get(number, {}), first + number)
            if line != self._line:
                lines.append(b'{"row":%d,%s\n' % (first + number, line))
                self._line, self._place = line, self._end
                self._end += len(lines[-1])
            places[number] = self._place
        return Packed(arrays, b"".join(lines), places)

    def _is_as_before(self, own: Mapping[str, Any]) -> bool:
        """Whether a frame whose columns are filled has beside them just what the last one had."""
        rest = self._rest
        if rest is None or len(own) != len(self.columns) + len(rest) + sum(key in own for key in self._ignored):
            return False
        return all(_is_same(own.get(key, _MISSING), value) for key, value in rest.items())

    def _state(self, own: Mapping[str, Any], misfits: Mapping[str, Any], row: int) -> bytes:
        """Return the content of a line about a frame, behind the row."""
        elsewhere = self._in_columns | self._ignored
        rest = {key: value for key, value in own.items() if key not in elsewhere}
        missing = [key for key, value in misfits.items() if value is _MISSING]
        others = rest | {key: value for key, value in misfits.items() if value is not _MISSING}
        self._rest = rest if not misfits else None
        for key in rest.keys() - self._known:
            self._log(key, f"appears at row {row}")
        return to_json({"attributes": others, "missing": missing})[1:]

    def _array(
        self, column: Column, attributes: Sequence[Mapping[str, Any]], misfits: dict[int, dict[str, Any]]
    ) -> NDArray[Any]:
        """Return the values of a column; those that it cannot hold go to `misfits`."""
        name, kind = column.source, np.dtype(column.dtype_numpy).kind
        values = [own.get(name, _MISSING) for own in attributes]
        if set(map(type, values)) == {_TYPES[kind]}:
            array = _texts(values, column) if kind == "S" else _numbers(values, column)
            if array is not None:
                return array
        array = np.full(len(values), _BLANKS[kind], column.dtype_numpy)
        for number, value in enumerate(values):
            one = None
            if type(value) is _TYPES[kind]:
                one = _texts([value], column) if kind == "S" else _numbers([value], column)
            if one is not None:
                array[number] = one[0]
                continue
            misfits.setdefault(number, {})[name] = value
            self._log_misfit(column, value)
        return array

    def _log_misfit(self, column: Column, value: Any) -> None:
        kind = _TYPES[np.dtype(column.dtype_numpy).kind]
        if value is _MISSING:
            self._log(column.source, "disappears")
        elif type(value) is kind:
            self._log(column.source, f"is larger than its column, {column.dtype_numpy.lstrip('|<')}, holds")
        else:
            self._log(column.source, f"becomes {_WORDS.get(type(value), type(value).__name__)}, it was {_WORDS[kind]}")

    def _log(self, attribute: str, what: str) -> None:
        if attribute not in self._logged and len(self._logged) < _MOST_COLUMNS:
            self._logged.add(attribute)
            logger.warning(
                "%s: the attribute %.80r %s, in mid-run: it is kept beside the columns, as a change",
                self._name,
                attribute,
                what,
            )


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and one == other)


def _numbers(values: Sequence[Any], column: Column) -> NDArray[Any] | None:
    try:
        return np.array(values, column.dtype_numpy)
    except OverflowError:
        return None


def _texts(values: Sequence[str], column: Column) -> NDArray[Any] | None:
    """Return texts as UTF-8; None where one is too long, or ends with what a fixed length cuts off."""
    dtype = np.dtype(column.dtype_numpy)
    constant = values.count(values[0]) == len(values)
    encoded = [value.encode(errors="surrogatepass") for value in (values[:1] if constant else values)]
    if max(map(len, encoded)) > dtype.itemsize or any(value.endswith(b"\0") for value in encoded):
        return None
    return np.full(len(values), encoded[0], dtype) if constant else np.array(encoded, dtype)
