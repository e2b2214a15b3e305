"""Type III bursts: electrons on their way out of the Sun, seen as emission that drifts to low frequencies.

The plasma frequency falls with the distance from the Sun; the drift is the observed one, df/dt = -0.01 f^1.84 MHz/s,
f in MHz (Alvarez and Haddock 1973): from 85 to 15 MHz in 9 s.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLOT = 5.0  # s in which one group of bursts begins
_LONGEST = 45.0  # s that any burst lasts
_FREQUENCIES = 512  # at which bursts are worked out
_DRIFT, _POWER = 0.01, 1.84
_EARLIEST, _LATEST, _STEPS = -2.0, 6.0, 64  # of the table of the time profile, in e-folding times; steps in each


@dataclass(frozen=True, slots=True)
class Burst:
    """Say what one burst is.

    Parameters
    ----------
    start : float
        s since the beginning of the scene, when it would pass 90 MHz.
    high, low : float
        MHz, between which it shines.
    strength : float
        Brightness at 40 MHz in units of the quiet background there.
    speed : float
        Of the electrons: 1 is the usual drift.
    length : float
        Of the emission at one frequency: 1 is usual.
    polarization : float
        Circular, -1 to 1.
    """

    start: float
    high: float
    low: float
    strength: float
    speed: float
    length: float
    polarization: float

    def passes(self, frequency: float) -> float:
        """Return when it is brightest at a frequency in MHz, s since the beginning of the scene."""
        return self.start + float(_delay(np.array(frequency))) / self.speed


class BurstPlan:
    """All the bursts of a scene, as far as it goes: a function of the seed alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def between(self, start: float, stop: float) -> list[Burst]:
        """Return the bursts that begin within so many seconds since the beginning of the scene."""
        slots = range(math.floor(start / SLOT), math.ceil(stop / SLOT))
        return [burst for slot in slots for burst in self.group(slot) if start <= burst.start < stop]

    def group(self, slot: int) -> list[Burst]:
        """Return the bursts that begin within one slot; never none, so that every screenful has some."""
        random = np.random.default_rng((self._seed, slot + 2**32))  # there was a Sun before the beginning
        first = slot * SLOT + random.uniform(0, SLOT / 2)
        number = random.choice((1, 1, 1, 2, 3, 5))
        delays = np.concatenate(([0.0], np.cumsum(random.uniform(0.4, 1.4, number - 1))))
        return [_burst(random, first + delay) for delay in delays if first + delay < (slot + 1) * SLOT]


