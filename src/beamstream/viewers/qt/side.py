"""The panel beside the picture."""

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QWidget

from beamstream.ops.statistics import FrameStatistics, Roi
from beamstream.viewers.qt import parts
from beamstream.viewers.qt.contrast_panel import ContrastPanel
from beamstream.viewers.qt.correction_panel import CorrectionPanel
from beamstream.viewers.qt.look import Look
from beamstream.viewers.qt.options import Options
from beamstream.viewers.qt.recording_panel import RecordingPanel

_WIDTH = 322
_BUTTONS = (
    (("fit", "Fit", "Show all of the frame (0)"), ("actual", "1:1", "A pixel for a pixel (1)")),
    (
        ("horizontal", "⇆", "Flip left and right (H)"),
        ("vertical", "⇅", "Flip top and bottom (V)"),
        ("transpose", "⤡", "Transpose (T)"),
        ("rotate", "⟲", "Rotate by 90°, counter-clockwise (E)"),
    ),
)
_MARKS = (
    ("cross", "Crosshair", "Click or drag to read a pixel (X)"),
    ("roi", "Region", "Statistics and curve of a rectangle (O)"),
    ("line", "Line", "Profile along a line (I)"),
    ("overlay", "Numbers", "Numbers over the picture (W)"),
)


class Side(QWidget):
    """Hold the groups of controls; `pressed` names an action, `marked` a mark and whether it is wanted."""

    pressed = Signal(str)
    marked = Signal(str, bool)

    def __init__(self, options: Options, look: Look) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.contrast = ContrastPanel(look)
        self.correction = CorrectionPanel(options.pipeline, processed=not options.no_plugins)
        self.recording = RecordingPanel(str(options.recordings))
        self.marks = {
            name: parts.button(text, tip, lambda on, name=name: self.marked.emit(name, on), on=False)
            for name, text, tip in _MARKS
        }
        self.marks["overlay"].blockSignals(True)
        self.marks["overlay"].setChecked(True)
        self.marks["overlay"].blockSignals(False)
        self._region = parts.label("", "muted")
        self._region.hide()
        layout = parts.column(
            parts.heading("View"),
            parts.row(*(self._button(*each) for group in _BUTTONS for each in group), spacing=4),
            parts.row(*self.marks.values(), spacing=4),
            self._region,
            None,
            self.contrast,
            None,
            self.correction,
            None,
            self.recording,
            spacing=10,
        )
        layout.setContentsMargins(14, 12, 14, 12)
        layout.addStretch(1)
        self.setLayout(layout)
        self.scroller = QScrollArea()
        self.scroller.setWidget(self)
        self.scroller.setWidgetResizable(True)
        self.scroller.setFrameShape(QFrame.Shape.NoFrame)
        self.scroller.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroller.setFixedWidth(_WIDTH)

    def _button(self, name: str, text: str, tip: str) -> QWidget:
        made = parts.button(text, tip, lambda: self.pressed.emit(name))
        made.setStyleSheet("padding: 4px 6px;")
        return made

    @property
    def region(self) -> QLabel:
        """Where the statistics of the region stand."""
        return self._region

    def say_region(self, statistics: FrameStatistics | None, roi: Roi | None) -> None:
        """Show the statistics of the region."""
        if statistics is None or roi is None:
            if roi is None:
                self._region.hide()
            return
        s = statistics
        parts.say(
            self._region,
            f"{roi[3]} × {roi[2]} px at X {roi[1]}, Y {roi[0]}\n"
            f"mean {s.mean:.6g}   std {s.std:.4g}\n"
            f"min {s.min:.6g}   max {s.max:.6g}\n"
            f"sum {s.total:.6g}\n"
            f"centroid X {s.centroid_col:.2f}, Y {s.centroid_row:.2f}"
            + (f"\n{s.saturated} saturated" if s.saturated else ""),
        )

    def state(self) -> dict[str, Any]:
        """Return what is worth remembering."""
        recording, contrast = self.recording, self.contrast
        return {
            "palette": contrast.palette_name,
            "log": contrast.log.isChecked(),
            "directory": recording.directory.text(),
            "prefix": recording.prefix.text(),
            "format": recording.format.currentText(),
        }

    def restore(self, known: dict[str, Any]) -> None:
        """Be as it was, as far as that is known."""
        recording, contrast = self.recording, self.contrast
        contrast.palette_box.setCurrentText(str(known.get("palette", "grey")))
        contrast.log.setChecked(bool(known.get("log", False)))
        recording.directory.setText(str(known.get("directory", "")))
        recording.prefix.setText(str(known.get("prefix", "frame")))
        recording.format.setCurrentText(str(known.get("format", "tiff")))
