"""The diffraction pattern on the phosphor screen, without noise: rods of the surface lattice cut by Ewald's sphere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Lattice = Literal["square", "hexagonal"]

# angles in mrad, as seen from the sample; electrons of 15 keV on a lattice of 3.9 Å
_WAVE = 1000.0  # the wave vector: what a rod's distance is, it is as an angle
_ROD = 25.4  # between two rods
_GRAZING = 61.0  # of the beam to the surface, 3.5°; the specular spot is as high above the horizon
_HEIGHT = 136.0  # of the picture
_HORIZON = 0.80  # of the height: the shadow edge
_WIDTH = 1.5  # of a streak, half
_SPOT, _STREAK = 0.25, 1.5  # of a rod along the beam, half: its sharp middle, and what disorder adds
_FAR = 5.0  # widths at which a streak ends
_MOST = 5  # rods to each side
_SPECULAR = (4.2, 2.4)  # of the specular spot: rows, columns
_LINES = 12.7  # between the Kikuchi lines of the planes that lie parallel to the surface
_VIGNETTE = 95.0  # of the phosphor's light, from the middle of the screen
# parts of the screen's light
_BRIGHT = {"specular": 1.0, "rods": 1.6, "half": 0.55, "diffuse": 0.42}
# what of it goes with the order of the surface
_FADING = {"specular": 0.8, "rods": 0.35, "half": 0.8, "diffuse": -0.12}
_BASIS = {"square": (0.0, 1.0), "hexagonal": (0.5, 0.75**0.5)}


@dataclass(frozen=True, slots=True)
class _Streaks:
    """Hold what one azimuth shows: a profile along the rows and one along the columns for each streak."""

    rows: Plane
    cols: Plane
    first: NDArray[np.intp]
    fading: NDArray[np.float32]


class Screen:
    """Draw what the screen shows for an azimuth and a disorder of the surface; 1 is its brightest place.

    300 × 500 takes 0.5 ms, 1024² 2.6 ms. One thread at a time.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns; the field is as high as ever, and wider where there are more columns.
    lattice : {"square", "hexagonal"}
        Streaks come again every 90° or 60°; those of half order at 0° and 180° (square), at 60°, 150°, 240° and
        330° (hexagonal).
    """

    def __init__(self, shape: tuple[int, int], lattice: Lattice) -> None:
        n_rows, n_cols = shape
        self._scale = n_rows / _HEIGHT
        self._middle = (n_cols - 1) / 2
        self._z = (_HORIZON * _HEIGHT - (np.arange(n_rows) + 0.5) / self._scale).astype(np.float32)
        self._y = ((np.arange(n_cols) - self._middle) / self._scale).astype(np.float32)
        self._lit = int(np.searchsorted(-self._z, 6.0))  # rows; those below are in the shadow
        self._diffuse = _diffuse(self._z, self._y)
        self._rods = _Rods(lattice)
        self._drawn: tuple[float, _Streaks] | None = None
        self._streak = np.empty((self._lit, int(2 * _FAR * _WIDTH * self._scale) + 2), np.float32)
        z = self._z[: self._lit]
        self._light = _shadow(z) * _bell((z - 42) / _VIGNETTE)
        self._spot = self._light * _bell((z - _GRAZING) / _SPECULAR[0]) * np.float32(_BRIGHT["specular"])
        self._middle_cols = self._columns(np.zeros(1, np.float32), _SPECULAR[1], _bell)

    @property
    def specular(self) -> tuple[int, int, int, int]:
        """Where the specular spot is: first row, first column, rows, columns."""
        row = round((_HORIZON * _HEIGHT - _GRAZING) * self._scale)
        height, width = (max(1, round(1.1 * size * self._scale)) for size in _SPECULAR)
        col = round(self._middle)
        return row - height, col - width, 2 * height + 1, 2 * width + 1

    def draw(self, azimuth: float, disorder: float, out: Plane) -> None:
        """Draw into `out`, shape (n_rows, n_cols): azimuth in degrees, disorder from 0 to 1."""
        np.multiply(self._diffuse, np.float32(1 - _FADING["diffuse"] * disorder), out=out)
        streaks = self._streaks(azimuth)
        rows = streaks.rows * (1 - streaks.fading * np.float32(disorder))[:, None]
        n_cols = self._y.size
        for row, col, first in zip(rows, streaks.cols, streaks.first.tolist(), strict=True):
            start, stop = max(first, 0), min(first + col.size, n_cols)
            if start < stop:
                streak = self._streak[:, : stop - start]
                np.multiply(row[:, None], col[start - first : stop - first], out=streak)
                out[: self._lit, start:stop] += streak

    def _streaks(self, azimuth: float) -> _Streaks:
        if self._drawn is None or self._drawn[0] != azimuth:
            self._drawn = azimuth, self._cut(azimuth)
        return self._drawn[1]

    def _cut(self, azimuth: float) -> _Streaks:
        """Cut the rods with Ewald's sphere."""
        along, across, strength, fading = self._rods.seen(azimuth, self._y[-1] + _FAR * _WIDTH)
        z = self._z[: self._lit]
        upright = _GRAZING**2 - 2 * _WAVE * along - along**2 - across**2  # height of the crossing, squared
        off = ((upright[:, None] - np.abs(z) * z) / (2 * _WAVE)).astype(np.float32)  # from the rod to the sphere
        rows = (_peak(off / _STREAK) + _bell(off / _SPOT)) * (strength[:, None] / 2 * self._light)
        first, cols = self._columns(across, _WIDTH, _peak)
        spot_first, spot_cols = self._middle_cols
        return _Streaks(
            np.vstack((rows, self._spot)),
            np.vstack((cols, spot_cols)),
            np.append(first, spot_first),
            np.append(fading, np.float32(_FADING["specular"])),
        )

    def _columns(self, across: Plane, width: float, shape: Callable[[Plane], Plane]) -> tuple[NDArray[np.intp], Plane]:
        """Return the first column of each streak, and its profile from there on."""
        first = np.ceil((across - np.float32(_FAR * _WIDTH)) * self._scale + self._middle).astype(np.intp)
        cols = first[:, None] + np.arange(self._streak.shape[1])
        y = ((cols - self._middle) / self._scale).astype(np.float32)
        return first, shape((y - across[:, None]) / width) * _bell(y / _VIGNETTE)


