"""The look of the window: dark and light, the colours of the live page."""

from dataclasses import dataclass

from PySide6.QtGui import QColor, QPalette


@dataclass(frozen=True, slots=True)
class Look:
    """Colours by what they are for."""

    name: str
    page: str
    void: str
    ink: str
    muted: str
    line: str
    field: str
    accent: str
    focus: str
    live: str
    waiting: str
    lost: str


DARK = Look(
    "dark", "#0f1316", "#0a0d0f", "#e6eaed", "#8d98a2", "#39424a", "#1a2026", "#ff9f5a", "#7db6ee", "#4cc27c",
    "#e3a63c", "#ef6f64",
)  # fmt: skip
LIGHT = Look(
    "light", "#f6f7f7", "#e2e5e7", "#1a2026", "#626c75", "#c6ccd0", "#ffffff", "#c2410c", "#2563a8", "#23874c",
    "#b06a00", "#c0352b",
)  # fmt: skip
LOOKS = {look.name: look for look in (DARK, LIGHT)}


def sheet(look: Look) -> str:
    """Return the style sheet of the whole window."""
    return f"""
* {{ font-size: 13px; }}
QMainWindow, QDialog, #panel, #page, QScrollArea, QScrollArea > QWidget > QWidget {{ background: {look.page}; }}
QScrollArea {{ border: none; }}
#bar, #readings {{ background: {look.page}; }}
#bar {{ border-bottom: 1px solid {look.line}; }}
#readings {{ border-top: 1px solid {look.line}; }}
#panel {{ border-left: 1px solid {look.line}; }}
QLabel[role="muted"] {{ color: {look.muted}; }}
QLabel[role="bad"] {{ color: {look.lost}; }}
QLabel[role="heading"] {{ color: {look.muted}; font-size: 11px; font-weight: 600; }}
QFrame[role="rule"] {{ background: {look.line}; max-height: 1px; border: none; }}
QLineEdit, QSpinBox {{
  background: {look.field}; border: 1px solid {look.line}; border-radius: 5px; padding: 4px 7px; min-height: 18px;
  selection-background-color: {look.focus}; selection-color: {look.page};
}}
QLineEdit:focus, QSpinBox:focus {{ border-color: {look.focus}; }}
QPushButton, QToolButton {{
  background: {look.field}; border: 1px solid {look.line}; border-radius: 5px; padding: 4px 9px; min-height: 18px;
}}
QPushButton:hover, QToolButton:hover {{ border-color: {look.muted}; }}
QPushButton:focus, QToolButton:focus {{ border-color: {look.focus}; }}
QPushButton:pressed, QToolButton:pressed {{ background: {look.line}; }}
QPushButton:checked, QToolButton:checked {{ background: {look.focus}; border-color: {look.focus}; color: {look.page}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {look.muted}; }}
QPushButton[role="record"] {{ color: {look.lost}; font-weight: 600; }}
QPushButton[role="record"]:checked {{ background: {look.lost}; border-color: {look.lost}; color: {look.page}; }}
QCheckBox {{ spacing: 7px; }}
QCheckBox::indicator {{
  width: 14px; height: 14px; border: 1px solid {look.muted}; border-radius: 4px; background: {look.field};
}}
QCheckBox::indicator:checked {{ background: {look.focus}; border-color: {look.focus}; }}
QCheckBox::indicator:disabled {{ border-color: {look.line}; }}
QSpinBox::up-button, QSpinBox::down-button {{ width: 0; border: none; }}
QScrollBar:vertical {{ background: transparent; width: 8px; }}
QScrollBar::handle:vertical {{ background: {look.line}; border-radius: 4px; min-height: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{
  background: none; height: 0; border: none;
}}
QToolTip {{ background: {look.field}; color: {look.ink}; border: 1px solid {look.line}; padding: 4px; }}
QSplitter::handle {{ background: {look.line}; }}
"""


def palette(look: Look) -> QPalette:
    """Return the colours of what the style sheet leaves to Qt."""
    made, role = QPalette(), QPalette.ColorRole
    for part, colour in (
        (role.Window, look.page),
        (role.WindowText, look.ink),
        (role.Base, look.field),
        (role.AlternateBase, look.page),
        (role.Text, look.ink),
        (role.Button, look.field),
        (role.ButtonText, look.ink),
        (role.ToolTipBase, look.field),
        (role.ToolTipText, look.ink),
        (role.PlaceholderText, look.muted),
        (role.Highlight, look.focus),
        (role.HighlightedText, look.page),
        (role.Accent, look.focus),
    ):
        made.setColor(part, QColor(colour))
    for part in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, part, QColor(look.muted))
    return made
