"""The curve below the picture: the profile along the line, or how the mean of the region goes."""

import time
from collections import deque

import numpy as np
import pyqtgraph as pg

from beamstream.viewers.qt.look import Look
from beamstream.viewers.qt.wishes import Measured

_HISTORY = 1200
_SECONDS = 60.0


class Curve(pg.PlotWidget):
    """Draw what was measured in the region or along the line; hidden while there is neither."""

    def __init__(self, look: Look) -> None:
        super().__init__(background="default")
        self.setMinimumHeight(110)
        self.setMenuEnabled(False)
        self.hideButtons()
        self._line = self.plot([], [])
        self._points: deque[tuple[float, float]] = deque(maxlen=_HISTORY)
        self._title = ""
        self.dress(look)
        self.hide()

    def dress(self, look: Look) -> None:
        """Take other colours."""
        self.setBackground(look.page)
        self._line.setPen(pg.mkPen(look.accent))  # wider lines take far longer to draw
        self._look = look
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(pg.mkPen(look.line))
            self.getAxis(side).setTextPen(pg.mkPen(look.muted))

    def forget(self) -> None:
        """Begin the region's curve anew."""
        self._points.clear()

    def show_measured(self, measured: Measured) -> None:
        """Draw what was measured; the line comes first."""
        if measured.roi is not None:
            self._points.append((time.monotonic(), measured.roi.mean))
        if measured.profile is not None:
            self._say("value along the line", "pixel")
            self._line.setData(np.arange(measured.profile.size), measured.profile, connect="finite")
        elif measured.roi is not None:
            now = self._points[-1][0]
            while self._points[0][0] < now - _SECONDS:
                self._points.popleft()
            times, means = np.array(self._points).T
            self._say("mean of the region", "s ago")
            self._line.setData(times - now, means)

    def _say(self, values: str, along: str) -> None:
        if self._title != values + along:
            self._title = values + along
            self.setLabel("left", values, color=self._look.muted)
            self.setLabel("bottom", along, color=self._look.muted)
            self.enableAutoRange()
