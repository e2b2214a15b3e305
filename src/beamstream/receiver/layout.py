"""Where spectra lie in a waterfall: a row each, rows left out where some are missing, times beside them."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 21600, 43200, 86400)
"""Between labels, s."""
_PAUSE, _LEAST_PAUSE = 5.0, 2.0  # times the cadence, and s: longer, and it is a gap though no number is missing
_LONGEST = 0.04  # of all rows: what a gap takes at most
_BACK = 0.03  # of all rows: what a clock that was set back takes


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of time without spectra.

    Parameters
    ----------
    row, number : int
        The first of its empty rows, and how many they are.
    seconds : float
        How long it was; below 0 where the clock was set back.
    cut : bool
        Whether it has another number of rows than spectra are missing.
    """

    row: int
    number: int
    seconds: float
    cut: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a waterfall, the oldest spectrum in row 0.

    Parameters
    ----------
    rows : ndarray of int, shape (n,)
        Of each spectrum.
    number : int
        Of rows.
    gaps : tuple of Gap
    """

    rows: NDArray[np.int64]
    number: int
    gaps: tuple[Gap, ...]


def cadence(times: NDArray[np.float64]) -> float:
    """Return the usual time between spectra, s; 0 where there are too few to say."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else 0.0


def arrange(times: NDArray[np.float64], unique_ids: NDArray[np.int64]) -> Layout:
    """Give each spectrum a row, and each gap as many as there are spectra missing, but never much of the picture.

    Spectra are missing where numbers are, or where the time between two is long although no number is missing (the
    publisher was away, or started again). Where time runs back there is a gap as well.
    """
    if not times.size:
        return Layout(np.empty(0, np.int64), 0, ())
    usual = cadence(times)
    steps = np.diff(times)
    missing = np.maximum(0, np.diff(unique_ids) - 1)
    long = steps > max(_PAUSE * usual, _LEAST_PAUSE)
    missing[long] = np.maximum(missing[long], np.rint(steps[long] / usual).astype(np.int64) - 1)
    given = np.minimum(missing, max(2, math.ceil(_LONGEST * times.size)))
    given[steps < 0] = math.ceil(_BACK * times.size)
    rows = np.concatenate(([0], np.cumsum(given + 1)))
    gaps = [
        Gap(int(rows[i]) + 1, int(given[i]), float(steps[i]), bool(given[i] != missing[i])) for i in given.nonzero()[0]
    ]
    return Layout(rows, int(rows[-1]) + 1, tuple(gaps))


def labels(times: NDArray[np.float64], layout: Layout, most: int = 10) -> tuple[list[float], list[str]]:
    """Return about so many rows at round times, and the times, UTC; none within a gap that is cut short."""
    borders = np.searchsorted(layout.rows, [gap.row for gap in layout.gaps if gap.cut])
    stretches = list(zip(np.split(times, borders), np.split(layout.rows, borders), strict=True))
    shown = float(sum(t[-1] - t[0] for t, _ in stretches))
    step = next((s for s in _STEPS if shown <= s * most), _STEPS[-1])
    places: list[float] = []
    texts: list[str] = []
    for t, rows in stretches:
        at = np.arange(math.ceil(t[0] / step), math.floor(t[-1] / step) + 1)[: 2 * most] * step
        places += np.interp(at, t, rows).tolist()
        texts += [clock(moment, step) for moment in at.tolist()]
    return places, texts


def clock(seconds: float, step: float) -> str:
    """Return the time of day in UTC, as finely as steps of so many s ask for."""
    return _utc(seconds, "%H:%M:%S", 0 if step >= 1 else 1)


def date_and_time(seconds: float) -> str:
    """Return date and time in UTC, to the millisecond."""
    return _utc(seconds, "%Y-%m-%d %H:%M:%S", 3)


def _utc(seconds: float, form: str, digits: int) -> str:
    try:
        when = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # the clock that sent it is wrong
        return "unknown time"
    return when.strftime(form) + (f".{when.microsecond:06d}"[: digits + 1] if digits else "")


def duration(seconds: float) -> str:
    """Return a time span as people say it: ``12 h 03 min``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
