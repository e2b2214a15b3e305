"""What a page wishes to see of a stream: checked when it comes, never changed, the same for equal wishes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

_MOST_ROIS = 32
_MOST_PIXELS = 100_000  # of a frame's side, or of a window's: further away there is nothing
_MOST_NAME = 64  # characters


class Region(NamedTuple):
    """A rectangle in pixels of the frame."""

    row: int
    col: int
    rows: int
    cols: int


class Area(NamedTuple):
    """A region of interest with statistics: a rectangle, or the ellipse in it."""

    name: str
    ellipse: bool
    row: float
    col: float
    rows: float
    cols: float


class Line(NamedTuple):
    """A line whose profile is wanted, from the middle of one pixel to that of another."""

    name: str
    row: int
    col: int
    row2: int
    col2: int


class Treated(NamedTuple):
    """What is to be done to frames before they are shown."""

    flat: bool = False
    dark: bool = False
    pipeline: bool = False


_AS_IT_IS = Treated()


@dataclass(frozen=True, slots=True)
class Wish:
    """What one page wants to have.

    Parameters
    ----------
    view : tuple of float, optional
        First row and column, rows and columns of the region, then width and height of the window in its own pixels.
        None until the page has said it; nothing is sent before.
    rate : float
        Most frames a second.
    treated : Treated
    cross : tuple of int, optional
        Row and column.
    areas, lines : tuple
    paused : bool
    """

    view: tuple[float, float, float, float, float, float] | None = None
    rate: float = 60.0
    treated: Treated = _AS_IT_IS
    cross: tuple[int, int] | None = None
    areas: tuple[Area, ...] = ()
    lines: tuple[Line, ...] = ()
    paused: bool = False

    def changed(self, message: Mapping[str, Any]) -> Self | None:
        """Return the wish that a message of the page makes of this one; None if it is no message of this protocol."""
        try:
            return self._changed(message)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None

    def _changed(self, message: Mapping[str, Any]) -> Self | None:
        match message:
            case {"view": {**view}}:
                numbers = [_pixel(view[key]) for key in ("row", "col", "rows", "cols", "width", "height")]
                return replace(self, view=tuple(numbers))
            case {"rate": rate}:
                return replace(self, rate=min(max(_number(rate), 0.1), 240.0))
            case {"correct": {**wanted}}:
                return replace(self, treated=Treated(*(wanted.get(key) is True for key in Treated._fields)))
            case {"cross": None}:
                return replace(self, cross=None)
            case {"cross": [row, col]}:
                return replace(self, cross=(round(_pixel(row)), round(_pixel(col))))
            case {"rois": list(rois)} if len(rois) <= _MOST_ROIS:
                shapes = [_shape(roi) for roi in rois]
                areas = tuple(shape for shape in shapes if isinstance(shape, Area))
                return replace(self, areas=areas, lines=tuple(shape for shape in shapes if isinstance(shape, Line)))
            case {"pause": bool(paused)}:
                return replace(self, paused=paused)
        return None

    def region(self, n_rows: int, n_cols: int) -> Region | None:
        """Return the part of a frame that the window shows, in whole pixels; None if it shows nothing of it."""
        if self.view is None:
            return None
        row, col, rows, cols, *_ = self.view
        top, left = max(0, math.floor(row)), max(0, math.floor(col))
        bottom, right = min(n_rows, math.ceil(row + rows)), min(n_cols, math.ceil(col + cols))
        if top >= bottom or left >= right:
            return None
        return Region(top, left, bottom - top, right - left)

    def factor(self) -> int:
        """Return how many pixels of the frame, each way, go into one of the window: at least 1."""
        if self.view is None:
            return 1
        _, _, rows, cols, width, height = self.view
        return max(1, min(1024, math.floor(max(rows / max(1.0, height), cols / max(1.0, width)) + 1e-6)))


def is_name(given: object) -> bool:
    """Return whether a page may call something so: a short text that can be sent back, or a number of 64 bits."""
    if isinstance(given, str):
        return len(given) <= _MOST_NAME and given.encode(errors="replace").decode() == given
    return isinstance(given, int) and not isinstance(given, bool) and abs(given) < 2**63


def _shape(roi: Mapping[str, Any]) -> Area | Line:
    name = roi["id"]
    if not is_name(name):
        raise ValueError(name)
    if roi["shape"] == "line":
        return Line(str(name), *(round(_pixel(roi[key])) for key in ("row", "col", "row2", "col2")))
    if roi["shape"] not in ("rectangle", "ellipse"):
        raise ValueError(roi["shape"])
    place = (_pixel(roi[key]) for key in ("row", "col", "rows", "cols"))
    return Area(str(name), roi["shape"] == "ellipse", *place)


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ValueError(given)
    return float(given)


def _pixel(given: Any) -> float:
    number = _number(given)
    if abs(number) > _MOST_PIXELS:
        raise ValueError(given)
    return number
