"""Picture: the frame in the scene, painted with the pixels of the window as they are."""

import time
from collections import deque
from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from beamstream.viewers.qt.wishes import Shown


class Picture(pg.GraphicsObject):
    """Paint the last frame that the eye made: pixel on pixel, nothing is scaled or converted.

    While the view moves, what was made for the last view is stretched until the eye has made the next.

    Parameters
    ----------
    painted : callable
        Called when a frame is on the screen.

    Attributes
    ----------
    drawn : int
        Frames painted.
    """

    def __init__(self, painted: Callable[[], object]) -> None:
        super().__init__()
        self.drawn = 0
        self.shown: Shown | None = None
        self._painted = painted
        self._image = QImage()
        self._waits = False
        self._bounds = QRectF(0, 0, 1, 1)
        self._times: deque[float] = deque(maxlen=256)

    def show_frame(self, shown: Shown) -> None:
        """Take what is to be painted next."""
        rows, cols = shown.pixels.shape
        self.shown = shown  # holds the memory that the image is a view of
        self._image = QImage(shown.pixels.data, cols, rows, 4 * cols, QImage.Format.Format_RGB32) if cols else QImage()
        self._waits = True
        self._bound(*shown.wish.orientation.size(shown.shape))
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.shown, self._image = None, QImage()
        self._waits = False
        self._times.clear()
        self.update()

    @property
    def rate(self) -> float:
        """Frames painted per second, over the last second or two."""
        now = time.monotonic()
        while self._times and now - self._times[0] > 2.0:
            self._times.popleft()
        return (len(self._times) - 1) / (now - self._times[0]) if len(self._times) > 1 else 0.0

    def _bound(self, width: int, height: int) -> None:
        if (width, height) != (self._bounds.width(), self._bounds.height()):
            self.prepareGeometryChange()
            self._bounds = QRectF(0, 0, width, height)

    def boundingRect(self) -> QRectF:  # noqa: N802, Qt's name
        """Return all of the frame, pixels as they are seen."""
        return self._bounds

    def paint(self, painter: QPainter, option: object, widget: object = None, /) -> None:
        """Paint; Qt calls it."""
        shown = self.shown
        if shown is not None and not self._image.isNull():
            self._draw(painter, shown)
        if self._waits and shown is not None:
            self._waits = False
            if shown.fresh:
                self.drawn += 1
                self._times.append(time.monotonic())
            self._painted()

    def _draw(self, painter: QPainter, shown: Shown) -> None:
        target = painter.worldTransform().mapRect(QRectF(*shown.rectangle))
        ratio = painter.device().devicePixelRatioF()
        painter.save()
        painter.resetTransform()
        size = self._image.size()
        if abs(target.width() * ratio - size.width()) < 1 and abs(target.height() * ratio - size.height()) < 1:
            painter.scale(1 / ratio, 1 / ratio)
            painter.drawImage(round(target.left() * ratio), round(target.top() * ratio), self._image)
        else:
            painter.drawImage(target, self._image)
        painter.restore()
