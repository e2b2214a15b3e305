"""Keeping: references that are captured, recordings, single frames."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from beamstream.errors import BeamstreamError
from beamstream.frames import Frame
from beamstream.viewers.qt import parts
from beamstream.viewers.qt.chores import Chores, free_path
from beamstream.viewers.qt.colouring import coloured
from beamstream.viewers.qt.eye import Eye
from beamstream.viewers.qt.options import Options
from beamstream.viewers.qt.orientation import UPRIGHT
from beamstream.viewers.qt.side import Side
from beamstream.viewers.qt.wishes import Shown
from beamstream.watching.streams import StreamSpec
from beamstream.watching.tape import ENDED, Tape, TapeSettings

log = logging.getLogger(__name__)
_LOOK_AFTER = 200  # ms between two looks at the recording


class Keeping(QObject):
    """Do what the panels of correction and recording ask for, with the stream `spec`.

    `renewed` says that there is another reference, or that the pipeline is to be read again.

    Parameters
    ----------
    window : QWidget
        Whose dialogs these are.
    side : Side
    eye : Eye
    options : Options
    shown : callable
        Returns what is on the screen.

    Attributes
    ----------
    spec : StreamSpec or None
    owner : int or None
        Whose frames are shown: the process to capture from.
    chores : Chores
    tape : Tape or None
        The recording that runs.
    """

    renewed = Signal()
    _copied = Signal(object)

    def __init__(
        self, window: QWidget, side: Side, eye: Eye, options: Options, shown: Callable[[], Shown | None]
    ) -> None:
        super().__init__(window)
        self.spec: StreamSpec | None = None
        self.owner: int | None = None
        self.tape: Tape | None = None
        self.chores = Chores(options.references)
        self._window, self._side, self._eye, self._options, self._shown = window, side, eye, options, shown
        self._copy_as = ""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look_after)
        self._timer.start(_LOOK_AFTER)
        self._copied.connect(self._save_copy)
        self.chores.done.connect(self._did)
        side.correction.capture.connect(self._capture)
        side.correction.load.connect(self._load)
        side.correction.save.connect(self._save_reference)
        side.correction.reload.connect(self.renewed.emit)
        side.recording.start.connect(self._record)
        side.recording.stop.connect(lambda: self.tape.stop() if self.tape else None)
        side.recording.save.connect(self.save_frame)

    def close(self) -> None:
        """Finish the recording, and what else is under way."""
        self._timer.stop()
        self._drop_tape()
        self.chores.close()

    # references

    def _capture(self, kind: Any, frames: int) -> None:
        if self.spec is not None:
            self._side.correction.busy(kind, True)
            self.chores.capture(self.spec.name, self.owner, kind, frames)

    def _load(self, kind: Any) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, f"Load a {kind}", "", "References (*.npy *.h5)")
        if path and self.spec is not None:
            self.load_reference(Path(path), kind)

    def load_reference(self, path: Path, kind: Any) -> None:
        """Correct with the reference in a file from now on."""
        assert self.spec is not None
        self._side.correction.boxes[kind].setChecked(True)
        self.chores.load(path, kind, self.spec.name)

    def _save_reference(self, kind: Any) -> None:
        path, _ = QFileDialog.getSaveFileName(self._window, f"Save the {kind}", f"{kind}.npy", "NumPy (*.npy)")
        if path:
            self.save_reference(Path(path), kind)

    def save_reference(self, path: Path, kind: Any) -> None:
        """Write the newest reference that fits what is shown."""
        shown = self._shown()
        if shown is not None:
            self.chores.save(path, kind, shown.spec.name, shown.frame)

    def _did(self, topic: str, words: str, bad: bool) -> None:
        """Hear of a chore that is done."""
        log.log(logging.WARNING if bad else logging.INFO, "viewer: %s", words)
        if topic == "frame":
            self._side.recording.say_saved(words, bad)
            return
        self._side.correction.busy("", False)
        parts.say(self._side.correction.note, words, bad=bad)
        self.renewed.emit()

    # frames

    def save_frame(self, kind: str) -> None:
        """Save the frame that is shown as .npy, .tiff or .png."""
        if self._shown() is not None:
            self._copy_as = kind
            self._eye.copy(self._copied.emit)

    def _save_copy(self, frame: Frame) -> None:
        recording, contrast = self._side.recording, self._side.contrast
        shown = self._shown()
        try:
            settings = self._settings()
            path = free_path(settings.place(), settings.prefix, self._copy_as)
        except (BeamstreamError, OSError) as error:
            recording.say_saved(str(error), True)
            return
        low, high = contrast.shown_limits
        chosen, palette = replace(contrast.contrast, low=low, high=high), contrast.palette_name
        turn = shown.wish.orientation if shown is not None else UPRIGHT
        self.chores.save_frame(frame, path, lambda frame: coloured(frame.image, chosen, palette, turn))

    def _settings(self) -> TapeSettings:
        recording = self._side.recording
        root = self._options.recordings
        root.mkdir(parents=True, exist_ok=True)
        prefix, format = recording.prefix.text().strip() or "frame", recording.format.currentText()
        return TapeSettings(str(root), recording.directory.text().strip(), prefix, format)

    def _record(self) -> None:
        recording = self._side.recording
        if self.spec is None:
            recording.complain("nothing to record: connect to a stream first")
            return
        self._drop_tape()
        try:
            self.tape = Tape(self.spec, self._settings())
            self.tape.start()
        except (BeamstreamError, OSError) as error:
            self.tape = None
            recording.complain(str(error))
        self._look_after()

    def _drop_tape(self) -> None:
        if self.tape is not None:
            self.tape.close()
        self.tape = None

    def _look_after(self) -> None:
        if self.tape is not None:
            status = self.tape.status
            self._side.recording.show_status(status)
            if status["state"] in ENDED:
                self._drop_tape()
