"""Keys of the window, and the sheet that lists them."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QGridLayout, QWidget

from beamstream.viewers.qt import parts

KEYS = (
    ("Space", "pause", "Pause and resume"),
    ("0", "fit", "Show all of the frame (double click)"),
    ("1", "actual", "One pixel of the frame on one of the screen"),
    ("+", "closer", "Closer"),
    ("-", "further", "Further away"),
    ("X", "cross", "Crosshair; click or drag to move it"),
    ("O", "roi", "Region with statistics and curve"),
    ("I", "line", "Line with profile"),
    ("H", "horizontal", "Flip left and right"),
    ("V", "vertical", "Flip top and bottom"),
    ("T", "transpose", "Transpose"),
    ("E", "rotate", "Rotate by 90°, counter-clockwise"),
    ("A", "auto", "Automatic contrast"),
    ("M", "limits", "Contrast from the least to the greatest value"),
    ("L", "log", "Logarithmic shades"),
    ("C", "palette", "Next palette"),
    ("F", "flat", "Flat on and off"),
    ("D", "dark", "Dark on and off"),
    ("P", "pipeline", "Pipeline on and off"),
    ("R", "record", "Start and stop a recording"),
    ("S", "save", "Save this frame as .npy"),
    ("W", "overlay", "Numbers over the picture"),
    ("B", "panel", "Panel beside the picture"),
    ("N", "look", "Dark or light"),
    ("F11", "full", "Full screen (Esc ends it)"),
    ("Ctrl+L", "pv", "Write another PV"),
    ("F1", "help", "This sheet (also ?)"),
    ("Ctrl+Q", "quit", "End"),
)
"""Key, what it does (a name of `Window.actions`), and that in words."""
MOVES = (("← ↑ → ↓", "Move the crosshair by a pixel, with Shift by ten"), ("Wheel, drag", "Zoom and pan"))


class KeySheet(QDialog):
    """List the keys."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        grid = QGridLayout(self)
        grid.setContentsMargins(22, 18, 22, 18)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(6)
        lines = [*MOVES, *((key, words) for key, _, words in KEYS)]
        half = -(-len(lines) // 2)
        for number, (key, words) in enumerate(lines):
            across, down = divmod(number, half)
            name = parts.label(key)
            name.setAlignment(Qt.AlignmentFlag.AlignRight)
            name.setStyleSheet("font-weight: 600;")
            grid.addWidget(name, down, 3 * across)
            grid.addWidget(parts.label(words), down, 3 * across + 1)
        grid.setColumnMinimumWidth(2, 14)
