"""When what was asked for is on the screen: the canvas draws one frame at a time."""

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.viewers.napari.shading import spare

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

_LOST = 0.25  # s; a window that is hidden never says that it has drawn
_LOOK = 0.1  # s between two looks where the canvas is, while frames come
_AS_THEY_ARE = (np.uint8, np.uint16, np.float32)  # what graphics take


class Drawing:
    """Tell when the canvas is ready for the next frame, and bring frames there.

    Parameters
    ----------
    viewer : napari.Viewer
        With its window.
    drawn : callable
        Called after each drawing, with the time, s since 1970-01-01 UTC.
    """

    def __init__(self, viewer: "Viewer", drawn: Callable[[float], None]) -> None:
        from PySide6.QtOpenGLWidgets import QOpenGLWidget
        from PySide6.QtWidgets import QListView

        self.count = 0
        self._drawn = drawn
        self._asked: float | None = None
        self._look_at = 0.0
        self._spared: weakref.WeakSet[Image] = weakref.WeakSet()
        window: Any = viewer.window._qt_window
        (self._canvas,) = window.findChildren(QOpenGLWidget)
        self._canvas.frameSwapped.connect(self._swapped)
        self._lists = [view for view in window.findChildren(QListView) if type(view).__name__ == "QtLayerList"]
        self._scene: Any = viewer.window._qt_viewer.canvas
        painting = self._scene._scene_canvas.events.draw
        painting.disconnect(self._scene.on_draw)
        painting.connect(self._painted, position="last")

    @property
    def busy(self) -> bool:
        """Whether what was asked for is not on the screen yet."""
        return self._asked is not None and time.monotonic() - self._asked < _LOST

    def ask(self) -> None:
        """Hear that something has changed on the canvas."""
        self._asked = time.monotonic()
        self._canvas.update()

    def put(self, layer: "Image", image: NDArray[Any]) -> bool:
        """Bring an image to the canvas past napari, which cuts and places each as if it were the first.

        Returns False where that is needed: another shape or type, seen from elsewhere, in space.
        """
        visual, seen, axes = self._scene.layer_to_visual.get(layer), layer._data_view, layer._slice_input
        if visual is None or seen.shape != image.shape or seen.dtype != image.dtype:
            return False
        if image.dtype not in _AS_THEY_ARE or list(axes.displayed) != [layer.ndim - 2, layer.ndim - 1]:
            return False
        if layer not in self._spared:
            self._spared.add(layer)
            spare(layer, visual.node)
        visual.node.set_data(image)
        return True

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

    def _painted(self, event: object) -> None:
        """Let napari look where the canvas is: a tenth of a frame's time, which frames alone do not change."""
        now = time.monotonic()
        if self._asked is None or now >= self._look_at:
            self._look_at = now + _LOOK
            self._scene.on_draw(event)

    def _swapped(self) -> None:
        self.count += 1
        if self._asked is not None:
            self._asked = None
            self._drawn(time.time())
