"""The panel of the contrast: histogram with two limits to pull, modes, palette, logarithm."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QIcon, QImage, QPixmap
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from beamstream.viewers.qt import parts
from beamstream.viewers.qt.look import Look
from beamstream.viewers.qt.palettes import NAMES, table_of
from beamstream.viewers.qt.shades import Contrast, Mode
from beamstream.viewers.qt.wishes import Measured

_MODES: dict[str, Mode] = {"Auto": "auto", "Min–max": "limits", "Manual": "manual"}


class ContrastPanel(QWidget):
    """Choose which values are black and white, and the colours between; `changed` says so."""

    changed = Signal()

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.contrast = Contrast()
        self._own = False
        self._plot: Any = pg.PlotWidget()  # pyqtgraph's annotations are not to be trusted
        self._plot.setFixedHeight(104)
        self._plot.hideAxis("left")
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.plotItem.setContentsMargins(0, 0, 0, 0)
        self._bars = self._plot.plot([0, 1], [0], stepMode="center", fillLevel=0)
        self._limits: Any = pg.LinearRegionItem([0, 1], swapMode="sort")
        self._plot.addItem(self._limits)
        self._limits.sigRegionChanged.connect(self._pulled)
        self._mode = QComboBox()
        self._mode.addItems(list(_MODES))
        self._mode.setToolTip("Auto: by percentiles (A) · Min–max: all values · Manual: pull the limits, or write them")
        self._mode.currentTextChanged.connect(self._chose)
        self._low, self._high = QLineEdit(), QLineEdit()
        for field, tip in ((self._low, "Value that is black"), (self._high, "Value that is white")):
            field.setToolTip(tip)
            field.editingFinished.connect(self._wrote)
        self.log = parts.check("Log", "Logarithmic shades (L)", self._bent)
        self.palette_box = QComboBox()
        self.palette_box.setIconSize(QSize(72, 12))
        self.palette_box.setToolTip("Palette (C for the next)")
        for name in NAMES:
            self.palette_box.addItem(_ramp(name), name)
        self.palette_box.currentTextChanged.connect(lambda _: self.changed.emit())
        self.setLayout(
            parts.column(
                parts.heading("Contrast"),
                self._plot,
                parts.row(self._low, self._high),
                parts.row(self._mode, self.log, 1),
                self.palette_box,
            )
        )
        self.dress(look)

    def dress(self, look: Look) -> None:
        """Take other colours."""
        self._plot.setBackground(look.page)
        self._bars.setPen(pg.mkPen(look.muted, width=1))
        self._bars.setBrush(pg.mkBrush(look.muted + "88"))
        accent = pg.mkPen(look.accent, width=2)
        for edge in self._limits.lines:
            edge.setPen(accent)
            edge.setHoverPen(pg.mkPen(look.ink, width=3))
        self._limits.setBrush(pg.mkBrush(look.accent + "22"))
        self._limits.setHoverBrush(pg.mkBrush(look.accent + "33"))
        axis = self._plot.getAxis("bottom")
        axis.setPen(pg.mkPen(look.line))
        axis.setTextPen(pg.mkPen(look.muted))

    @property
    def palette_name(self) -> str:
        """The palette chosen."""
        return self.palette_box.currentText()

    @property
    def shown_limits(self) -> tuple[float, float]:
        """Black and white as they are drawn."""
        low, high = self._limits.getRegion()
        return float(low), float(high)

    def choose_mode(self, mode: Mode) -> None:
        """Set the mode, as if it was chosen."""
        self._mode.setCurrentText(next(text for text, value in _MODES.items() if value == mode))

    def set_limits(self, low: float, high: float) -> None:
        """Set the limits by hand."""
        self._take(mode="manual", low=low, high=high)

    def next_palette(self) -> None:
        """Choose the next one."""
        self.palette_box.setCurrentIndex((self.palette_box.currentIndex() + 1) % self.palette_box.count())

    def show_measured(self, measured: Measured) -> None:
        """Draw the histogram of a frame and the limits that are used."""
        counts, edges = np.sqrt(measured.counts), measured.edges
        self._bars.setData(edges, counts)
        low, high = self.contrast.low, self.contrast.high
        if self.contrast.mode != "manual":
            low, high = measured.limits
            self._show_limits(low, high)
        left, right = min(float(edges[0]), low), max(float(edges[-1]), high)
        self._plot.setXRange(left, right, padding=0.02)
        self._plot.setYRange(0, float(counts.max()) or 1.0, padding=0)

    def _show_limits(self, low: float, high: float) -> None:
        self._own = True
        self._limits.setRegion((low, high))
        for field, value in ((self._low, low), (self._high, high)):
            if not field.hasFocus():
                field.setText(f"{value:.6g}")
        self._own = False

    def _take(self, *, mode: Mode | None = None, low: float | None = None, high: float | None = None) -> None:
        old = self.contrast
        low, high = old.low if low is None else low, old.high if high is None else high
        self.contrast = Contrast(mode or old.mode, low, high, old.percentiles, self.log.isChecked())
        self._show_limits(low, high)
        if mode:
            self._own = True
            self.choose_mode(mode)
            self._own = False
        self.changed.emit()

    def _chose(self, text: str) -> None:
        if self._own:
            return
        low, high = self._limits.getRegion()
        self._take(mode=_MODES[text], low=float(low), high=float(high))

    def _pulled(self) -> None:
        if not self._own:
            low, high = self._limits.getRegion()
            self._take(mode="manual", low=float(low), high=float(high))

    def _wrote(self) -> None:
        try:
            low, high = float(self._low.text()), float(self._high.text())
        except ValueError:
            self._show_limits(*self._limits.getRegion())
            return
        shown = [f"{value:.6g}" for value in self._limits.getRegion()]
        if high > low and [self._low.text(), self._high.text()] != shown:
            self._take(mode="manual", low=low, high=high)

    def _bent(self, _on: bool) -> None:
        self._take()


def _ramp(name: str) -> QIcon:
    """Return a palette as a picture."""
    colours = np.ascontiguousarray(np.broadcast_to(table_of(name), (12, 256)))
    image = QImage(colours.data, 256, 12, 1024, QImage.Format.Format_RGB32)
    return QIcon(QPixmap.fromImage(image.copy()))
