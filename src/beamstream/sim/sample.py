"""The sample that stands in the simulated beam: the radiograph of a nautilus shell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDENING = np.log(2.7) / (2 * np.pi)  # of the spiral for each radian: 2.7 times a turn
_TURNS = 3.55
_CHAMBERS = 17  # a turn
_LIVING = 1.9  # rad at the open end, without septa
_FILLS = 0.92  # of the shorter side of the field
_THINNEST = 0.22  # transmission

Plane = NDArray[np.floating[Any]]


def transmission(n_rows: int, n_cols: int) -> NDArray[np.float32]:
    """Return the part of the light that passes the centred sample, 0.2 to 1.

    It ends within the field: the outermost pixels are 1.
    """
    size, row, column = _placed()
    scale = size / (_FILLS * min(n_rows, n_cols))  # of a pixel, where the open end of the spiral has radius 1
    y = ((np.arange(n_rows) - (n_rows - 1) / 2) * scale + row).astype(np.float32)[:, None]
    x = ((np.arange(n_cols) - (n_cols - 1) / 2) * scale + column).astype(np.float32)[None, :]
    thickness = _thickness(np.hypot(y, x), np.arctan2(y, x), np.float32(scale))
    thickness *= np.log(_THINNEST) / max(float(thickness.max()), 1e-6)
    return np.exp(thickness, out=thickness)


def _placed() -> tuple[float, float, float]:
    """Return the larger side of the shell and where its middle is: row, column; from the spiral's last turn."""
    angle = 2 * np.pi * (_TURNS - np.linspace(0, 1, 720))
    radius = np.exp(_WIDENING * (angle - 2 * np.pi * _TURNS))
    y, x = radius * np.sin(angle), radius * np.cos(angle)
    return max(np.ptp(y), np.ptp(x)), (y.min() + y.max()) / 2, (x.min() + x.max()) / 2


def _thickness(radius: Plane, angle: Plane, pixel: np.float32) -> Plane:
    """Return how much shell the light passes, for polar coordinates around the spiral's pole."""
    end = np.float32(2 * np.pi * _TURNS)
    # the angle along the spiral whose turn ends outside of this place; the open end is at radius 1
    wound = np.log(np.maximum(radius, pixel)) / np.float32(_WIDENING) + end
    along = angle + np.float32(2 * np.pi) * np.ceil((wound - angle) / np.float32(2 * np.pi))
    outer = np.exp(np.float32(_WIDENING) * (along - end))
    width = outer * np.float32(1 - np.exp(-2 * np.pi * _WIDENING))
    across = 1 - (outer - radius) / width * 2  # −1 at the inner, 1 at the outer wall
    shell = _chord(across / np.float32(1.01)) - np.float32(0.9) * _chord(across / np.float32(0.93))
    shell += np.float32(0.33) * _septa(along, across, radius, width, end, pixel)
    shell *= np.sqrt(width)  # the innermost turns would be too faint to be seen otherwise
    shell *= _ramp((end - along - np.float32(0.10) * across**2) * radius / pixel)  # the lip
    shell *= _ramp(along * np.float32(4))  # nothing was ever smaller than the first chamber
    return shell


def _septa(along: Plane, across: Plane, radius: Plane, width: Plane, end: np.float32, pixel: np.float32) -> Plane:
    """Return the walls between the chambers, bent inwards, and the tube that connects them."""
    step = np.float32(2 * np.pi / _CHAMBERS)
    bent = along + np.float32(0.42) * (1 - across**2)
    distance = (bent / step - np.rint(bent / step)) * step * radius
    wall = _line(distance, np.float32(0.018) * width, pixel)
    tube = np.float32(0.6) * _line((across - np.float32(0.1)) * width / 2, np.float32(0.013) * width, pixel)
    last = np.floor((end - np.float32(_LIVING)) / step) * step + np.float32(0.025)  # just behind a wall
    chambers = _ramp((last - bent) * radius / pixel)
    return np.sqrt(_chord(across)) * chambers * np.maximum(wall, tube)


def _chord(across: Plane) -> Plane:
    """Return how long the way through a tube of diameter 1 is."""
    return np.sqrt(np.maximum(0, 1 - across**2))


def _line(distance: Plane, half_width: Plane, pixel: np.float32) -> Plane:
    """Return a line with soft edges; one that is thinner than a pixel is fainter instead."""
    drawn = np.maximum(half_width, pixel * np.float32(0.7))
    return np.exp(-((distance / drawn) ** 2)) * (half_width / drawn)


def _ramp(pixels: Plane) -> Plane:
    """Return 0 below, 1 above, over the width of a pixel."""
    return np.clip(pixels + np.float32(0.5), 0, 1)
