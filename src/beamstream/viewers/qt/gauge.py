"""Gauge: what is measured in frames for the eye; the crosshair in each, all else a few times a second."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.contrast import samples
from beamstream.ops.statistics import FrameStatistics, Roi, frame_statistics
from beamstream.viewers.qt.shades import calm, histogram, levels
from beamstream.viewers.qt.wishes import Line, Measured, Wish

Array = NDArray[Any]
_PERIOD = 0.12  # s
_MOST_POINTS = 4096


def value_at(image: Array, cross: tuple[int, int] | None) -> tuple[float, ...]:
    """Return the values of one pixel; none outside of the image."""
    if cross is None or not (0 <= cross[0] < image.shape[0] and 0 <= cross[1] < image.shape[1]):
        return ()
    return tuple(np.atleast_1d(image[cross]).tolist())


def profile_of(image: Array, line: Line) -> NDArray[np.float32]:
    """Return the values nearest to the points of a line, one pixel apart; colours are averaged, NaN is outside."""
    row, col, row_2, col_2 = line
    points = min(_MOST_POINTS, max(2, round(np.hypot(row_2 - row, col_2 - col)) + 1))
    rows = np.rint(np.linspace(row, row_2, points)).astype(np.intp)
    cols = np.rint(np.linspace(col, col_2, points)).astype(np.intp)
    inside = (rows >= 0) & (cols >= 0) & (rows < image.shape[0]) & (cols < image.shape[1])
    values = np.full(points, np.nan, np.float32)
    found = image[rows[inside], cols[inside]]
    values[inside] = found.mean(axis=1) if found.ndim == 2 else found
    return values


def statistics_of(image: Array, roi: Roi) -> FrameStatistics | None:
    """Return the statistics of that part of a region that is in the image; None if that is nothing."""
    first = max(0, roi[0]), max(0, roi[1])
    last = min(image.shape[0], roi[0] + roi[2]), min(image.shape[1], roi[1] + roi[3])
    if last[0] <= first[0] or last[1] <= first[1]:
        return None
    mode = ColorMode.RGB1 if image.ndim == 3 else ColorMode.MONO
    inside = first[0], first[1], last[0] - first[0], last[1] - first[1]
    return frame_statistics(image, color_mode=mode, roi=inside)


class Gauge:
    """Measure for the eye, and keep the limits of the contrast."""

    def __init__(self) -> None:
        self.limits = (0.0, 1.0)
        self._due = 0.0
        self._asked: object = None
        self._steady = False

    def forget(self) -> None:
        """Take the limits of the next frame as they are."""
        self._due, self._steady = 0.0, False

    def measure(self, image: Array, wish: Wish) -> Measured | None:
        """Return what was measured if it was time for it, or something else is asked for; sets `limits`."""
        asked = wish.contrast, wish.roi, wish.line, wish.correct, image.shape, image.dtype
        now = time.monotonic()
        if asked == self._asked and now < self._due:
            return None
        self._steady = self._steady and asked == self._asked
        self._asked, self._due = asked, now + _PERIOD
        few = samples(image)
        found = levels(wish.contrast, image, few)
        self.limits = calm(self.limits, found) if self._steady and wish.contrast.mode != "manual" else found
        self._steady = True
        counts, edges = histogram(few)
        whole = (float(few.min()), float(few.max()), float(few.mean())) if few.size else (0.0, 0.0, 0.0)
        return Measured(
            limits=self.limits,
            counts=counts,
            edges=edges,
            whole=whole,
            roi=None if wish.roi is None else statistics_of(image, wish.roi),
            profile=None if wish.line is None else profile_of(image, wish.line),
        )
