"""Fit a damped oscillation on a slow background, by least squares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS = 30
_HALVINGS = 6
_FAR = 1.0  # periods in the record that a frequency may move from where the spectrum has its peak
_STEEP = 12.0  # largest decay, in units of 1 / length of the record
_ENOUGH = 1e-9


@dataclass(frozen=True, slots=True)
class DampedFit:
    """What was fitted.

    Attributes
    ----------
    frequency : float
        1 / unit of the times.
    decay : float
        1 / unit of the times; below 0 where the oscillation grows.
    cosine, sine : float
        Amplitudes in the middle of the record, which is where the phase is zero.
    middle : float
        That time.
    residuals : ndarray of float64
        What is left of each value.
    explained : float
        How much less the sum of the squared residuals is for the oscillation, beside the background.
    variance : float
        Of the frequency, where the variance of each value is 1.
    parameters : int
        How many were fitted.
    """

    frequency: float
    decay: float
    cosine: float
    sine: float
    middle: float
    residuals: Array
    explained: float
    variance: float
    parameters: int


def background(times: Array, ignore: tuple[float, ...] = (), degree: int = 2) -> Array:
    """Return the columns of a slow background: a polynomial, and oscillations that are none of growth.

    Parameters
    ----------
    times : ndarray of float64, shape (n,)
    ignore : tuple of float
        Frequencies, such as that of the rotation.
    degree : int
        Of the polynomial.

    Returns
    -------
    ndarray of float64, shape (n, degree + 1 + 2 len(ignore))
    """
    middle, length = (times[0] + times[-1]) / 2, times[-1] - times[0]
    u = (times - middle) / length
    turns = [2 * np.pi * f * (times - middle) for f in ignore]
    return np.column_stack([u**k for k in range(degree + 1)] + [wave(t) for t in turns for wave in (np.cos, np.sin)])


def left_over(columns: Array, values: Array) -> Array:
    """Return what columns do not explain."""
    return values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]


def fit_damped(times: Array, values: Array, start: float, ignore: tuple[float, ...] = ()) -> DampedFit | None:
    """Fit ``background + exp(-decay t) (a cos(2 pi f t) + b sin(2 pi f t))``, t from the middle of the record.

    Gauss-Newton on frequency and decay; what is linear is solved for at each step (variable projection, Golub and
    Pereyra, SIAM J. Numer. Anal. 10, 413, 1973, in Kaufman's simplification).

    Parameters
    ----------
    times, values : ndarray of float64, shape (n,)
        Times ascend and need not be even.
    start : float
        A frequency that is right to about 1 / length of the record.
    ignore : tuple of float
        Further frequencies that oscillate.

    Returns
    -------
    DampedFit or None
        None where no frequency near the start fits.
    """
    length, middle = float(times[-1] - times[0]), float(times[0] + times[-1]) / 2
    u = (times - middle) / length
    slow = background(times, ignore)
    periods, decay = start * length, 0.0
    columns, linear, rest = _solved(u, slow, values, periods, decay)
    for _ in range(_STEPS):
        slopes = _slopes(u, columns, linear)
        step = np.linalg.lstsq(np.column_stack([columns, slopes]), rest, rcond=None)[0][-2:]
        for halving in range(_HALVINGS):
            tried = periods + step[0] * 0.5**halving, float(np.clip(decay + step[1] * 0.5**halving, -_STEEP, _STEEP))
            solved = _solved(u, slow, values, *tried)
            if solved[2] @ solved[2] <= rest @ rest:
                break
        else:
            break
        moved = abs(tried[0] - periods) + abs(tried[1] - decay)
        (periods, decay), (columns, linear, rest) = tried, solved
        if not abs(periods - start * length) <= _FAR:
            return None
        if moved < _ENOUGH:
            break
    whole = np.column_stack([columns, _slopes(u, columns, linear)])
    variance = _variance(whole)
    without = left_over(slow, values)
    return DampedFit(
        frequency=float(periods) / length,
        decay=float(decay) / length,
        cosine=float(linear[-2]),
        sine=float(linear[-1]),
        middle=middle,
        residuals=rest,
        explained=float(without @ without - rest @ rest),
        variance=variance / length**2,
        parameters=whole.shape[1],
    )


def _solved(u: Array, slow: Array, values: Array, periods: float, decay: float) -> tuple[Array, Array, Array]:
    """Return the columns for a frequency and a decay, their best amplitudes, and what is left."""
    fading, turns = np.exp(-decay * u), 2 * np.pi * periods * u
    columns = np.column_stack([slow, fading * np.cos(turns), fading * np.sin(turns)])
    linear = np.asarray(np.linalg.lstsq(columns, values, rcond=None)[0], np.float64)
    return columns, linear, values - columns @ linear


def _slopes(u: Array, columns: Array, linear: Array) -> Array:
    """Return how the model changes with the frequency and with the decay."""
    cosine, sine, (a, b) = columns[:, -2], columns[:, -1], linear[-2:]
    return np.column_stack([2 * np.pi * u * (b * cosine - a * sine), -u * (a * cosine + b * sine)])


def _variance(slopes: Array) -> float:
    """Return the diagonal element of the inverse of the normal equations that belongs to the frequency."""
    scale = np.linalg.norm(slopes, axis=0)
    if not scale.all():
        return np.inf
    right = np.linalg.qr(slopes / scale, mode="r")
    if np.abs(np.diag(right)).min() < 1e-12:
        return np.inf
    inverse = np.linalg.inv(right)
    return float((inverse[-2] @ inverse[-2]) / scale[-2] ** 2)
