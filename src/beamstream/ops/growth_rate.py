"""The rate of layer-by-layer growth, from the oscillation of a RHEED intensity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from beamstream.ops.damped_fit import Array, DampedFit, fit_damped
from beamstream.ops.periodogram import FEWEST, clean, peak

_PERIODS = 2.5  # in the record, at least
_POINTS = 512  # that are fitted, about, where there are many more
_A_PERIOD = 8  # points in a period, at least


@dataclass(frozen=True, slots=True)
class GrowthRate:
    """How fast layers grow, and how sure that is.

    Attributes
    ----------
    rate : float
        Oscillations a second: monolayers a second, where one layer is one oscillation.
    sigma : float
        Its standard deviation, 1/s.
    amplitude : float
        Of the oscillation in the middle of the record, counts.
    decay : float
        How fast the amplitude falls, 1/s; below 0 where it grows.
    phase : float
        At the last value, turns: 0 is a maximum, 0.5 a minimum.
    snr : float
        Amplitude over the standard deviation of what is left of a value.
    false_alarm : float
        How probable it is that noise looks like this anywhere in the band.
    """

    rate: float
    sigma: float
    amplitude: float
    decay: float
    phase: float
    snr: float
    false_alarm: float

    def __str__(self) -> str:
        digits = min(6, max(0, 1 - math.floor(math.log10(self.sigma)))) if self.sigma > 0 else 4
        return f"{self.rate:.{digits}f} ± {self.sigma:.{digits}f} 1/s"


def growth_rate(
    times: ArrayLike,
    intensities: ArrayLike,
    *,
    band: tuple[float | None, float | None] = (None, None),
    ignore: Sequence[float] = (),
    false_alarm: float = 1e-3,
) -> GrowthRate | None:
    """Measure the frequency of an intensity oscillation, with its uncertainty; None where there is none.

    The record is freed of a parabola, multiplied with a Hann window, padded with zeros to four times its length and
    transformed; a parabola through the logarithms of the highest peak and its neighbours says where to start. From
    there ``parabola + exp(-d t) A cos(2 pi f t + p)`` is fitted by least squares to the values at their true times
    (`fit_damped`), so uneven times and lost frames do no harm.

    The uncertainty is the one of the least-squares fit, which for an undamped oscillation is the bound of Cramér and
    Rao, ``sigma_f = sqrt(6) s / (pi A T sqrt(N))`` (Rife and Boorstyn, IEEE Trans. Inf. Theory 20, 591, 1974). Its s
    is not only the scatter of the residuals, but the larger one of that and their spectral density around f: slow
    wandering or a rate that changes within the record make the uncertainty larger.

    An oscillation is one if its power over that density would arise by chance somewhere in the band with a
    probability below `false_alarm`, if it is a maximum of the spectrum, has 2.5 periods, and does not change by more
    than a factor of e within one.

    Parameters
    ----------
    times : array_like, shape (n,)
        s, of any origin and in any order.
    intensities : array_like, shape (n,)
        Counts, of any type; values that are not finite are left out.
    band : tuple of float or None
        The slowest and the fastest rate to look for, 1/s; from 2.5 periods in the record to 0.8 of the Nyquist
        frequency by default.
    ignore : sequence of float
        Frequencies that are no growth, 1/s: of the rotation and its harmonics.
    false_alarm : float

    Raises
    ------
    ValueError
        Times and intensities are not as many.

    Examples
    --------
    Of a run in the archive that had `beamstream.callbacks.intensity.Intensity` among its callbacks:

    >>> curve = connect("archive")[-1]["primary_intensity"]
    >>> times, spot = curve["camera_intensity_time"][:], curve["camera_spot_intensity"][:]
    >>> print(growth_rate(times, spot))
    0.5002 ± 0.0004 1/s
    >>> at, rates, sigmas = growth_rates(times, spot, window=20)
    """
    t, y = clean(times, intensities)
    if len(t) < FEWEST:
        return None
    low, high = _limits(t, band)
    skip = tuple(f for f in ignore if f > 0)
    start = peak(t, y, low, high, skip)
    if start is None:
        return None
    origin = t[0]
    fit = fit_damped(*_thinned(t - origin, y, start), start, skip)
    if fit is None or not low <= fit.frequency <= high or abs(fit.decay) > fit.frequency:
        return None
    length = float(t[-1] - origin)
    found = _judged(fit, length, (high - low) * length)
    return found if found.false_alarm < false_alarm and math.isfinite(found.sigma) else None


def since_jump(intensities: ArrayLike) -> int:
    """Return the index from which on an intensity has not jumped: where a shutter moved last.

    A jump is a change within two frames that is more than 0.4 of the whole span, and 12 times what is usual;
    single frames that stand out are none. Oscillations with 15 and more frames a period are none either.
    """
    y = np.asarray(intensities, np.float64)
    there = np.isfinite(y)
    if there.sum() < FEWEST:
        return 0
    y = np.where(there, y, np.median(y[there]))
    calm = np.median([y[:-2], y[1:-1], y[2:]], axis=0)
    change = np.abs(calm[2:] - calm[:-2])
    most = max(0.4 * float(np.ptp(calm)), 12 * float(np.median(change)), 1e-9 * float(np.abs(y).max()))
    (jumps,) = np.nonzero(change > most)
    return int(jumps[-1]) + 3 if len(jumps) else 0


def rotation_harmonics(rotations_per_min: float, harmonics: int = 4) -> tuple[float, ...]:
    """Return the frequencies at which a rotating sample changes intensities, 1/s: what `growth_rate` is to ignore."""
    turns = abs(rotations_per_min) / 60
    return tuple(turns * k for k in range(1, harmonics + 1)) if turns else ()


def growth_rates(
    times: ArrayLike,
    intensities: ArrayLike,
    *,
    window: float = 20.0,
    every: float = 1.0,
    band: tuple[float | None, float | None] = (None, None),
    ignore: Sequence[float] = (),
    false_alarm: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Follow the rate through a record: of the last `window` seconds, `every` so many, since the last jump.

    Returns
    -------
    times, rates, sigmas : ndarray of float64
        s (the end of each window), 1/s, 1/s; NaN where there is no oscillation.
    """
    t, y = clean(times, intensities)
    if len(t) < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    ends = t[0] + every * np.unique(np.ceil((t[1:] - t[0]) / every))  # where there are values: a clock may jump
    rows = []
    for end in ends:
        first, stop = np.searchsorted(t, (end - window, end), side="right")
        part = slice(first + since_jump(y[first:stop]), stop)
        found = growth_rate(t[part], y[part], band=band, ignore=ignore, false_alarm=false_alarm)
        rows.append((math.nan, math.nan) if found is None else (found.rate, found.sigma))
    rates, sigmas = np.array(rows).reshape(-1, 2).T
    return ends, rates, sigmas


