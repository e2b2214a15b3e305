"""Electrons diffracted by a growing film, as a camera before the phosphor screen sees them (RHEED)."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.rheed_growth import Growth, Kinetics, check_periods, disorder
from beamstream.sim.rheed_screen import Lattice, Screen

_FULL: dict[str, float] = {"u1": 255.0, "u2": 65_535.0}  # counts, by dtype
BRIGHTEST = 0.75
"""Of the full scale: the brightest mean of a pixel; the rest is headroom for the noise."""
_OFFSET = 0.03  # of the full scale: a pixel without light while the screen is not covered
_STEADIEST = 0.04  # noise that neither end of the scale can clip
_WORST = 4.0  # standard deviations
_NOISE_PERIOD = 262_147  # noises; prime
_TILE = 1 << 16  # pixels at once: what is computed with them stays in the cache
_MICROSECONDS = 1e6
_MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9  # so that neighbours in time have noise from far apart


@dataclass(frozen=True, slots=True)
class RheedSpec:
    """Say what is filmed; two scenes of one spec make the same pictures.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns, 32 or more of each.
    dtype : {"|u1", "<u2"}
    growth_rate : float
        Monolayers/s while the source is open: the specular spot oscillates as often per second.
    decay : float
        Monolayers after which the oscillation has 1/e of its amplitude.
    recovery : float
        s of rest (source closed) after which 1/e of the disorder is left.
    rotations_per_min : float
        Negative turns the other way.
    azimuth : float
        Degrees at t = 0.
    lattice : {"square", "hexagonal"}
        Streaks come again every 90° or 60°; those of half order do not.
    noise : float
        Standard deviation of a pixel at full scale, of the full scale; it goes with the root of the light. 0 to 0.04.
    seed : int
        Of the noise.
    growth, black : tuple of (start, stop)
        s; when the source is open, when the screen is covered. In order, without overlap.

    Raises
    ------
    ValueError
        There can be no such film; the message says why.
    """

    shape: tuple[int, int] = (300, 500)
    dtype: str = "|u1"
    growth_rate: float = 0.5
    decay: float = 25.0
    recovery: float = 4.0
    rotations_per_min: float = 0.0
    azimuth: float = 0.0
    lattice: Lattice = "square"
    noise: float = 0.02
    seed: int = 0
    growth: tuple[tuple[float, float], ...] = ()
    black: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 32:
            raise ValueError(f"rheed: shape {self.shape} asked for; it needs rows and columns, 32 or more of each")
        if np.dtype(self.dtype).str[1:] not in _FULL or not np.dtype(self.dtype).isnative:
            raise ValueError(f"rheed: pixels of {self.dtype!r} asked for, there are uint8 and uint16")
        if self.lattice not in get_args(Lattice):
            raise ValueError(f"rheed: lattice {self.lattice!r} asked for, there are {', '.join(get_args(Lattice))}")
        if not 0 <= self.noise <= _STEADIEST:
            raise ValueError(f"rheed: noise {self.noise} asked for; from 0 to {_STEADIEST} nothing is clipped")
        if not (isfinite(self.rotations_per_min) and isfinite(self.azimuth)):
            raise ValueError(f"rheed: {self.rotations_per_min} rpm from {self.azimuth} degrees asked for; say how fast")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"rheed: seed {self.seed} asked for, it is 0 or more")
        check_periods(self.black, "black")
        Growth(self.kinetics, self.growth)

    @property
    def kinetics(self) -> Kinetics:
        """How the surface changes."""
        return Kinetics(self.growth_rate, self.decay, self.recovery)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, doc: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        periods = {name: tuple((start, stop) for start, stop in doc[name]) for name in ("growth", "black")}
        return cls(**{**doc, **periods, "shape": tuple(doc["shape"])})


@dataclass(frozen=True, slots=True)
class RheedState:
    """Say what one picture shows: azimuth in degrees, disorder from 0 to 1, and whether the screen is covered."""

    azimuth: float = 0.0
    disorder: float = 0.0
    dark: bool = False


class RheedScene:
    """Draw a RHEED film at any time of it, and say what the truth behind it is.

    The specular spot, streaks at the crossings of Ewald's sphere with the rods of the lattice, the shadow edge below
    them, and light between them. The specular spot's intensity over the background is
    ``1 − 0.8 · (1 − Re order) / 2`` of that of a flat surface, where `Kinetics` says how the order goes; the other
    streaks follow it less. A picture is a pure function of the spec and the time to the microsecond; it never clips:
    the mean of each pixel is 3 to 75 % of the full scale, and the noise ends at 4 standard deviations. A covered
    screen is 0 in each pixel. 300 × 500 takes 0.8 ms, 1024² 4.5 ms. One thread at a time.

    Parameters
    ----------
    spec : RheedSpec
    """

    def __init__(self, spec: RheedSpec) -> None:
        self.spec = spec
        self._growth = Growth(spec.kinetics, spec.growth)
        self._covered = [time for period in spec.black for time in period]
        self._screen = Screen(spec.shape, spec.lattice)
        full = _FULL[np.dtype(spec.dtype).str[1:]]
        self._mean = np.empty(spec.shape, np.float32)
        self._screen.draw(0.0, 0.0, self._mean)
        self._gain = np.float32((BRIGHTEST - _OFFSET) * full / self._mean.max())
        self._offset = np.float32(_OFFSET * full)
        noise = np.random.default_rng(spec.seed).standard_normal(self._mean.size + _NOISE_PERIOD, np.float32)
        noise -= noise.mean()  # a bank has a mean and a width of its own, which every picture would share
        noise /= noise.std()
        self._noise = np.clip(noise, -_WORST, _WORST, out=noise)
        self._noise *= np.float32(spec.noise * full**0.5)  # times the root of the counts
        self._tile = np.empty(_TILE, np.float32)

    @property
    def region(self) -> tuple[int, int, int, int]:
        """Where the specular spot is: first row, first column, rows, columns."""
        return self._screen.specular

    def azimuth(self, t: float) -> float:
        """Return the azimuth at this time, degrees from 0 to 360."""
        return (self.spec.azimuth + 6 * self.spec.rotations_per_min * t) % 360.0

    def layers(self, t: float) -> float:
        """Return the monolayers that have grown until this time."""
        return self._growth.layers(t)

    def state(self, t: float) -> RheedState:
        """Return what the picture of this time shows."""
        covered = bisect_right(self._covered, t) % 2 == 1
        return RheedState(self.azimuth(t), disorder(self._growth.order(t)), covered)

    def specular(self, t: float) -> float:
        """Return the true intensity of the specular spot, background included: counts, mean over `region`."""
        row, col, n_rows, n_cols = self.region
        return float(self.mean(self.state(t))[row : row + n_rows, col : col + n_cols].mean(dtype=np.float64))

    def image(self, t: float, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the picture of this time, s.

        Parameters
        ----------
        t : float
            Noise is independent from microsecond to microsecond.
        out : ndarray, optional
            C-contiguous memory to draw into, in the spec's shape and dtype; saves an allocation.

        Returns
        -------
        ndarray
            The caller's own, in the spec's shape and dtype.
        """
        return self.draw(self.state(t), round(t * _MICROSECONDS), out)

    def mean(self, state: RheedState) -> NDArray[np.float32]:
        """Return what many pictures of this state would be on average, counts; valid until the next picture."""
        if state.dark:
            self._mean[:] = 0.0
            return self._mean
        self._screen.draw(state.azimuth, state.disorder, self._mean)
        self._mean *= self._gain
        self._mean += self._offset
        return self._mean

    def draw(self, state: RheedState, number: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return a picture of this state with the noise of this number; otherwise like `image`."""
        image = np.empty(self.spec.shape, self.spec.dtype) if out is None else out
        if state.dark:
            image[...] = 0
            return image
        pixels, mean = image.reshape(-1), self.mean(state).reshape(-1)
        noise = self._noise[_mixed(number) % _NOISE_PERIOD :]
        for start in range(0, pixels.size, _TILE):
            tile = slice(start, min(start + _TILE, pixels.size))
            counts = np.sqrt(mean[tile], out=self._tile[: tile.stop - start])
            counts *= noise[tile]
            counts += mean[tile]
            counts += np.float32(0.5)  # the conversion to integers rounds down
            pixels[tile] = counts
        return image


def rheed_spec(geometry: Geometry, spec: RheedSpec | None = None) -> RheedSpec:
    """Return the spec with this geometry; raise ValueError for one that it cannot have."""
    if geometry.color_mode != ColorMode.MONO or len(geometry.shape) != 2:
        raise ValueError(f"scene rheed: {geometry} asked for, it is mono; use the scene pattern")
    return replace(spec or RheedSpec(), shape=(geometry.shape[0], geometry.shape[1]), dtype=geometry.dtype)


def _mixed(number: int) -> int:
    """Return another number for each, without pattern."""
    number = (number * _MIX[0]) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 31)) * _MIX[1]) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 29)
