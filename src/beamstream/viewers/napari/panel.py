"""The strip below the canvas: what is shown in words, and the button that follows the newest."""

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from beamstream.plain_text import plain_block

KEY = "N"


class Panel(QWidget):
    """Say how streams are; `follow` is called when somebody wants to go on with the newest."""

    def __init__(self, follow: Callable[[], None]) -> None:
        super().__init__()
        self._words = QLabel("waiting for a stream or a run")
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.setWordWrap(True)
        self._button = QPushButton(f"Follow the newest ({KEY})")
        self._button.setCheckable(True)
        self._button.setChecked(True)
        self._button.setToolTip("Move a slider to stay at a place; this goes on with the newest")
        self._button.clicked.connect(lambda: follow())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.addWidget(self._words, 1)
        layout.addWidget(self._button)

    def say(self, words: str, following: bool) -> None:
        """Show words, and whether the newest is followed."""
        if self._words.text() != (words := plain_block(words)):
            self._words.setText(words)
        if self._button.isChecked() != following:
            self._button.setChecked(following)
