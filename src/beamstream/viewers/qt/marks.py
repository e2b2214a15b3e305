"""Marks: crosshair, region and line on the picture; they stay on their pixels however the frame is turned."""

from collections.abc import Callable

import pyqtgraph as pg
from PySide6.QtCore import QPointF

from beamstream.ops.statistics import Roi
from beamstream.viewers.qt.orientation import UPRIGHT, Orientation
from beamstream.viewers.qt.wishes import Line

_OVER = 20  # z
NO_SHAPE = (1, 1)
"""Rows and columns before there is a frame."""


class Marks:
    """Put marks on the picture, and say where they are in the frame.

    Parameters
    ----------
    box : pyqtgraph.ViewBox
    changed : callable
        Called when somebody has moved one.
    colour : str

    Attributes
    ----------
    cross : tuple of int or None
        Row and column; where the crosshair is, while it is shown.
    roi : Roi or None
        While it is shown.
    line : Line or None
        While it is shown.
    """

    def __init__(self, box: pg.ViewBox, changed: Callable[[], object], colour: str) -> None:
        self._changed = changed
        self._shape, self._orientation = NO_SHAPE, UPRIGHT
        self._moving = False
        self.cross: tuple[int, int] | None = None
        self.roi: Roi | None = None
        self.line: Line | None = None
        pen, bright = pg.mkPen(colour, width=1), pg.mkPen("#ffffff", width=2)
        self._across = [pg.InfiniteLine(angle=angle, pen=pen) for angle in (0, 90)]
        self._label = pg.TextItem(anchor=(-0.08, 1.2), color="#ffffff", fill=(10, 14, 18, 190))
        self._box = pg.RectROI([0, 0], [1, 1], pen=pg.mkPen(colour, width=2), hoverPen=bright, rotatable=False)
        self._box.addScaleHandle([0, 0], [1, 1])
        self._segment = pg.LineSegmentROI([[0, 0], [1, 1]], pen=pg.mkPen(colour, width=2), hoverPen=bright)
        for item in (*self._across, self._label, self._box, self._segment):
            item.setZValue(_OVER)
            item.setVisible(False)
            box.addItem(item, ignoreBounds=True)
        self._box.sigRegionChanged.connect(self._box_moved)
        self._segment.sigRegionChanged.connect(self._segment_moved)

    def place(self, shape: tuple[int, int], orientation: Orientation) -> None:
        """Follow the frame: its rows and columns, and how it is turned. What is no more inside goes to its middle."""
        if (shape, orientation) == (self._shape, self._orientation):
            return
        before, self._shape, self._orientation = self._shape, shape, orientation
        if before == NO_SHAPE:
            self.cross = None if self.cross is None else (shape[0] // 2, shape[1] // 2)
            self.roi = None if self.roi is None else self._middle()
            self.line = None if self.line is None else self._across_middle()
        elif before != shape:
            self._bring_inside()
        self._draw()
        if before != shape:
            self._changed()

    def _bring_inside(self) -> None:
        rows, cols = self._shape
        if self.cross is not None and not (self.cross[0] < rows and self.cross[1] < cols):
            self.cross = rows // 2, cols // 2
        if self.roi is not None and (self.roi[0] + self.roi[2] > rows or self.roi[1] + self.roi[3] > cols):
            self.roi = self._middle()
        if self.line is not None and (max(self.line[::2]) >= rows or max(self.line[1::2]) >= cols):
            self.line = self._across_middle()

    def _middle(self) -> Roi:
        rows, cols = self._shape
        return rows * 3 // 8, cols * 3 // 8, max(1, rows // 4), max(1, cols // 4)

    def _across_middle(self) -> Line:
        rows, cols = self._shape
        return rows / 2 - 0.5, cols * 0.2, rows / 2 - 0.5, cols * 0.8

    # what is asked for

    def show_cross(self, on: bool) -> None:
        """Show the crosshair, in the middle, or take it away."""
        self.cross = (self._shape[0] // 2, self._shape[1] // 2) if on else None
        self._draw()
        self._changed()

    def cross_at(self, place: QPointF) -> None:
        """Put the crosshair on the pixel that is seen there; outside, on the nearest."""
        row, col = self._orientation.to_frame(place.x(), place.y(), self._shape)
        self.cross_on(int(row // 1), int(col // 1))

    def cross_on(self, row: int, col: int) -> None:
        """Put the crosshair on a pixel of the frame, or on the nearest."""
        self.cross = max(0, min(row, self._shape[0] - 1)), max(0, min(col, self._shape[1] - 1))
        self._draw()
        self._changed()

    def move(self, right: int, down: int) -> None:
        """Move the crosshair by so many pixels, as it is seen."""
        if self.cross is not None:
            x, y = self._seen(self.cross[0] + 0.5, self.cross[1] + 0.5)
            self.cross_at(QPointF(x + right, y + down))

    def show_roi(self, on: bool) -> None:
        """Show the region, in the middle, or take it away."""
        self.roi = self._middle() if on else None
        self._draw()
        self._changed()

    def show_line(self, on: bool) -> None:
        """Show the line, in the middle, or take it away."""
        self.line = self._across_middle() if on else None
        self._draw()
        self._changed()

    def say(self, words: str) -> None:
        """Write beside the crosshair."""
        self._label.setText(words)

    # in the scene

    def _draw(self) -> None:
        self._moving = True
        shown = self.cross is not None
        for item in (*self._across, self._label):
            item.setVisible(shown)
        if self.cross is not None:
            x, y = self._seen(self.cross[0] + 0.5, self.cross[1] + 0.5)
            self._across[0].setPos(y)
            self._across[1].setPos(x)
            self._label.setPos(x, y)
        self._box.setVisible(self.roi is not None)
        if self.roi is not None:
            row, col, rows, cols = self.roi
            (x, y), (x2, y2) = self._seen(row, col), self._seen(row + rows, col + cols)
            self._box.setPos(min(x, x2), min(y, y2), update=False, finish=False)
            self._box.setSize([abs(x2 - x), abs(y2 - y)], finish=False)
        self._segment.setVisible(self.line is not None)
        if self.line is not None:
            ends = (self.line[:2], self.line[2:])
            for handle, (row, col) in zip(self._segment.getHandles(), ends, strict=True):
                place = QPointF(*self._seen(row + 0.5, col + 0.5))
                self._segment.movePoint(handle, place, finish=False, coords="parent")
        self._moving = False

    def _seen(self, row: float, col: float) -> tuple[float, float]:
        return self._orientation.to_view(row, col, self._shape)

    def _box_moved(self) -> None:
        if self._moving:
            return
        (x, y), (w, h) = self._box.pos(), self._box.size()
        corners = [self._orientation.to_frame(*at, self._shape) for at in ((x, y), (x + w, y + h))]
        row, col = (max(0, round(min(a, b))) for a, b in zip(*corners, strict=True))
        row_2, col_2 = (round(max(a, b)) for a, b in zip(*corners, strict=True))
        row, col = min(row, self._shape[0] - 1), min(col, self._shape[1] - 1)
        row_2, col_2 = min(row_2, self._shape[0]), min(col_2, self._shape[1])
        self.roi = row, col, max(1, row_2 - row), max(1, col_2 - col)
        self._changed()

    def _segment_moved(self) -> None:
        if self._moving:
            return
        ends = []
        for handle in self._segment.getHandles():
            at = self._segment.mapToParent(handle.pos())
            row, col = self._orientation.to_frame(at.x(), at.y(), self._shape)
            ends += [row - 0.5, col - 0.5]
        self.line = ends[0], ends[1], ends[2], ends[3]
        self._changed()
