"""Means over time: gulps of spectra in, one average for each interval of the data's own time out."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beamstream.errors import SinkError
from beamstream.spectra_wire import MOST_BYTES

_LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # s, that a header can still write
_TOLERANCE = 1 / 20  # of a step: what rounding to microseconds does to the times of samples


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of some time samples.

    Parameters
    ----------
    values : ndarray of little-endian float32, shape (n_beams, n_channels, n_polarizations)
        C order, in memory of its own.
    samples : int
        How many are in it.
    last_time : float
        Of the last of them, s since 1970-01-01 UTC.
    whole : bool
        Whether the interval was over; not at the end of the data, and before a gap in it.
    """

    values: NDArray[np.float32]
    samples: int
    last_time: float
    whole: bool


class TimeAverage:
    """Average the samples of each interval of data time, summed up in float64.

    An interval begins with its first sample. A sample that comes an interval or more later begins the next one, and
    so does one that is older than the sample before: no mean reaches over a gap or a restart of the data.

    Parameters
    ----------
    interval : float
        s; `math.inf` to average until `take`.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._total = np.empty(0)
        self._begin = self._last = -math.inf
        self._step = math.inf  # the shortest between samples that came without a step
        self.samples = 0
        """In the average that is being made."""

    def add(self, gulp: ArrayLike, start: float, step: float | None = None) -> list[Average]:
        """Take samples in; return the averages that are complete with them, oldest first.

        Parameters
        ----------
        gulp : ndarray, shape (n_times, n_beams, n_channels, n_polarizations)
            Real numbers of any type, only read.
        start : float
            Time of the first sample, s since 1970-01-01 UTC.
        step : float, optional
            From one sample to the next, s. A gulp of one sample can do without: then it is as long as the shortest
            time between two of them so far, and where that is too short, an average is complete a sample later.

        Raises
        ------
        SinkError
            The spectra have another shape than before; nothing of the gulp was taken.
        ValueError
            It is no gulp, or the times are none.
        """
        values = self._checked(np.asarray(gulp))
        step = self._checked_step(len(values), start, step)
        made: list[Average] = []
        first = 0
        while first < len(values):
            time = start + first * step
            if self.samples and (time < self._last or time >= self._end(step)):
                made.append(self._taken())
            if not self.samples:
                self._begin = time
            count = self._count(len(values) - first, time, step)
            self._include(values[first : first + count])
            self._last = time + (count - 1) * step
            first += count
            if self._last + step >= self._end(step):
                made.append(self._taken())
        return made

    def take(self) -> Average | None:
        """Return the average of what came since the last one; None if nothing did."""
        return self._taken() if self.samples else None

    def _end(self, step: float) -> float:
        return self._begin + self._interval - step * _TOLERANCE

    def _count(self, left: int, time: float, step: float) -> int:
        """Return how many of the samples that are left belong to this average, at least one."""
        fit = (self._end(step) - time) / step if step else math.inf
        return left if fit >= left else max(1, math.ceil(fit))

    def _include(self, values: NDArray[Any]) -> None:
        if self._total.shape != values.shape[1:]:
            self._total = np.zeros(values.shape[1:])
        with np.errstate(all="ignore"):  # infinities and NaN pass through
            self._total += values.sum(axis=0, dtype=np.float64)
        self.samples += len(values)

    def _taken(self) -> Average:
        with np.errstate(all="ignore"):  # beyond float32 is infinity
            values = (self._total / self.samples).astype("<f4", order="C")
        step = 0.0 if math.isinf(self._step) else self._step
        made = Average(values, self.samples, self._last, self._last + step >= self._end(step))
        self._total[:] = 0
        self.samples = 0
        return made

    def _checked(self, gulp: NDArray[Any]) -> NDArray[Any]:
        if gulp.dtype.kind not in "buif" or gulp.ndim != 4 or not all(gulp.shape[1:]):
            raise ValueError(
                f"gulp: {gulp.dtype} of shape {gulp.shape} given; "
                "give real numbers of shape (n_times, n_beams, n_channels, n_polarizations)"
            )
        shape = gulp.shape[1:]
        if self._total.size and shape != self._total.shape:
            was, now = (" × ".join(map(str, one)) for one in (self._total.shape, shape))
            raise SinkError(f"gulp: spectra of {now} given, they were {was}; publish them from another publisher")
        if 4 * math.prod(shape) > MOST_BYTES:
            raise ValueError(f"gulp: spectra of {4 * math.prod(shape)} bytes given, {MOST_BYTES} are understood")
        return gulp

    def _checked_step(self, samples: int, start: float, step: float | None) -> float:
        """Return the step; remember what is known of it."""
        if step is None and samples > 1:
            raise ValueError(f"gulp: {samples} samples without a step given; say how long one is, s")
        if step is not None and not 0 < step < math.inf:
            raise ValueError(f"gulp: step = {step} given; give a time above 0, s")
        if not 0 <= start <= _LATEST - samples * (step or 0):
            raise ValueError(f"gulp: start = {start} given; give s since 1970-01-01 UTC")
        if step is not None:
            self._step = step
        elif start < self._last:
            self._step = math.inf
        elif start > self._last:
            self._step = min(self._step, start - self._last)
        return 0.0 if math.isinf(self._step) else self._step
