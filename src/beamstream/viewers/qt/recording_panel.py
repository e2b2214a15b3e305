"""The panel of recordings and single frames."""

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from beamstream.sinks.formats import FORMATS
from beamstream.viewers.qt import parts


class RecordingPanel(QWidget):
    """Choose where frames go; a process of its own writes them."""

    start = Signal()
    stop = Signal()
    save = Signal(str)
    """A single frame: npy, png or tiff."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self.directory, self.prefix, self.format = QLineEdit(), QLineEdit("frame"), QComboBox()
        self.directory.setPlaceholderText(root)
        parts.give_tip(self.directory, f"Directory, below {root}")
        self.prefix.setToolTip("Begins the names of files")
        for format in FORMATS.values():
            self.format.addItem(format.name)
            self.format.setItemData(self.format.count() - 1, format.about, 3)  # Qt.ToolTipRole
        self.button = parts.button("● Record", "Record every frame from now on, raw (R)", on=False)
        parts.give_role(self.button, "record")
        self.button.clicked.connect(lambda on: self.start.emit() if on else self.stop.emit())
        self._words = parts.label("", "muted")
        self._words.hide()
        self.saves = [
            parts.button(f".{kind}", tip, lambda kind=kind: self.save.emit(kind))
            for kind, tip in (
                ("npy", "Save this frame, its values as they are shown here (S)"),
                ("tiff", "Save this frame with its values and attributes"),
                ("png", "Save a picture of this frame, coloured as it is here"),
            )
        ]
        self._saved = parts.label("", "muted")
        self._saved.hide()
        self.setLayout(
            parts.column(
                parts.heading("Record"),
                self.directory,
                parts.row(self.prefix, self.format),
                self.button,
                self._words,
                None,
                parts.heading("Save this frame"),
                parts.row(*self.saves),
                self._saved,
            )
        )

    def show_status(self, status: Mapping[str, Any] | None) -> None:
        """Say how the recording goes; None: there is none."""
        running = status is not None and status["state"] not in ("done", "failed")
        self.button.setChecked(running)
        self.button.setText("■ Stop" if running else "● Record")
        for field in (self.directory, self.prefix, self.format):
            field.setEnabled(not running)
        if status is not None:
            words = f"{status['written']} frames written" + (f", {status['lost']} lost" if status["lost"] else "")
            more = status.get("words") or ""
            parts.say(
                self._words,
                f"{words} · {more}" if more else words,
                bad=status["state"] == "failed" or bool(status["lost"]),
            )

    def complain(self, words: str) -> None:
        """Say why a recording cannot begin."""
        self.button.setChecked(False)
        parts.say(self._words, words, bad=True)

    def say_saved(self, words: str, bad: bool) -> None:
        """Say where a frame is, or why not."""
        parts.say(self._saved, words, bad=bad)
