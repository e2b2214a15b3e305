"""The growth rate while a film grows: from the oscillation of intensities, as numbers of the same run."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from beamstream.callbacks.axes import settings_of
from beamstream.callbacks.derived import descriptor_of, event_of
from beamstream.callbacks.images import DERIVED, Emit, Source, wanted
from beamstream.callbacks.intensity import Region, checked_regions, intensities, refuse_outside
from beamstream.callbacks.work import FrameWork
from beamstream.frames import Frame
from beamstream.ops.growth_rate import GrowthRate as Rate
from beamstream.ops.growth_rate import growth_rate, rotation_harmonics, since_jump

_UNITS = {"growth_rate": "1/s", "growth_rate_sigma": "1/s", "growth_amplitude": "counts"}
_SET_BACK = 1.0  # s by which a clock goes back when it is another time; less is put in order
_HINTED = ("growth_rate", "growth_rate_sigma")


class GrowthRate:
    """Publish how fast layers grow, with the uncertainty, about once a second.

    Events of the stream ``<stream>_growth`` have for each region ``<detector>_<region>_growth_rate`` and
    ``…_growth_rate_sigma`` (1/s: oscillations, that is monolayers, a second) and ``…_growth_amplitude`` (counts); NaN
    while there is no oscillation. Rate and sigma are hinted: bluesky's BestEffortCallback plots them when it is in the
    same chain. How they are found, and what counts as an oscillation: `beamstream.ops.growth_rate`.

    Parameters
    ----------
    regions : Mapping of str to (first row, first column, rows, columns), optional
        Pixels; by default the whole image, called ``image``.
    window : float
        How much of the past a rate is made of, s; less after a jump, such as that of a shutter.
    period : float
        s between two events, by the detector's clock.
    band : tuple of float or None
        The slowest and the fastest rate, 1/s.
    rotations_per_min : float, optional
        Of the sample: it and its first four harmonics are no growth. By default what the detector's configuration
        says, if it says so.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    detectors : collection of str, optional
        Whose frames; all by default.

    Raises
    ------
    ValueError
        An option cannot be.
    """

    name = "growth_rate"
    required = False
    derives = True

    def __init__(
        self,
        regions: Mapping[str, Region] | None = None,
        *,
        window: float = 20.0,
        period: float = 1.0,
        band: tuple[float | None, float | None] = (None, None),
        rotations_per_min: float | None = None,
        stream: str = "raw",
        detectors: Collection[str] | None = None,
    ) -> None:
        if not (0 < period <= window and math.isfinite(window)):
            raise ValueError(f"growth rate: a window of {window} s, every {period} s; use 0 < period <= window")
        self.regions = checked_regions("growth rate", regions)
        self.window = window
        self.period = period
        self.band = band
        self.rotations_per_min = rotations_per_min
        self.stream = stream
        self.detectors = detectors

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "GrowthWork | None":
        """Begin with a run; not with one that takes darks or flats."""
        if start.get("purpose") == "reference":
            return None
        return GrowthWork(self, start, emit)


class GrowthWork(FrameWork):
    """What `GrowthRate` does for one run."""

    def __init__(self, of: GrowthRate, start: Mapping[str, Any], emit: Emit) -> None:
        super().__init__(of.name, start, emit, wanted(of.stream, of.detectors))
        self._of = of
        self._curves: dict[str, _Curves] = {}

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse regions that lie outside of the images."""
        refuse_outside(self.name, self._of.regions, descriptor, data_key)

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Publish the rates, when it is time."""
        curves = self._curves.get(source.data_key)
        if curves is None:
            curves = self._curves[source.data_key] = _Curves(self._of, source, frames[0].timestamp)
        values = intensities(frames, self._of.regions)
        times = [frame.timestamp for frame in frames]
        for stop in curves.due(times):
            curves.extend(times[:stop], {name: column[:stop] for name, column in values.items()})
            times, values = times[stop:], {name: column[stop:] for name, column in values.items()}
            self._tell(source, curves)
        curves.extend(times, values)

    def _tell(self, source: Source, curves: "_Curves") -> None:
        if curves.descriptor is None:
            curves.descriptor = self._describe(source, curves)
            self.emit("descriptor", curves.descriptor)
        data = {f"{source.name}_{key}": value for key, value in curves.numbers().items()}
        curves.published += 1
        event = event_of(curves.descriptor, curves.published, data)
        event["timestamps"] = dict.fromkeys(data, curves.end)
        self.emit("event", event)

    def _describe(self, source: Source, curves: "_Curves") -> dict[str, Any]:
        of, name = self._of, f"{source.name}_growth"
        about = {"source": f"derived from {source.data_key}", "dtype": "number", "shape": [], "precision": 4}
        keys = {
            f"{source.name}_{region}_{what}": {**about, "units": units}
            for region in of.regions
            for what, units in _UNITS.items()
        }
        made = {DERIVED: source.data_key, "window": of.window, "ignored": list(curves.ignore)}
        made |= {region: list(place) for region, place in of.regions.items() if place is not None}
        hinted = [key for key in keys if key.endswith(_HINTED)]
        stream = f"{source.descriptor.get('name', 'primary')}_growth"
        return descriptor_of(self.start, stream, {name: keys}, {name: made}, {name: hinted})


class _Curves:
    """The intensities of one detector's regions, as long as the window, and when to publish them."""

    def __init__(self, of: GrowthRate, source: Source, first: float) -> None:
        self.descriptor: dict[str, Any] | None = None
        self.published = 0
        self.end = first
        configured = settings_of(source.descriptor, source.data_key).get("rotations_per_min")
        speed = of.rotations_per_min if of.rotations_per_min is not None else configured
        self.ignore: Sequence[float] = rotation_harmonics(float(speed or 0.0))
        self._of = of
        self._due = first + of.period
        self._times = np.empty(0)
        self._values = {name: np.empty(0) for name in of.regions}

    def due(self, times: list[float]) -> list[int]:
        """Return after how many frames to publish, each counted from the one before."""
        found, begin = [], 0
        for number, time in enumerate(times, 1):
            if time < self._due - 2 * self._of.period:  # the clock was set back
                self._due = time + self._of.period
            if time >= self._due:
                self._due += self._of.period
                if self._due <= time:  # a pause
                    self._due = time + self._of.period
                found.append(number - begin)
                begin = number
        return found

    def extend(self, times: list[float], values: Mapping[str, list[float]]) -> None:
        """Take what is new, and forget what is older than the window."""
        if not times:
            return
        self.end = times[-1]
        together = np.concatenate([self._times, times])
        kept = together >= self.end - self._of.window
        (back,) = np.nonzero(np.diff(together) < -_SET_BACK)
        if len(back):  # begin anew
            kept[: back[-1] + 1] = False
        self._times = together[kept]
        for name, column in values.items():
            self._values[name] = np.concatenate([self._values[name], column])[kept]

    def numbers(self) -> dict[str, float]:
        """Return rate, sigma and amplitude of each region; NaN where nothing oscillates."""
        found = {}
        for name, values in self._values.items():
            first = since_jump(values)
            rate = growth_rate(self._times[first:], values[first:], band=self._of.band, ignore=self.ignore)
            numbers = (math.nan,) * 3 if rate is None else _of(rate)
            found |= {f"{name}_{what}": number for what, number in zip(_UNITS, numbers, strict=True)}
        return found


def _of(rate: Rate) -> tuple[float, float, float]:
    return rate.rate, rate.sigma, rate.amplitude
