"""What the tests of the window share: somebody who puts frames, and what is on the screen."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.ring import Ring
from beamstream.viewers.qt.window import Window


class Camera:
    """Put frames into a ring, as a session does."""

    def __init__(self, name: str = "camera") -> None:
        self.ring = Ring(name, slots=8)
        self.number = 0

    def put(self, image: NDArray[Any], mode: ColorMode = ColorMode.MONO) -> int:
        """Put one frame; return its unique_id."""
        self.number += 1
        now = time.time()
        geometry = Geometry(image.shape, image.dtype.str, mode)
        self.ring.put(Frame(image, geometry, self.number, now - 0.01, now))
        return self.number

    def close(self) -> None:
        self.ring.close()


def settled(window: Window) -> bool:
    """Whether what is painted is what is wanted."""
    shown = window.canvas.picture.shown
    wish = window.eye._wish
    return shown is not None and shown.wish == wish and wish.size == window.canvas.pixels and window.eye._free


def on_screen(window: Window) -> NDArray[np.uint8]:
    """Return what is on the screen where the frame is: rows, columns, red green blue."""
    canvas = window.canvas
    image = canvas.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    left, top = canvas.picture.shown.place
    rows, cols = canvas.picture.shown.pixels.shape
    return pixels[top : top + rows, left : left + cols, 2::-1].copy()
