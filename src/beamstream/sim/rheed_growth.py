"""How flat a growing surface is: layers that begin and close, disorder that stays, rest that heals."""

from bisect import bisect_right
from cmath import exp
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, pi

FLAT = 1 + 0j
"""The order of a surface without steps."""


@dataclass(frozen=True, slots=True)
class Kinetics:
    """Say how the order of a surface changes.

    The order is a complex number: its phase says how much of the top layer is there, its modulus how much the layers
    keep step. While the source is open it turns once a monolayer and shrinks; while the source is closed it goes back
    to 1. It is steady at every opening and closing, and its period in growth is ``1 / growth_rate`` exactly::

        open:    order(t) = order(0) · exp((2πi − 1/decay) · growth_rate · t)
        closed:  order(t) = 1 + (order(0) − 1) · exp(−t / recovery)

    Parameters
    ----------
    growth_rate : float
        Monolayers/s while the source is open; 0 is as if it were closed.
    decay : float
        Monolayers after which the oscillation has 1/e of its amplitude.
    recovery : float
        s of rest after which 1/e of the disorder is left.
    """

    growth_rate: float = 0.5
    decay: float = 25.0
    recovery: float = 4.0

    def __post_init__(self) -> None:
        if not (0 <= self.growth_rate < inf and self.decay > 0 and self.recovery > 0):
            raise ValueError(f"rheed: {self} asked for; the rate is at least 0, decay and recovery are more than 0")

    def after(self, order: complex, seconds: float, source_open: bool) -> complex:
        """Return the order so many seconds later."""
        if source_open and self.growth_rate:
            return order * exp((2j * pi - 1 / self.decay) * self.growth_rate * seconds)
        return FLAT + (order - FLAT) * exp(-seconds / self.recovery)


def disorder(order: complex) -> float:
    """Return 0 for a flat surface, 1 for one that is half covered; the specular spot loses light with it."""
    return (1 - order.real) / 2


class Growth:
    """Know the surface at any time, from when the source was open.

    Parameters
    ----------
    kinetics : Kinetics
    periods : sequence of (start, stop)
        s; in order, without overlap.

    Raises
    ------
    ValueError
        The periods overlap, or one ends before it begins.
    """

    def __init__(self, kinetics: Kinetics, periods: Sequence[tuple[float, float]]) -> None:
        check_periods(periods, "growth")
        self._kinetics = kinetics
        self._times: list[float] = [float("-inf")]
        self._orders = [FLAT]
        order, last = FLAT, 0.0
        for number, time in enumerate(time for period in periods for time in period):
            if number:
                order = kinetics.after(order, time - last, number % 2 == 1)
            self._times.append(time)
            self._orders.append(order)
            last = time

    def open(self, t: float) -> bool:
        """Return whether the source is open at this time, s."""
        return bisect_right(self._times, t) % 2 == 0

    def order(self, t: float) -> complex:
        """Return the order of the surface at this time, s; flat before the first growth."""
        last = bisect_right(self._times, t) - 1
        if last == 0:
            return FLAT
        return self._kinetics.after(self._orders[last], t - self._times[last], last % 2 == 1)

    def layers(self, t: float) -> float:
        """Return the monolayers that have grown until this time, s."""
        starts, stops = self._times[1::2], self._times[2::2]
        open_for = sum(max(0.0, min(t, stop) - start) for start, stop in zip(starts, stops, strict=True))
        return open_for * self._kinetics.growth_rate


def check_periods(periods: Sequence[tuple[float, float]], what: str) -> None:
    """Raise ValueError for periods that overlap, end before they begin, or never."""
    backwards = any(not start < stop < inf for start, stop in periods)
    if backwards or any(following[0] < period[1] for period, following in pairwise(periods)):
        raise ValueError(f"rheed: {what} {tuple(periods)} asked for; write (start, stop), … in order, without overlap")
