"""The spectrum of an intensity curve, and where its highest peak is."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from beamstream.ops.damped_fit import Array, background, left_over

FEWEST = 16
"""Values of which a spectrum is made, at least."""
_PADDING = 4
_BELOW = 0.01  # of the power of what is slower: less may be its leakage


def spectrum(times: ArrayLike, intensities: ArrayLike, ignore: Sequence[float] = ()) -> tuple[Array, Array]:
    """Return frequencies (1/s) and amplitudes (counts) of an intensity that is freed of a parabola.

    Hann window, four times as fine as the record is long. Empty where there are too few values.

    Parameters
    ----------
    times, intensities, ignore
        See `growth_rate`.
    """
    t, y = clean(times, intensities)
    if len(t) < FEWEST:
        return np.empty(0), np.empty(0)
    t = t - t[0]
    frequencies, power, weights = _transformed(t, left_over(background(t, tuple(f for f in ignore if f > 0)), y))
    return frequencies, 2 * np.sqrt(power) / weights.sum()


def clean(times: ArrayLike, intensities: ArrayLike) -> tuple[Array, Array]:
    """Return the values that are finite, each of a time of its own, in the order of the times.

    Raises
    ------
    ValueError
        Times and intensities are not as many.
    """
    t, y = np.asarray(times, np.float64), np.asarray(intensities, np.float64)
    if t.shape != y.shape or t.ndim != 1:
        raise ValueError(f"growth rate: times of shape {t.shape} and intensities of shape {y.shape}; give one of each")
    there = np.isfinite(t) & np.isfinite(y)
    t, y = t[there], y[there]
    if (np.diff(t) < 0).any():  # clocks are set back by milliseconds, now and then
        order = np.argsort(t, kind="stable")
        t, y = t[order], y[order]
    fresh = np.diff(t, prepend=-np.inf) > 0
    return t[fresh], y[fresh]


def peak(t: Array, y: Array, low: float, high: float, ignore: tuple[float, ...]) -> float | None:
    """Return the frequency of the highest peak from `low` to `high`, between the points of the spectrum.

    None where the values do not change, or nothing but leakage of what is slower is there.
    """
    t = t - t[0]
    rest = left_over(background(t, ignore), y)
    if not rest.any() or float(np.abs(rest).max()) <= 1e-12 * float(np.abs(y).max()):
        return None
    frequencies, power, _ = _transformed(t, rest)
    inner = power[1:-1]
    peaks = 1 + np.flatnonzero((inner >= power[:-2]) & (inner > power[2:]))
    peaks = peaks[(frequencies[peaks] >= low) & (frequencies[peaks] <= high)]
    if not len(peaks):
        return None
    top = peaks[np.argmax(power[peaks])]
    if power[top] < _BELOW * power[:top].max():
        return None
    before, here, after = np.log(power[top - 1 : top + 2] + 1e-300)
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float((top + shift) * frequencies[1])


def _transformed(t: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return frequencies, the squared Hann-windowed transform of even values through these, and the window."""
    number = round((t[-1] - t[0]) / float(np.median(np.diff(t)))) + 1
    number = min(max(number, FEWEST), 4 * len(t))
    even = np.interp(np.linspace(t[0], t[-1], number), t, y)
    weights = np.hanning(number + 2)[1:-1]
    length = 1 << math.ceil(math.log2(_PADDING * number))
    power = np.abs(np.fft.rfft(even * weights, length)) ** 2
    return np.fft.rfftfreq(length, (t[-1] - t[0]) / (number - 1)), power, weights
