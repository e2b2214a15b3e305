"""What keys and buttons do."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from beamstream.viewers.qt.keys import KeySheet
from beamstream.viewers.qt.look import DARK, LIGHT

if TYPE_CHECKING:
    from beamstream.viewers.qt.window import Window


def actions_of(window: "Window") -> dict[str, Callable[[], object]]:
    """Return what the keys and buttons of a window do, by name."""
    canvas, side = window.canvas, window.side
    boxes = side.correction.boxes
    return {
        "pause": window.pause_button.toggle,
        "fit": canvas.fit,
        "actual": canvas.actual,
        "closer": lambda: canvas.zoom(1.4),
        "further": lambda: canvas.zoom(1 / 1.4),
        **{name: side.marks[name].toggle for name in ("cross", "roi", "line", "overlay")},
        "horizontal": lambda: window.turn(window.orientation.horizontal()),
        "vertical": lambda: window.turn(window.orientation.vertical()),
        "transpose": lambda: window.turn(window.orientation.transposed()),
        "rotate": lambda: window.turn(window.orientation.rotated()),
        "auto": lambda: side.contrast.choose_mode("auto"),
        "limits": lambda: side.contrast.choose_mode("limits"),
        "log": side.contrast.log.toggle,
        "palette": side.contrast.next_palette,
        **{kind: (lambda box=box: box.isEnabled() and box.toggle()) for kind, box in boxes.items()},
        "record": side.recording.button.click,
        "save": lambda: window.keeping.save_frame("npy"),
        "panel": lambda: side.scroller.setVisible(not side.scroller.isVisible()),
        "look": lambda: window.dress(LIGHT if window.look is DARK else DARK),
        "full": lambda: window.full_screen(not window.isFullScreen()),
        "pv": lambda: (window.entry.setFocus(), window.entry.selectAll()),
        "help": lambda: KeySheet(window).show(),
        "quit": window.close,
    }
