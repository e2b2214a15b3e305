"""A picture that darks and flats make better: a sample in an uneven beam, seen by an imperfect sensor."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode, Geometry
from beamstream.sim import optics, sample

WIDTH = 5.0  # mm that the field is wide: a sample this far from its centre is out of it
_FULL: dict[str, float] = {"u1": 240.0, "u2": 60_000.0, "u4": 4e9, "u8": 1.7e19, "f4": 60_000.0}  # counts, by dtype
_PHOTONS = 60_000.0  # that a pixel's full scale stands for: in uint16 and float32 a count is a photon
_LIGHT = 0.85  # of the full scale: the brightest pixel, above its dark
_OFFSET = 0.03  # of the full scale: the dark without exposure
_DARK_CURRENT = 0.005  # of the full scale, 1/s
_DARKEST = 0.12  # of the full scale: where a dark stops to grow
_READ_NOISE = 4.0  # photons
_NOISE_PERIOD = 65_521  # noises; prime
_STRIDE = 25_173  # from one to the next, so that their mean is no smear
_TILE = 1 << 16  # pixels at once: what is computed with them stays in the cache


@dataclass(frozen=True, slots=True)
class Beam:
    """Say what is between source and camera during one exposure, and how long that is.

    Parameters
    ----------
    shutter_open : bool
    sample_in : bool
    position : float
        Of the sample, mm to the right of its place in the middle; at ±5 and beyond it is out of the field.
    exposure : float
        s; only the dark grows with it, the light does not.
    """

    shutter_open: bool = True
    sample_in: bool = True
    position: float = 0.0
    exposure: float = 0.01


def check(geometry: Geometry) -> None:
    """Raise ValueError for a geometry that a `BeamScene` cannot have."""
    if np.dtype(geometry.dtype).str[1:] not in _FULL or geometry.color_mode != ColorMode.MONO:
        raise ValueError(
            f"scene beam: {geometry} asked for, it has unsigned integers or float32, in mono; use the scene pattern"
        )
    if len(geometry.shape) != 2 or min(geometry.shape) < 8:
        raise ValueError(f"scene beam: {geometry} asked for; it needs rows and columns, 8 or more of each")


class BeamScene:
    """Draw what a camera in an X-ray beam sees, and say what the truth behind it is.

    Counts are ``dark + illumination × transmission`` with the noise of the photons; a few dead pixels are 0.
    A picture is a pure function of geometry, id and `Beam`. It never saturates. 2048² takes about 3 ms, and 12 ms
    where the beam is not that of the picture before. One thread at a time.

    Parameters
    ----------
    geometry : Geometry
        Unsigned integers or float32, mono; at least 8 rows and columns. The codec is ignored.

    Attributes
    ----------
    illumination : ndarray of float32
        Counts above the dark without a sample, shape of the frames; 0 where a pixel is dead.
    dead : ndarray of int
        The flat indices of the pixels that always read 0.

    Raises
    ------
    ValueError
        Another type of pixels, colours, or a field that is too small.
    """

    def __init__(self, geometry: Geometry) -> None:
        check(geometry)
        self.geometry = geometry
        n_rows, n_cols = geometry.shape
        full = _FULL[np.dtype(geometry.dtype).str[1:]]
        self._full, self._gain = np.float32(full), np.float32(full / _PHOTONS)  # counts; counts of a photon
        self.dead = optics.dead_pixels(n_rows, n_cols)
        self.illumination = optics.beam(n_rows, n_cols) * optics.response(n_rows, n_cols)
        self.illumination *= np.float32(_LIGHT * full) / self.illumination.max()
        self.illumination.flat[self.dead] = 0.0
        self._offset = optics.offset(n_rows, n_cols) * np.float32(_OFFSET * full)
        self._current = optics.dark_current(n_rows, n_cols) * np.float32(_DARK_CURRENT * full)
        self._sample = sample.transmission(n_rows, n_cols)
        noise = np.random.default_rng(26).standard_normal(n_rows * n_cols + _NOISE_PERIOD, np.float32)
        self._noise = np.clip(noise, -5, 5, out=noise)
        self._drawn: tuple[bool, int, float] | None = None
        self._dark = np.empty(geometry.shape, np.float32)
        self._mean = np.empty(geometry.shape, np.float32)
        self._deviation = np.empty(geometry.shape, np.float32)
        self._tile = np.empty(_TILE, np.float32)

    def dark(self, exposure: float = 0.01) -> NDArray[np.float32]:
        """Return the mean of frames without light, counts, for an exposure time in s."""
        level = self._current * np.float32(exposure)
        level += self._offset
        np.minimum(level, self._full * np.float32(_DARKEST), out=level)
        level.flat[self.dead] = 0.0
        return level

    def transmission(self, position: float = 0.0) -> NDArray[np.float32]:
        """Return the part of the light that passes the sample, 0.2 to 1, for its position in mm."""
        field = np.ones(self.geometry.shape, np.float32)
        _multiply_shifted(field, self._sample, self._shift(position))
        return field

    def image(self, unique_id: int, beam: Beam = Beam(), out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the picture of this id.

        Parameters
        ----------
        unique_id : int
            The noise of pictures with different ids is independent in each pixel, up to 65 521 of them.
        beam : Beam
        out : ndarray, optional
            C-contiguous memory to draw into, in the geometry's shape and dtype; saves an allocation.

        Returns
        -------
        ndarray
            The caller's own, in the geometry's shape and dtype.
        """
        self._expose(beam)
        image = np.empty(self.geometry.shape, self.geometry.dtype) if out is None else out
        pixels, mean, deviation = (a.reshape(-1) for a in (image, self._mean, self._deviation))
        noise = self._noise[unique_id * _STRIDE % _NOISE_PERIOD :]
        for start in range(0, pixels.size, _TILE):
            tile = slice(start, min(start + _TILE, pixels.size))
            counts = np.multiply(deviation[tile], noise[tile], out=self._tile[: tile.stop - start])
            counts += mean[tile]
            pixels[tile] = counts
        return image

    def _shift(self, position: float) -> int:
        """Return how many pixels the sample is to the right; as many as there are is out."""
        n_cols = self.geometry.shape[1]
        return round(min(max(position / WIDTH, -1.0), 1.0) * n_cols)

    def _expose(self, beam: Beam) -> None:
        """Compute mean and standard deviation of each pixel, if they are not those of the picture before."""
        n_rows, n_cols = self.geometry.shape
        shift = self._shift(beam.position) if beam.sample_in else n_cols
        drawn = (beam.shutter_open, shift, beam.exposure)
        if drawn == self._drawn:
            return
        if self._drawn is None or beam.exposure != self._drawn[-1]:
            self._dark = self.dark(beam.exposure)
        for start in range(0, n_rows, rows := max(1, _TILE // n_cols)):
            self._expose_rows(slice(start, start + rows), beam.shutter_open, shift)
        self._mean.flat[self.dead] = self._deviation.flat[self.dead] = 0.0
        self._drawn = drawn

    def _expose_rows(self, rows: slice, shutter_open: bool, shift: int) -> None:
        mean, deviation = self._mean[rows], self._deviation[rows]
        np.multiply(self.illumination[rows], np.float32(shutter_open), out=mean)
        _multiply_shifted(mean, self._sample[rows], shift)
        np.multiply(mean, self._gain, out=deviation)
        deviation += (self._gain * np.float32(_READ_NOISE)) ** 2
        np.sqrt(deviation, out=deviation)
        mean += self._dark[rows]
        if np.dtype(self.geometry.dtype).kind == "u":
            mean += np.float32(0.5)  # the conversion to integers rounds down


def _multiply_shifted(field: NDArray[np.float32], sample: NDArray[np.float32], shift: int) -> None:
    """Put the sample into the field, so many columns to the right; what it does not cover stays as it is."""
    n_cols = field.shape[1]
    if abs(shift) < n_cols:
        field[:, max(0, shift) : n_cols + min(0, shift)] *= sample[:, max(0, -shift) : n_cols - max(0, shift)]