def _limits(t: Array, band: tuple[float | None, float | None]) -> tuple[float, float]:
    """Return the slowest and the fastest frequency that this record can show."""
    slowest, fastest = _PERIODS / (t[-1] - t[0]), 0.4 / float(np.median(np.diff(t)))
    return max(slowest, band[0] or 0.0), min(fastest, band[1] or math.inf)


def _thinned(t: Array, y: Array, frequency: float) -> tuple[Array, Array]:
    """Return means of neighbours where there are many more values than an oscillation needs."""
    each = min(len(t) // _POINTS, int(len(t) / (t[-1] * frequency * _A_PERIOD)))
    if each < 2:
        return t, y
    whole = len(t) // each * each
    return t[:whole].reshape(-1, each).mean(axis=1), y[:whole].reshape(-1, each).mean(axis=1)


def _judged(fit: DampedFit, end: float, places: float) -> GrowthRate:
    """Return what a fit says; `places` is how many frequencies of the band could have looked like this one."""
    freedom = len(fit.residuals) - fit.parameters
    scatter = float(fit.residuals @ fit.residuals) / freedom
    density, bins = _density(fit, scatter)
    noise = max(scatter, density)
    if noise > 0:
        freedom = min(freedom, 2 * bins)
        chance = math.exp(-freedom / 2 * math.log1p(fit.explained / noise / freedom))
    else:
        chance = 0.0
    amplitude = math.hypot(fit.cosine, fit.sine)
    turns = fit.frequency * (end - fit.middle) - math.atan2(fit.sine, fit.cosine) / (2 * math.pi)
    return GrowthRate(
        rate=fit.frequency,
        sigma=math.sqrt(noise * fit.variance),
        amplitude=amplitude,
        decay=fit.decay,
        phase=turns % 1.0,
        snr=amplitude / math.sqrt(scatter) if scatter > 0 else math.inf,
        false_alarm=min(1.0, max(1.0, places) * chance),
    )


def _density(fit: DampedFit, scatter: float) -> tuple[float, int]:
    """Return the power of the residuals around the frequency, as the variance that white noise had, and of how many."""
    weights = np.hanning(len(fit.residuals) + 2)[1:-1]
    power = np.abs(np.fft.rfft(fit.residuals * weights)) ** 2 / (weights @ weights)  # as if even: noise stays noise
    periods, place = fit.frequency * 2 * fit.middle, np.arange(len(power))
    distance = np.abs(place - periods)
    near = (distance >= 1) & (distance <= max(5.0, periods / 2)) & (place >= 2)
    bins = int(near.sum())
    return (float(power[near].mean()), bins) if bins else (scatter, 1)
