"""What a growth shows at a glance: the last minutes of intensities, rates and line profiles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.growth_rate import GrowthRate, growth_rate, rotation_harmonics, since_jump
from beamstream.ops.periodogram import spectrum

Array = NDArray[np.float64]

_EVERY = 1.0  # s between two rates
_SET_BACK = 1.0  # s
_MOST_PLACES = 500  # of a profile
_LINES = 1200  # kept of each strip


@dataclass(frozen=True, slots=True)
class Search:
    """How a rate is looked for; see `beamstream.ops.growth_rate.growth_rate`."""

    window: float = 20.0
    band: tuple[float | None, float | None] = (None, None)
    rotations_per_min: float = 0.0

    @property
    def ignore(self) -> tuple[float, ...]:
        """Frequencies that are no growth, 1/s."""
        return rotation_harmonics(self.rotations_per_min)


class GrowthCurve:
    """The intensities of one detector's regions, and the rates that the first of them shows.

    Parameters
    ----------
    search : Search
    history : float
        s that are kept.

    Attributes
    ----------
    times : ndarray of float64
        s since 1970-01-01 UTC.
    values : dict of str to ndarray of float64
        Counts, by region.
    rate : GrowthRate or None
        The newest.
    rates : ndarray of float64, shape (n, 3)
        Times, rates, sigmas.
    """

    def __init__(self, search: Search, history: float) -> None:
        self.search = search
        self.times: Array = np.empty(0)
        self.values: dict[str, Array] = {}
        self.rate: GrowthRate | None = None
        self.rates: Array = np.empty((0, 3))
        self._history = history

    @property
    def first(self) -> str:
        """The region whose oscillation counts."""
        return next(iter(self.values), "")

    def add(self, times: Array, values: Mapping[str, Array]) -> None:
        """Take what is new, and look for the rate where it is time."""
        if not len(times):
            return
        together = np.concatenate([self.times, times])
        values = {name: np.concatenate([self.values.get(name, np.empty(0)), new]) for name, new in values.items()}
        first = _begin(together)
        if first:
            self.rates = np.empty((0, 3))
        together, values = together[first:], {name: column[first:] for name, column in values.items()}
        order = np.argsort(together, kind="stable")
        together, values = together[order], {name: column[order] for name, column in values.items()}
        begin = self.rates[-1, 0] if len(self.rates) else together[0]
        begin = max(begin, together[-1] - self._history)  # a clock may jump by years
        ends = np.arange(begin + _EVERY, together[-1], _EVERY)
        main = values[next(iter(values))]
        rows = [self._measured(together, main, end) for end in ends]
        old = np.searchsorted(together, together[-1] - self._history)
        self.times, self.values = together[old:], {name: kept[old:] for name, kept in values.items()}
        rates = np.concatenate([self.rates, np.reshape(rows, (-1, 3))])
        self.rates = rates[rates[:, 0] >= self.times[0]]

    def _measured(self, times: Array, values: Array, end: float) -> tuple[float, float, float]:
        first, stop = np.searchsorted(times, (end - self.search.window, end), side="right")
        first += since_jump(values[first:stop])
        found = growth_rate(times[first:stop], values[first:stop], band=self.search.band, ignore=self.search.ignore)
        self.rate = found
        return (end, math.nan, math.nan) if found is None else (end, found.rate, found.sigma)

    def spectrum(self) -> tuple[Array, Array]:
        """Return frequencies (1/s) and amplitudes (counts) of the window."""
        first = int(np.searchsorted(self.times, self.times[-1] - self.search.window)) if len(self.times) else 0
        values = self.values[self.first][first:] if self.values else np.empty(0)
        jump = since_jump(values)
        return spectrum(self.times[first + jump :], values[jump:], self.search.ignore)


class StripLines:
    """The last line profiles of one strip, at most so many that a picture can show them."""

    def __init__(self, history: float) -> None:
        self.lines: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.times: Array = np.empty(0)
        self._history = history

    def add(self, times: Array, lines: NDArray[Any]) -> None:
        """Take profiles, shape (n, places); those that are close in time are averaged."""
        if not len(times):
            return
        lines = _narrowed(lines)
        slots = np.floor(times / (self._history / _LINES))
        begins = np.flatnonzero(np.diff(slots, prepend=-math.inf))
        counts = np.diff(begins, append=len(times))
        means = (np.add.reduceat(lines, begins, axis=0) / counts[:, None]).astype(np.float32)
        fits = self.lines.shape[1] == means.shape[1]
        together = np.concatenate([self.times if fits else [], times[begins]])
        kept = np.concatenate([self.lines, means]) if fits else means
        first = _begin(together)
        together, kept = np.maximum.accumulate(together[first:]), kept[first:]
        old = max(0, len(together) - _LINES, int(np.searchsorted(together, together[-1] - self._history)) - 1)
        self.times, self.lines = together[old:], kept[old:].astype(np.float32, copy=False)

    def image(self, moments: Array) -> NDArray[np.float32]:
        """Return what was the last profile at each of some moments, shape (places, moments); NaN before the first."""
        rows = np.searchsorted(self.times, moments, side="right") - 1
        image = self.lines[np.maximum(rows, 0)].T.copy()
        image[:, rows < 0] = np.nan
        return image


def stacked(images: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], list[float]]:
    """Return images below each other with a gap between, and the middle row of each."""
    gap = max(2, len(images[0]) // 60)
    empty = np.full((gap, images[0].shape[1]), np.nan, np.float32)
    parts: list[NDArray[np.float32]] = []
    middles, row = [], 0
    for image in images:
        if parts:
            parts.append(empty)
            row += gap
        parts.append(image)
        middles.append(row + (len(image) - 1) / 2)
        row += len(image)
    return np.concatenate(parts), middles


def _begin(times: Array) -> int:
    """Return from where on times are of one clock: one that was set back by milliseconds is the same."""
    (back,) = np.nonzero(np.diff(times) < -_SET_BACK)
    return int(back[-1]) + 1 if len(back) else 0


def _narrowed(lines: NDArray[Any]) -> NDArray[np.float32]:
    """Return profiles of at most so many places as a picture can show, means of neighbours."""
    factor = -(-lines.shape[1] // _MOST_PLACES)
    width = lines.shape[1] // factor
    return lines[:, : width * factor].reshape(len(lines), width, factor).mean(axis=2, dtype=np.float32)
