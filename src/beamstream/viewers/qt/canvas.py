"""Canvas: the picture, its marks and what is written over it; zoom and pan."""

from collections.abc import Sequence

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from beamstream.viewers.qt import scale_bar
from beamstream.viewers.qt.look import Look
from beamstream.viewers.qt.marks import NO_SHAPE, Marks
from beamstream.viewers.qt.orientation import UPRIGHT, Rectangle
from beamstream.viewers.qt.picture import Picture
from beamstream.viewers.qt.wishes import Shown

_CLOSEST = 4  # pixels of the frame across the window
_FURTHEST = 8  # times the frame


class _Box(pg.ViewBox):
    """Zoom and pan; while there is a crosshair, the left button moves that and the middle one pans."""

    pointed = Signal(object)
    fitted = Signal()

    def __init__(self) -> None:
        super().__init__(lockAspect=True, invertY=True, enableMenu=False, defaultPadding=0.0)
        self.points = False

    def mouseClickEvent(self, ev) -> None:  # noqa: ANN001, N802, pyqtgraph's
        if ev.button() == Qt.MouseButton.LeftButton and ev.double():
            ev.accept()
            self.fitted.emit()
        elif ev.button() == Qt.MouseButton.LeftButton and self.points:
            ev.accept()
            self.pointed.emit(self.mapSceneToView(ev.scenePos()))
        else:
            super().mouseClickEvent(ev)

    def mouseDragEvent(self, ev, axis=None) -> None:  # noqa: ANN001, N802, pyqtgraph's
        if ev.button() == Qt.MouseButton.LeftButton and self.points:
            ev.accept()
            self.pointed.emit(self.mapSceneToView(ev.scenePos()))
        else:
            super().mouseDragEvent(ev, axis)


