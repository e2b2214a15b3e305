"""Parts that the panels are made of."""

import html
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from beamstream.plain_text import plain_block


def heading(text: str) -> QLabel:
    """Return the name of a group."""
    return label(text.upper(), "heading")


def label(text: str, role: str = "") -> QLabel:
    """Return words; `role` is muted, bad or heading."""
    made = QLabel(plain_block(text))
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(role in ("muted", "bad"))
    give_role(made, role)
    return made


def give_tip(widget: QWidget, text: str) -> None:
    """Have a widget explain itself with a text that may be another's: Qt takes one that looks like HTML for HTML."""
    widget.setToolTip(f"<qt>{html.escape(plain_block(text))}</qt>" if text else "")


def give_role(widget: QWidget, role: str) -> None:
    """Have a widget look like what it is."""
    if widget.property("role") != role:
        widget.setProperty("role", role)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def say(where: QLabel, text: str, *, bad: bool = False) -> None:
    """Write words into a label, red if they are bad ones."""
    where.setText(plain_block(text))
    where.setVisible(bool(text))
    give_role(where, "bad" if bad else "muted")


def button(text: str, tip: str, pressed: Callable[..., Any] | None = None, *, on: bool | None = None) -> QPushButton:
    """Return a button; with `on` one that stays down, and `pressed` hears whether it is."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setAccessibleName(tip)
    if on is not None:
        made.setCheckable(True)
        made.setChecked(on)
    if pressed is not None:
        made.toggled.connect(pressed) if on is not None else made.clicked.connect(lambda: pressed())
    return made


def check(text: str, tip: str, changed: Callable[[bool], Any]) -> QCheckBox:
    """Return a box to tick."""
    made = QCheckBox(text)
    made.setToolTip(tip)
    made.toggled.connect(changed)
    return made


def row(*parts: QWidget | int, spacing: int = 6) -> QWidget:
    """Return widgets beside each other; a number is room that stretches."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        layout.addStretch(part) if isinstance(part, int) else layout.addWidget(part)
    return made


def column(*parts: QWidget | None, spacing: int = 7) -> QVBoxLayout:
    """Return widgets below each other; None is a line between two groups."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        layout.addWidget(rule() if part is None else part)
    return layout


def rule() -> QFrame:
    """Return a thin line."""
    made = QFrame()
    made.setProperty("role", "rule")
    made.setFixedHeight(1)
    return made