class BurstShapes:
    """The light of the bursts of one plan, on given channels.

    Worked out at some 500 frequencies for all the bursts at once, and drawn straight in between.

    Parameters
    ----------
    plan : BurstPlan
    first, step : float
        Frequency of channel 0 and distance of the channels, MHz.
    number : int
        Of channels.
    seed : int
        Of the fine structure.
    """

    def __init__(self, plan: BurstPlan, first: float, step: float, number: int, seed: int) -> None:
        self._plan, self._seed, self._number = plan, seed, number
        every = max(1, number // _FREQUENCIES)
        points = -(-number // every) + 1
        self._frequency = first + np.arange(points, dtype=np.float64) * step * every
        self._between: NDArray[np.float32] = (np.arange(every) / every).astype(np.float32)[:, None]
        self._slot: int | None = None
        self._groups: dict[int, list[_Shape]] = {}
        self._profile = _profile()

    def light(self, time: float) -> NDArray[np.float32]:
        """Return total and circularly polarised light, shape (2, n_channels), at s since the beginning."""
        self._prepare(time)
        steps = self._speed * np.float32(time - self._origin)
        steps += self._offset
        each = self._profile.take(steps.astype(np.int32), mode="clip")
        each *= self._brightness
        coarse: NDArray[np.float32] = self._shares @ each
        fine = np.diff(coarse)[:, None] * self._between
        fine += coarse[:, None, :-1]
        return fine.swapaxes(1, 2).reshape(2, -1)[:, : self._number]

    def _prepare(self, time: float) -> None:
        """Put the bursts that are to be seen in the slot of a time below each other."""
        slot = math.floor(time / SLOT)
        if slot == self._slot:
            return
        near = range(slot - math.ceil(_LONGEST / SLOT), slot + 2)
        self._groups = {n: self._groups.get(n) or self._shapes(n) for n in near}
        seen = [s for n in near for s in self._groups[n] if s.begins < (slot + 1) * SLOT and s.ends > slot * SLOT]
        self._slot, self._origin = slot, slot * SLOT
        speed = np.array([s.speed for s in seen]).reshape(-1, self._frequency.size)
        # times are counted from the beginning of the slot: float32 is enough for them
        late = np.array([s.peak - self._origin for s in seen]).reshape(speed.shape)
        self._offset = (-late * speed - _EARLIEST * _STEPS).astype(np.float32)
        self._speed = speed.astype(np.float32)
        self._brightness = np.array([s.brightness for s in seen], np.float32).reshape(speed.shape)
        self._shares = np.array([[1.0] * len(seen), [s.polarization for s in seen]], np.float32)

    def _shapes(self, slot: int) -> list["_Shape"]:
        random = np.random.default_rng((self._seed, slot + 2**32, 1))
        return [_Shape(burst, self._frequency, random) for burst in self._plan.group(slot)]


class _Shape:
    """One burst at given frequencies.

    Attributes
    ----------
    peak : ndarray
        When it is brightest there, s.
    speed : ndarray
        Of its time profile there, steps of the table per s.
    brightness : ndarray
    begins, ends : float
        s.
    polarization : float
    """

    def __init__(self, burst: Burst, frequency: NDArray[np.float64], random: np.random.Generator) -> None:
        lasts = 0.75 * burst.length * (80 / frequency) ** 0.6  # s, e-folding
        self.peak = burst.start + _delay(frequency) / burst.speed
        self.speed = _STEPS / lasts
        self.polarization = burst.polarization
        upper = 1 / (1 + np.exp((frequency - burst.high) / 1.2))
        lower = 1 / (1 + np.exp((burst.low - frequency) / 1.2))
        colour = (frequency / 40) ** -0.8
        self.brightness = burst.strength * colour * upper * lower * _striae(frequency, random)
        seen = self.brightness > 1e-3
        self.begins = float((self.peak + _EARLIEST * lasts).min(where=seen, initial=math.inf))
        self.ends = float((self.peak + _LATEST * lasts).max(where=seen, initial=-math.inf))


def _burst(random: np.random.Generator, start: float) -> Burst:
    high = random.uniform(45, 100)
    return Burst(
        start=float(start),
        high=float(high),
        low=float(random.uniform(10, max(14.0, high - 35))),
        strength=float(min(30.0, 1.6 * np.exp(random.normal(0, 1.0)))),
        speed=float(random.uniform(0.7, 1.7)),
        length=float(random.uniform(0.6, 1.4)),
        polarization=float(random.uniform(-0.45, 0.45)),
    )


def _delay(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much later than at 90 MHz a usual burst comes, s."""
    power = 1 - _POWER
    return (frequency**power - 90**power) / (_DRIFT * -power)


def _profile() -> NDArray[np.float32]:
    """Return the brightness at one frequency over time, from nothing to nothing: a fast rise, a slower decay."""
    at = np.arange(_EARLIEST, _LATEST, 1 / _STEPS)
    light = np.where(at < 0, np.exp(-((at / 0.6) ** 2)), np.exp(-(at**2) / (0.4 + np.abs(at))))
    light *= np.clip((_LATEST - at) / 2, 0, 1)
    light[[0, -1]] = 0  # before and after the table
    return light.astype(np.float32)


def _striae(frequency: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return the fine structure along frequency, about 1."""
    waves = np.zeros_like(frequency)
    for period in (7.0, 3.1, 1.3, 0.6):  # MHz
        waves += 0.09 * np.sin(2 * np.pi * (frequency / period + random.uniform()))
    return 1 + waves
