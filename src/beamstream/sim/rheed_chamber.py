"""The chamber of a simulated growth, live: what was switched goes on until it is switched again."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from beamstream.sim.rheed import RheedSpec
from beamstream.sim.rheed_growth import FLAT, Kinetics, disorder

_REMEMBERED = 64  # switches


@dataclass(frozen=True, slots=True)
class Condition:
    """Say how the chamber is at one time, and how it goes on; `at` says how it will be.

    Parameters
    ----------
    time : float
        s since 1970-01-01 UTC.
    source_open : bool
    kinetics : Kinetics
    rotation : float
        Turns/min; negative is the other way.
    setpoint : float
        °C that the temperature goes to.
    ramp_rate : float
        °C/s; 0 holds the temperature.
    azimuth : float
        Degrees from 0 to 360.
    temperature : float
        °C.
    layers : float
        Monolayers that have grown.
    order : complex
        Of the surface; see `Kinetics`.
    """

    time: float
    source_open: bool = False
    kinetics: Kinetics = Kinetics()  # noqa: RUF009, it is frozen
    rotation: float = 0.0
    setpoint: float = 25.0
    ramp_rate: float = 5.0
    azimuth: float = 0.0
    temperature: float = 25.0
    layers: float = 0.0
    order: complex = FLAT

    @property
    def disorder(self) -> float:
        """0 for a flat surface, 1 for one that is half covered."""
        return disorder(self.order)

    def at(self, time: float) -> "Condition":
        """Return the condition at a later time; an earlier one is as this one."""
        seconds = max(0.0, time - self.time)
        step = self.ramp_rate * seconds
        return replace(
            self,
            time=max(time, self.time),
            azimuth=(self.azimuth + 6 * self.rotation * seconds) % 360.0,
            temperature=min(max(self.setpoint, self.temperature - step), self.temperature + step),
            layers=self.layers + self.source_open * self.kinetics.growth_rate * seconds,
            order=self.kinetics.after(self.order, seconds, self.source_open),
        )


class Chamber:
    """Follow what is switched, by a clock; any thread may switch and look.

    Parameters
    ----------
    clock : callable
        Returns s since 1970-01-01 UTC: the clock that stamps the frames.
    spec : RheedSpec
        How it begins: surface, rates, azimuth; the source is closed.
    """

    def __init__(self, clock: Callable[[], float], spec: RheedSpec) -> None:
        self.spec = spec
        self._clock = clock
        self._lock = threading.Lock()
        first = Condition(
            clock(), kinetics=spec.kinetics, rotation=spec.rotations_per_min, azimuth=spec.azimuth % 360.0
        )
        self._switched = (first,)  # oldest first; replaced as a whole, so that it can be read without the lock

    def switch(self, **changes: Any) -> None:
        """Change fields of the condition now; `growth_rate` is one of them."""
        with self._lock:
            now = self.now()
            if "growth_rate" in changes:
                changes["kinetics"] = replace(now.kinetics, growth_rate=changes.pop("growth_rate"))
            self._switched = (*self._switched[-_REMEMBERED:], replace(now, **changes))

    def at(self, time: float) -> Condition:
        """Return the condition at this time, also when it is before the last switches: frames can be late."""
        switched = self._switched
        return next((then for then in reversed(switched) if then.time <= time), switched[0]).at(time)

    def now(self) -> Condition:
        """Return the condition at this moment."""
        return self.at(self._clock())