class Canvas(pg.GraphicsView):
    """Show frames, as far in or out as one likes.

    Signals
    -------
    looked
        What the window shows has changed: `view` and `pixels`.
    marked
        A mark has moved: `marks`.
    painted
        The last frame is on the screen.
    """

    looked = Signal()
    marked = Signal()
    painted = Signal()

    def __init__(self, look: Look) -> None:
        super().__init__(background=look.void)
        self.setFrameShape(pg.QtWidgets.QFrame.Shape.NoFrame)
        self._box = _Box()
        self.setCentralItem(self._box)
        self.picture = Picture(self.painted.emit)
        self._box.addItem(self.picture, ignoreBounds=True)
        self.marks = Marks(self._box, self.marked.emit, look.accent)
        self._shape, self._orientation = NO_SHAPE, UPRIGHT
        self._fits = True
        self._lines: Sequence[str] = ()
        self._words = ""
        self._ink = look
        self.overlay = True
        self.pixel_size: scale_bar.PixelSize | None = None
        self._box.pointed.connect(lambda at: self.marks.cross_at(at))
        self._box.fitted.connect(self.fit)
        self._box.sigRangeChangedManually.connect(self._left_fit)
        self._box.sigRangeChanged.connect(lambda *_: self.looked.emit())

    # what is seen

    @property
    def view(self) -> Rectangle | None:
        """What the window shows of the picture as it is seen, pixels; None before there is one."""
        if self._shape == NO_SHAPE:
            return None
        r = self._box.viewRect()
        return r.x(), r.y(), r.width(), r.height()

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the window, device pixels."""
        ratio = self.devicePixelRatioF()
        return round(self.viewport().width() * ratio), round(self.viewport().height() * ratio)

    @property
    def scale_percent(self) -> float:
        """Device pixels for 100 pixels of the frame."""
        width = self._box.viewRect().width()
        return 100 * self.pixels[0] / width if width else 100.0

    def show_frame(self, shown: Shown) -> None:
        """Take what the eye made."""
        turn = shown.wish.orientation
        if (shown.shape, turn) != (self._shape, self._orientation):
            sizes = self._orientation.size(self._shape), turn.size(shown.shape)
            self._shape, self._orientation = shown.shape, turn
            if sizes[0] != sizes[1]:
                self._adapt(*sizes[1])
        self.marks.place(shown.shape, turn)
        self.picture.show_frame(shown)

    def _adapt(self, width: int, height: int) -> None:
        """Keep zoom and pan sensible for pictures of this size, and show all of a new one."""
        least, most = _CLOSEST, _FURTHEST * max(width, height)
        self._box.setLimits(minXRange=least, minYRange=least, maxXRange=most, maxYRange=most)
        self.fit()

    def fit(self) -> None:
        """Show all of the picture, also when the window changes its size."""
        self._fits = True
        width, height = self._orientation.size(self._shape)
        self._box.setRange(QRectF(0, 0, width, height), padding=0)
        self.looked.emit()

    def actual(self) -> None:
        """Show one pixel of the frame as one of the screen."""
        self._left_fit()
        middle, (w, h) = self._box.viewRect().center(), self.pixels
        self._box.setRange(QRectF(middle.x() - w / 2, middle.y() - h / 2, w, h), padding=0)

    def zoom(self, factor: float) -> None:
        """Come closer to the middle (or the crosshair), or go away from it."""
        self._left_fit()
        centre = self._box.viewRect().center()
        if self.marks.cross is not None:
            row, col = self.marks.cross
            centre = QPointF(*self._orientation.to_view(row + 0.5, col + 0.5, self._shape))
        self._box.scaleBy((1 / factor, 1 / factor), center=centre)

    def point(self, on: bool) -> None:
        """Show the crosshair, and let the mouse move it."""
        self._box.points = on
        self.marks.show_cross(on)

    def _left_fit(self, *_: object) -> None:
        self._fits = False

    def resizeEvent(self, ev) -> None:  # noqa: ANN001, N802, Qt's
        super().resizeEvent(ev)
        if hasattr(self, "_fits"):
            if self._fits:
                self.fit()
            self.looked.emit()

    # what is written over it

    def dress(self, look: Look) -> None:
        """Take other colours."""
        self._ink = look
        self.setBackground(look.void)

    def write(self, lines: Sequence[str], words: str) -> None:
        """Say how it goes: in the corner, and in the middle what is waited for."""
        if (lines, words) != (self._lines, self._words):
            self._lines, self._words = lines, words
            self.viewport().update()

    def drawForeground(self, painter: QPainter, rect: QRectF | object) -> None:  # noqa: N802, Qt's
        """Write; Qt calls it."""
        painter.save()
        painter.resetTransform()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.overlay and self._lines:
            self._sheet(painter, self._lines, QFont(self.font().family(), 9), corner=True)
        if self.overlay and self.pixel_size is not None and self._shape != NO_SHAPE:
            self._scale_bar(painter, self.pixel_size)
        if self._words:
            self._sheet(painter, _wrapped(self._words, 64), QFont(self.font().family(), 12), corner=False)
        painter.restore()

    def _scale_bar(self, painter: QPainter, pixel: scale_bar.PixelSize) -> None:
        window = QRectF(self.viewport().rect())
        across = pixel.across(self._orientation) * self._box.viewRect().width() / window.width()
        scale_bar.paint(painter, window, across, pixel.units, QFont(self.font().family(), 9))

    def _sheet(self, painter: QPainter, lines: Sequence[str], font: QFont, *, corner: bool) -> None:
        metrics = QFontMetricsF(font)
        width = max(metrics.horizontalAdvance(line) for line in lines) + 20
        height = metrics.lineSpacing() * len(lines) + 12
        place = QRectF(10, 10, width, height)
        if not corner:
            middle = QRectF(self.viewport().rect()).center()
            place.moveCenter(middle)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(10, 14, 18, 170 if corner else 215))
        painter.drawRoundedRect(place, 6, 6)
        painter.setPen(QColor("#f2f5f7"))
        painter.setFont(font)
        align = Qt.AlignmentFlag.AlignLeft if corner else Qt.AlignmentFlag.AlignHCenter
        inner = place.adjusted(10, 6, -10, -6)
        painter.drawText(inner, align | Qt.AlignmentFlag.AlignVCenter, "\n".join(lines))


def _wrapped(words: str, most: int) -> list[str]:
    import textwrap

    return textwrap.wrap(words, most) or [words]
