"""The panel of flat, dark and pipeline: on and off, capture, load, save."""

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel, QSpinBox, QWidget

from beamstream.references import Kind
from beamstream.viewers.qt import parts


class CorrectionPanel(QWidget):
    """Choose what is done to frames before they are shown; what is recorded stays raw."""

    changed = Signal()
    capture = Signal(str, int)
    """Kind, and frames to average."""
    load = Signal(str)
    save = Signal(str)
    reload = Signal()

    def __init__(self, pipeline: str, processed: bool) -> None:
        super().__init__()
        self.boxes = {
            "flat": parts.check("Flat", "Correct with the newest flat that fits (F)", self._changed),
            "dark": parts.check("Dark", "Take the newest dark that fits away (D)", self._changed),
            "pipeline": parts.check("Pipeline", "Run frames through the plug-ins of the pipeline (P)", self._changed),
        }
        self.boxes["pipeline"].setEnabled(bool(pipeline))
        self.boxes["pipeline"].setChecked(bool(pipeline) and processed)
        self._frames = QSpinBox()
        self._frames.setRange(1, 1000)
        self._frames.setValue(10)
        self._frames.setSuffix(" frames")
        self._frames.setToolTip("Frames that a capture averages")
        self._reload = parts.button("Reload", "Read the pipeline's file again", self.reload.emit)
        self._reload.setEnabled(bool(pipeline))
        self.captures = {kind: self._capture_button(kind) for kind in ("flat", "dark")}
        name = parts.label(Path(pipeline).name if pipeline else "none configured", "muted")
        parts.give_tip(name, pipeline)
        self._note = parts.label("", "muted")
        self._note.hide()
        self.setLayout(
            parts.column(
                parts.heading("Correction, for the eye"),
                self._kind_row("flat"),
                self._kind_row("dark"),
                parts.row(parts.label("A capture averages"), self._frames, 1),
                parts.row(self.boxes["pipeline"], name, 1, self._reload),
                self._note,
            )
        )

    def _capture_button(self, kind: str) -> QWidget:
        tip = f"Average the next frames into a {kind}, and keep it"
        return parts.button("Capture", tip, lambda: self.capture.emit(kind, self._frames.value()))

    def _kind_row(self, kind: Kind) -> QWidget:
        load = parts.button("Load", f"Use a {kind} from a .npy or .h5 file", lambda: self.load.emit(kind))
        save = parts.button("Save", f"Write the newest {kind} that fits to a .npy file", lambda: self.save.emit(kind))
        box = self.boxes[kind]
        box.setMinimumWidth(58)
        return parts.row(box, 1, self.captures[kind], load, save, spacing=4)

    @property
    def correct(self) -> tuple[str, ...]:
        """What is asked for."""
        return tuple(kind for kind, box in self.boxes.items() if box.isChecked())

    @property
    def note(self) -> QLabel:
        """Where it says what was done."""
        return self._note

    def busy(self, kind: str, on: bool) -> None:
        """Show that a capture is under way."""
        for each in self.captures.values():
            each.setEnabled(not on)
        if on:
            parts.say(self._note, f"capturing a {kind} …")

    def _changed(self, _on: bool) -> None:
        self.changed.emit()