class _Rods:
    """Know the rods of a lattice: where they stand at azimuth 0, how bright, and what they lose with the order."""

    def __init__(self, lattice: Lattice) -> None:
        one, two = _BASIS[lattice]
        n = np.arange(-_MOST, _MOST + 1)
        h, k = (order.reshape(-1) for order in np.meshgrid(n, n))
        half = np.concatenate((np.zeros(h.size, bool), np.ones(h.size, bool)))
        h, k = np.concatenate((h, h)), np.concatenate((k, k + 0.5))
        along, across = h + one * k, two * k
        distance = np.hypot(along, across)
        kept = distance <= _MOST
        self._along, self._across = (_ROD * order[kept].astype(np.float32) for order in (along, across))
        strength = np.where(half, _BRIGHT["half"], _BRIGHT["rods"]) * np.exp(-((distance / 3.3) ** 2))
        self._strength = strength[kept].astype(np.float32)
        self._fading = np.where(half, _FADING["half"], _FADING["rods"])[kept].astype(np.float32)

    def seen(self, azimuth: float, widest: float) -> tuple[Plane, Plane, Plane, Plane]:
        """Return those that cross the screen: mrad along the beam, mrad across, brightness, fading."""
        angle = np.radians(azimuth)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = cos * self._along + sin * self._across, cos * self._across - sin * self._along
        highest = (_HORIZON * _HEIGHT) ** 2
        near = (_GRAZING**2 - highest) / (2 * _WAVE) - _FAR * _STREAK
        far = _GRAZING**2 / (2 * _WAVE) + _FAR * _STREAK
        seen = (along > near) & (along < far) & (np.abs(across) < widest)
        return along[seen], across[seen], self._strength[seen], self._fading[seen]


def _bell(x: Plane) -> Plane:
    return np.exp(-x * x)


def _peak(x: Plane) -> Plane:
    """Return a bell with wings, those of a Lorentzian and a half."""
    narrow = np.reciprocal(1 + x * x)
    return narrow * np.sqrt(narrow)


def _shadow(z: Plane) -> Plane:
    """Return what leaves the surface at each angle: nothing below the horizon, little just above it."""
    light = (1 - np.exp(-np.maximum(z, 0) / 7)) / (1 + np.exp(-z / 0.7))
    return light.astype(np.float32)


def _diffuse(z: Plane, y: Plane) -> Plane:
    """Return the light between the streaks: a glow above the horizon, and lines that no azimuth moves."""
    tall, wide = z[:, None], y[None, :]
    glow = np.exp(-((wide / 60) ** 2) - ((tall - 38) / 52) ** 2)
    glow = np.float32(_BRIGHT["diffuse"]) * (glow + np.float32(0.18)) * _shadow(z + 3)[:, None]
    glow *= 1 + _kikuchi(z)[:, None] * np.exp(-((wide / 45) ** 2))
    glow += np.float32(0.02) * np.exp(-((wide / 40) ** 2) - (tall / 30) ** 2)
    return glow.astype(np.float32)


def _kikuchi(z: Plane) -> Plane:
    """Return the horizontal Kikuchi lines, bright with a dark rim below, faint beside the glow."""
    lines = np.zeros_like(z)
    for order in range(2, 9):
        lines += np.float32(0.3 / order) * (_bell((z - order * _LINES) / 1.3) - _bell((z - order * _LINES + 2.2) / 1.6))
    return lines
