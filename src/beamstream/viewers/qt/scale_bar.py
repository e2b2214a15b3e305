"""Scale bar: how large things are that the picture shows, where the size of a pixel is known."""

import math
from typing import NamedTuple

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from beamstream.viewers.qt.orientation import Orientation
from beamstream.watching.streams import StreamSpec

_LONGEST = 0.25  # of the window's width
_MARGIN, _THICK, _PADDING = 10.0, 3.0, 8.0  # screen pixels
_ROUND = (5.0, 2.0, 1.0)
_METRES = {"pm": 1e-12, "nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "m": 1.0}
_SPELLED = {"um": "µm", "\u03bcm": "µm", "micron": "µm"}


class PixelSize(NamedTuple):
    """How large a pixel of the frame is: along the rows' numbers, along the columns', and what that is in."""

    row: float
    col: float
    units: str

    def across(self, orientation: Orientation) -> float:
        """Return how wide it is as it is seen."""
        return self.row if orientation.turned else self.col


def pixel_size_of(spec: StreamSpec) -> PixelSize | None:
    """Return what is known of a stream's pixels."""
    size = spec.about.get("pixel_size")
    return PixelSize(float(size[0]), float(size[1]), str(spec.about.get("pixel_units") or "um")) if size else None


def round_length(most: float) -> float:
    """Return the longest of 1, 2 and 5 times a power of ten that is not longer than `most`."""
    decade = 10.0 ** math.floor(math.log10(most))
    return next((n * decade for n in _ROUND if n * decade <= most), decade)


def in_words(length: float, units: str) -> str:
    """Return a length with its unit, in the unit that suits it where it is one of metres."""
    metres = length * _METRES.get(_SPELLED.get(units, units), 0.0)
    suited = [name for name, one in _METRES.items() if metres >= 0.999 * one] if metres else []
    return f"{metres / _METRES[suited[-1]]:.6g} {suited[-1]}" if suited else f"{length:.6g} {units}"


def paint(painter: QPainter, window: QRectF, across: float, units: str, font: QFont) -> None:
    """Draw the bar into the lower left corner.

    Parameters
    ----------
    painter : QPainter
    window : QRectF
        Screen pixels.
    across : float
        How wide a screen pixel is, in `units`.
    units : str
    font : QFont
    """
    length = round_length(_LONGEST * window.width() * across)
    label, wide, metrics = in_words(length, units), length / across, QFontMetricsF(font)
    width = max(wide, metrics.horizontalAdvance(label)) + 2 * _PADDING
    height = metrics.height() + _THICK + 2 * _PADDING
    place = QRectF(_MARGIN, window.height() - _MARGIN - height, width, height)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(10, 14, 18, 170))
    painter.drawRoundedRect(place, 6, 6)
    ink, middle, foot = QColor("#f2f5f7"), place.center().x(), place.bottom() - _PADDING
    painter.fillRect(QRectF(QPointF(middle - wide / 2, foot - _THICK), QPointF(middle + wide / 2, foot)), ink)
    painter.setPen(ink)
    painter.setFont(font)
    painter.drawText(place.adjusted(0, _PADDING / 2, 0, 0), Qt.AlignmentFlag.AlignHCenter, label)
