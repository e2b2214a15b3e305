"""A whole frame in colour, as it is seen: for a picture file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

from beamstream.frames import ColorMode
from beamstream.ops.picture import picture_of
from beamstream.viewers.qt.drawing import Drawing, grid_of
from beamstream.viewers.qt.orientation import Orientation
from beamstream.viewers.qt.shades import Contrast
from beamstream.viewers.qt.wishes import Wish


def coloured(image: NDArray[Any], contrast: Contrast, palette: str, orientation: Orientation) -> QImage:
    """Return a frame as it is seen, every pixel of it; `contrast` has the limits."""
    image = np.ascontiguousarray(picture_of(image, ColorMode.RGB1).image)
    shape = image.shape[0], image.shape[1]
    width, height = orientation.size(shape)
    wish = Wish(size=(width, height), orientation=orientation, contrast=contrast, palette=palette, display_bin=1)
    grid = grid_of(shape, wish)
    assert grid is not None
    pixels = Drawing().draw(image, grid, wish, contrast.low, contrast.high)
    return QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32).copy()
