"""Numbers: the line below the picture, and the corner of the picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtWidgets import QFrame, QHBoxLayout

from beamstream.viewers.qt import parts
from beamstream.viewers.qt.wishes import Shown

_LONGEST = 44  # characters of a line in the corner


class Readings(QFrame):
    """Say where the crosshair is and what its pixel holds, and how the stream goes."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("readings")
        self.cross, self.frame, self.stream = parts.label(""), parts.label("", "muted"), parts.label("", "muted")
        for label in (self.frame, self.stream):
            label.setWordWrap(False)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 5, 12, 5)
        layout.setSpacing(22)
        for label in (self.cross, self.frame):
            layout.addWidget(label)
        layout.addStretch(1)
        layout.addWidget(self.stream)

    def show(self, shown: Shown, percent: float) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a frame's numbers."""
        self.cross.setText(self.cross_words(shown))
        self.frame.setText(f"{shown.frame.geometry} · {percent:.0f} %")

    def forget(self) -> None:
        """Show no frame's numbers."""
        self.cross.clear()
        self.frame.clear()

    @staticmethod
    def cross_words(shown: Shown) -> str:
        """Return where the crosshair is, and the value there."""
        cross = shown.wish.cross
        if cross is None or not shown.value:
            return ""
        values = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in shown.value)
        return f"X {cross[1]}  Y {cross[0]}  =  {values}"

    def hear(self, status: Mapping[str, Any], drawn: float) -> None:
        """Take the stream's numbers."""
        if "rate" not in status:
            self.stream.setText("")
            return
        lost = status["lost"]
        loss = "losses unknown" if lost is None else f"{lost} lost"
        numbers = f"{status['rate']:.1f} fps come · {drawn:.1f} shown{_delay(status)} · {loss}"
        self.stream.setText(numbers)
        parts.give_role(self.stream, "bad" if lost else "muted")


def corner(shown: Shown, drawn: float, status: Mapping[str, Any], paused: bool) -> Sequence[str]:
    """Return what is written into the corner of the picture."""
    rate = f"{drawn:.1f} of {status.get('rate') or 0.0:.1f} fps{_delay(status)}"
    lines = [f"frame {shown.frame.unique_id}{'  paused' if paused else ''}", rate]
    if status.get("lost"):
        lines.append(f"{status['lost']} lost")
    if shown.note:
        lines.append(shown.note if len(shown.note) < _LONGEST else shown.note[:_LONGEST].rstrip() + " …")
    return tuple(lines)


def _delay(status: Mapping[str, Any]) -> str:
    delay = status.get("delay")
    return "" if delay is None or not -10 < delay < 3600 else f" · {1000 * delay:.0f} ms late"
