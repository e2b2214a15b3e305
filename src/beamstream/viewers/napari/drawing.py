"""When what was asked for is on the screen: the canvas draws one frame at a time."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

_LOST = 0.25  # s; a window that is hidden never says that it has drawn


class Drawing:
    """Tell when the canvas is ready for the next frame.

    Parameters
    ----------
    window : QWidget
        napari's main window, with its canvas in it.
    drawn : callable
        Called after each drawing, with the time, s since 1970-01-01 UTC.
    """

    def __init__(self, window: Any, drawn: Callable[[float], None]) -> None:
        from PySide6.QtOpenGLWidgets import QOpenGLWidget
        from PySide6.QtWidgets import QListView

        self.count = 0
        self._drawn = drawn
        self._asked: float | None = None
        (self._canvas,) = window.findChildren(QOpenGLWidget)
        self._canvas.frameSwapped.connect(self._swapped)
        self._lists = [view for view in window.findChildren(QListView) if type(view).__name__ == "QtLayerList"]

    @property
    def busy(self) -> bool:
        """Whether what was asked for is not on the screen yet."""
        return self._asked is not None and time.monotonic() - self._asked < _LOST

    def ask(self) -> None:
        """Hear that something has changed on the canvas."""
        self._asked = time.monotonic()
        self._canvas.update()

    @contextlib.contextmanager
    def canvas_only(self) -> Iterator[None]:
        """Keep the list of layers as it is: napari paints it anew with every frame, a third of all its work."""
        from PySide6.QtCore import QSignalBlocker

        models = [view.model() for view in self._lists]
        blocked = [QSignalBlocker(getattr(model, "sourceModel", lambda one=model: one)()) for model in models]
        try:
            yield
        finally:
            for one in blocked:
                one.unblock()

    def paint_lists(self) -> None:
        """Bring the list of layers up to date."""
        for view in self._lists:
            view.viewport().update()

    def _swapped(self) -> None:
        self.count += 1
        if self._asked is not None:
            self._asked = None
            self._drawn(time.time())
