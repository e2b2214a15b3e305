"""What a camera sees without a sample: a beam that is not even, dust on the window, pixels that differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]

_DUST = 16
_CORNER = 0.16  # of the brightest place


def beam(n_rows: int, n_cols: int) -> Plane:
    """Return the light that falls on the sensor, 0.1 to 1.

    A vignetted spot with the stripes of a multilayer monochromator, fringes of a window, and the shadows of dust.
    """
    y, x = _centred(n_rows, n_cols)
    light = np.exp(-(((x - 0.07) / 0.47) ** 2) - ((y + 0.05) / 0.36) ** 2)
    light *= 1 - _CORNER
    light += np.float32(_CORNER)
    light *= 1 + _stripes(y + np.float32(0.03) * x + np.float32(0.012) * np.sin(9 * x))
    light *= 1 + np.float32(0.035) * np.cos(150 * np.hypot(x + np.float32(0.75), y - np.float32(0.6)))
    _shade(light)
    light /= light.max()
    return np.maximum(light, np.float32(0.1), out=light)


def response(n_rows: int, n_cols: int) -> Plane:
    """Return how sensitive each pixel is, mean about 1: pixels, columns, and two halves with an amplifier each."""
    rng = np.random.default_rng(20)
    gain = rng.standard_normal((n_rows, n_cols), np.float32)
    gain *= np.float32(0.012)
    gain += 1 + np.float32(0.012) * rng.standard_normal(n_cols, np.float32).clip(-3, 3)
    gain[:, n_cols // 2 :] *= np.float32(0.93)
    return gain


def offset(n_rows: int, n_cols: int) -> Plane:
    """Return what the electronics add to each pixel, mean about 1: columns, rows, a slope."""
    rng = np.random.default_rng(21)
    columns = np.float32(0.03) * rng.standard_normal(n_cols, np.float32).clip(-3, 3)
    rows = np.float32(0.02) * np.sin(np.linspace(0, 40, n_rows, dtype=np.float32))
    slope = np.linspace(-0.1, 0.1, n_rows, dtype=np.float32)
    return 1 + columns + (rows + slope)[:, None]


def dark_current(n_rows: int, n_cols: int) -> Plane:
    """Return what collects in each pixel without light, median about 1; one in 2000 is hot, up to a few hundred."""
    rng = np.random.default_rng(22)
    current = 1 + np.float32(0.1) * rng.standard_normal((n_rows, n_cols), np.float32).clip(-3, 3)
    hot = rng.choice(n_rows * n_cols, max(4, n_rows * n_cols // 2000), replace=False)
    current.reshape(-1)[hot] = rng.uniform(30, 300, hot.size)
    return current


def dead_pixels(n_rows: int, n_cols: int) -> NDArray[np.intp]:
    """Return the flat indices of the pixels that always read 0: one in 50 000, at least 3."""
    n_pixels = n_rows * n_cols
    return np.sort(np.random.default_rng(23).choice(n_pixels, max(3, n_pixels // 50_000), replace=False))


def _centred(n_rows: int, n_cols: int) -> tuple[Plane, Plane]:
    """Return coordinates that are ±0.5 at the ends of the shorter side."""
    shorter = min(n_rows, n_cols)
    y = (np.arange(n_rows, dtype=np.float32) - (n_rows - 1) / 2) / shorter
    x = (np.arange(n_cols, dtype=np.float32) - (n_cols - 1) / 2) / shorter
    return y.astype(np.float32)[:, None], x.astype(np.float32)[None, :]


def _stripes(height: Plane) -> Plane:
    """Return irregular horizontal stripes, ±0.2."""
    rng = np.random.default_rng(24)
    at = np.linspace(-2, 2, 4096)
    profile = np.zeros_like(at)
    for frequency in rng.uniform(2, 45, 40):
        profile += np.cos(2 * np.pi * (frequency * at + rng.random())) / np.sqrt(frequency)
    profile *= 0.2 / np.abs(profile).max()
    return np.interp(height, at, profile).astype(np.float32)


def _shade(light: Plane) -> None:
    """Put dust before the sensor: dark specks, and the bright ring that diffraction draws around each."""
    n_rows, n_cols = light.shape
    rng = np.random.default_rng(25)
    shorter = min(n_rows, n_cols)
    for row, col, size, depth in rng.uniform((0.04, 0.04, 0.006, 0.1), (0.96, 0.96, 0.028, 0.5), (_DUST, 4)):
        radius = max(size * shorter, 1.0)
        middle, reach = (row * n_rows, col * n_cols), int(4 * radius) + 1
        top, left = (max(0, int(m) - reach) for m in middle)
        patch: Any = light[top : int(middle[0]) + reach, left : int(middle[1]) + reach]
        y, x = (np.arange(n, dtype=np.float32) for n in patch.shape)
        distance = np.hypot(y[:, None] + top - middle[0], x[None, :] + left - middle[1]) / radius
        patch *= 1 - depth * np.exp(-(distance**4)) + 0.4 * depth * np.exp(-(((distance - 1.5) / 0.25) ** 2))
