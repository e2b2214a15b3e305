"""The window: a stream to choose, its picture, and what can be done with it."""

import logging
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QLineEdit, QMainWindow, QSplitter, QVBoxLayout, QWidget

from beamstream.errors import BeamstreamError
from beamstream.plain_text import plain
from beamstream.viewers.qt import parts, remembered
from beamstream.viewers.qt.actions import actions_of
from beamstream.viewers.qt.canvas import Canvas
from beamstream.viewers.qt.curve import Curve
from beamstream.viewers.qt.eye import Eye
from beamstream.viewers.qt.keeping import Keeping
from beamstream.viewers.qt.keys import KEYS
from beamstream.viewers.qt.look import DARK, LOOKS, Look, palette, sheet
from beamstream.viewers.qt.options import Options
from beamstream.viewers.qt.orientation import Orientation
from beamstream.viewers.qt.readings import Readings, corner
from beamstream.viewers.qt.scale_bar import pixel_size_of
from beamstream.viewers.qt.side import Side
from beamstream.viewers.qt.wishes import Shown, Wish
from beamstream.watching.streams import StreamSpec

log = logging.getLogger(__name__)
_MOVES = {Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1)}


class Window(QMainWindow):
    """Watch one stream: choose it, look closely, correct, record, save.

    Parameters
    ----------
    options : Options
    """

    _arrived = Signal(object)
    _heard = Signal(object, object)

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options
        self._known = remembered.read()
        self._spec: StreamSpec | None = None
        self._status: dict[str, Any] = {}
        self.orientation = remembered.orientation_of(self._known)
        self._paused = False
        self._renewed = 0
        self._ended = False
        self.look = LOOKS.get(self._known.get("look", ""), DARK)
        self.eye = Eye(self._arrived.emit, self._heard.emit, options.references, options.pipeline)
        self._build()
        self._connect()
        self.side.restore(self._known)
        self.dress()
        self.eye.start()
        self._begin()

    # how it is put together

    def _build(self) -> None:
        self.setWindowTitle("beamstream")
        self.resize(1280, 820)
        self.entry = QLineEdit()
        self.entry.setPlaceholderText("PV, like 13SIM1:Pva1:Image")
        self.entry.setToolTip("PV of an NTNDArray, the name of a ring, or a URI: zmq://HOST:PORT, video:FILM")
        self.entry.setMinimumWidth(300)
        self.connect_button = parts.button("Connect", "Show this stream (Enter)", self._entered)
        self.pause_button = parts.button("Pause", "Hold this frame (Space)", self._pause, on=False)
        self._words = parts.label("")
        self._dot = parts.label("●")
        self._help = parts.button("?", "Keys (F1)", lambda: self.actions_by_name["help"]())
        self._bar = parts.row(self.entry, self.connect_button, self.pause_button, self._dot, self._words, 1, self._help)
        self._bar.setObjectName("bar")
        layout = self._bar.layout()
        assert layout is not None
        layout.setContentsMargins(10, 8, 10, 8)
        self.canvas, self.curve = Canvas(self.look), Curve(self.look)
        self.side = Side(self._options, self.look)
        self.readings = Readings()
        self.keeping = Keeping(self, self.side, self.eye, self._options, lambda: self.canvas.picture.shown)
        middle = QSplitter(Qt.Orientation.Vertical)
        middle.addWidget(self.canvas)
        middle.addWidget(self.curve)
        middle.setSizes([600, 160])
        middle.setCollapsible(0, False)
        page = QWidget()
        page.setObjectName("page")
        across = parts.row(middle, self.side.scroller, spacing=0)
        across.layout().setStretch(0, 1)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        below = QVBoxLayout(page)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(0)
        below.addWidget(self._bar)
        below.addWidget(across, 1)
        below.addWidget(self.readings)
        self.setCentralWidget(page)
        self.actions_by_name = actions_of(self)

    def _connect(self) -> None:
        self._arrived.connect(self._show)
        self._heard.connect(self._hear)
        self.keeping.renewed.connect(self._renew)
        self.entry.returnPressed.connect(self._entered)
        canvas, side = self.canvas, self.side
        canvas.painted.connect(self.eye.painted)
        canvas.looked.connect(self.wish)
        canvas.marked.connect(self.wish)
        side.contrast.changed.connect(self.wish)
        side.correction.changed.connect(self.wish)
        side.pressed.connect(lambda name: self.actions_by_name[name]())
        side.marked.connect(self._mark)
        for key, name, _ in KEYS:
            QShortcut(QKeySequence(key), self).activated.connect(self.actions_by_name[name])
        QShortcut(QKeySequence("?"), self).activated.connect(self.actions_by_name["help"])
        QShortcut(QKeySequence("Escape"), self).activated.connect(lambda: self.full_screen(False))

    def dress(self, look: Look | None = None) -> None:
        """Take other colours."""
        self.look = look or self.look
        QApplication.setStyle("Fusion")
        QApplication.setPalette(palette(self.look))
        self.setStyleSheet(sheet(self.look))
        for part in (self.canvas, self.curve, self.side.contrast):
            part.dress(self.look)

    # which stream

    def _begin(self) -> None:
        """Show what was asked for, or what was shown last time."""
        known, options = self._known, self._options
        try:
            if options.about:
                self.show_stream(StreamSpec(options.source, options.about))
            elif options.source:
                self.show_stream(remembered.spec_of(options.source))
            elif (last := remembered.stream_of(known)) is not None:
                self.show_stream(last)
            else:
                self._hear(None, {"words": "write a PV above, and press Enter"})
                self.entry.setFocus()
        except BeamstreamError as error:
            self._hear(None, {"words": str(error)})

    def _entered(self) -> None:
        try:
            self.show_stream(remembered.spec_of(self.entry.text()))
        except BeamstreamError as error:
            self._hear(self._spec, {"words": str(error)})
        self.canvas.setFocus()

    def show_stream(self, spec: StreamSpec) -> None:
        """Look at a stream from now on, and remember it."""
        self._spec = self.keeping.spec = spec
        self.entry.setText(remembered.text_of(spec))
        self.setWindowTitle(plain(f"{remembered.text_of(spec)} – beamstream"))
        self.canvas.picture.clear()
        self.canvas.pixel_size = pixel_size_of(spec)
        self.curve.forget()
        self.readings.forget()
        self.canvas.marks.say("")
        self._hear(spec, {"words": f"connecting to {remembered.text_of(spec)}"})
        self.canvas.setFocus()
        self.wish()
        self.eye.look_at(spec)
        self._known["stream"] = spec.to_dict()
        remembered.write(self._known)

    # what is shown

    def wish(self) -> None:
        """Tell the eye what is wanted now."""
        canvas, side = self.canvas, self.side
        self.eye.wish(
            Wish(
                view=canvas.view,
                size=canvas.pixels,
                orientation=self.orientation,
                contrast=side.contrast.contrast,
                palette=side.contrast.palette_name,
                max_fps=self._options.max_fps,
                display_bin=self._options.display_bin,
                paused=self._paused,
                correct=side.correction.correct,
                renewed=self._renewed,
                cross=canvas.marks.cross,
                roi=canvas.marks.roi,
                line=canvas.marks.line,
            )
        )

    def _show(self, shown: Shown) -> None:
        if shown.spec is not self._spec:  # too late
            self.eye.painted()
            return
        self.canvas.show_frame(shown)
        self.readings.show(shown, self.canvas.scale_percent)
        if shown.value and shown.wish.cross is not None:
            self.canvas.marks.say(self.readings.cross_words(shown))
        if shown.fresh and self._status.get("words"):
            self._hear(shown.spec, self._status | {"words": ""})  # it comes, whatever was said
        if shown.measured is not None:
            self._show_measured(shown)

    def _show_measured(self, shown: Shown) -> None:
        measured = shown.measured
        assert measured is not None
        self.side.contrast.show_measured(measured)
        self.curve.show_measured(measured)
        self.side.say_region(measured.roi, shown.wish.roi)
        if not self.keeping.chores.busy:
            parts.say(self.side.correction.note, shown.note, bad=shown.failed)
        self._write_over()

    def _write_over(self) -> None:
        picture = self.canvas.picture
        lines = corner(picture.shown, picture.rate, self._status, self._paused) if picture.shown else ()
        self.canvas.write(lines, self._status.get("words", ""))

    def _hear(self, spec: StreamSpec | None, status: dict[str, Any]) -> None:
        """Take note of how the stream is."""
        if spec is not self._spec:
            return
        self._status = status
        self.keeping.owner = status.get("owner")
        words = status.get("words", "")
        colour = self.look.waiting if words else self.look.live
        if self._paused:
            colour, words = self.look.focus, words or "paused"
        elif not words:
            words = "from a session" if status.get("from") == "session" else "live"
        self._dot.setStyleSheet(f"color: {colour};")
        self._words.setText(plain(words))
        parts.give_tip(self._words, words)
        self.readings.hear(status, self.canvas.picture.rate)
        self._write_over()

    def _pause(self, on: bool) -> None:
        self._paused = on
        self.pause_button.setText("Resume" if on else "Pause")
        self._hear(self._spec, self._status)
        self.wish()

    def turn(self, orientation: Orientation) -> None:
        """Show frames turned like this."""
        self.orientation = orientation
        self.wish()

    def _mark(self, name: str, on: bool) -> None:
        canvas = self.canvas
        if name == "overlay":
            canvas.overlay = on
            canvas.viewport().update()
            return
        {"cross": canvas.point, "roi": canvas.marks.show_roi, "line": canvas.marks.show_line}[name](on)
        self.curve.forget()
        self.curve.setVisible(canvas.marks.roi is not None or canvas.marks.line is not None)
        self.side.say_region(None, canvas.marks.roi)

    def full_screen(self, on: bool) -> None:
        """Show nothing but the picture on all of the screen, or the window again."""
        self.showFullScreen() if on else self.showNormal()
        for part in (self._bar, self.readings, self.side.scroller):
            part.setVisible(not on)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802, Qt's name
        """Move the crosshair."""
        step, marks = _MOVES.get(Qt.Key(event.key())), self.canvas.marks
        if step is None or marks.cross is None:
            super().keyPressEvent(event)
            return
        far = 10 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
        marks.move(far * step[0], far * step[1])

    def _renew(self) -> None:
        self._renewed += 1
        self.wish()

    # the end

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802, Qt's name
        """End everything with the window."""
        self.end()
        super().closeEvent(event)

    def end(self) -> None:
        """Finish the recording, end all threads and processes, remember; calling it again does no harm."""
        if self._ended:
            return
        self._ended = True
        self.keeping.close()
        self.eye.close()
        turn = self.orientation
        self._known |= {
            "look": self.look.name,
            "orientation": [turn.turned, turn.flip_x, turn.flip_y],
            **self.side.state(),
        }
        remembered.write(self._known)
