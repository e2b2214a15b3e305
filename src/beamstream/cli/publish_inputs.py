"""Where `beamstream publish spectra` gets time samples from: the simulated Sun, a file, another publisher."""

import math
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from beamstream.errors import BeamstreamError
    from beamstream.frames import Frame
    from beamstream.sources.base import Source

_ANSWER = 5.0  # s that another publisher has
_KEPT = 1000  # spectra of another publisher that wait for us
_LOOK = 0.1  # s, after which a silent input is asked whether it is to end


@dataclass(frozen=True, slots=True)
class Gulp:
    """Time samples as a `SpectraPublisher` takes them.

    Parameters
    ----------
    values : ndarray, shape (n_times, n_beams, n_channels, n_polarizations)
    start : float
        s since 1970-01-01 UTC.
    step : float or None
        s; None where it is not known.
    time_tag : int or None
        Where the input has one.
    """

    values: "NDArray[Any]"
    start: float
    step: float | None
    time_tag: int | None = None

    @property
    def seconds(self) -> float:
        """How long it took to come about."""
        return len(self.values) * (self.step or 0.0)


class Input(Protocol):
    """Something that gives gulps, once."""

    @property
    def length(self) -> int | None:
        """How many samples there are; None where nobody knows."""
        ...

    @property
    def missing(self) -> int:
        """How many samples are known to be lost on the way to us."""
        ...

    @property
    def refused(self) -> int:
        """How many messages came that were no spectra."""
        ...

    def gulps(self, ended: Callable[[], object]) -> Iterator[Gulp]:
        """Yield the gulps in order, until there are no more or `ended` says so."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Say when samples were taken, and how many are asked for.

    Parameters
    ----------
    start : float or None
        Of the first, s since 1970-01-01 UTC; None is now.
    step : float
        From one to the next, s.
    most : int
        In one gulp.
    seconds : float
        Of data at most.
    """

    start: float | None
    step: float
    most: int
    seconds: float


class Samples:
    """Samples that can be had by number.

    Parameters
    ----------
    read : Callable
        Returns samples, given the first and their number.
    number : int or None
        How many there are; None where there is no end.
    timing : Timing
    repeat : bool
        Begin again at their end; the times go on.
    """

    missing = refused = 0

    def __init__(
        self, read: "Callable[[int, int], NDArray[Any]]", number: int | None, timing: Timing, repeat: bool = False
    ) -> None:
        self._read, self._number, self._timing = read, number, timing
        asked = timing.seconds / timing.step
        there = math.inf if number is None or repeat else number
        self._total = min(there, asked if math.isinf(asked) else round(asked))

    @property
    def length(self) -> int | None:
        """How many samples there are; None where there is no end."""
        return None if math.isinf(self._total) else int(self._total)

    def gulps(self, ended: Callable[[], object]) -> Iterator[Gulp]:
        """Yield the gulps in order, each of them within one round of the samples."""
        timing, done = self._timing, 0
        start = time.time() if timing.start is None else timing.start
        while not ended() and done < self._total:
            first = done % self._number if self._number else done
            count = int(min(timing.most, self._total - done, (self._number or math.inf) - first))
            yield Gulp(self._read(first, count), start + done * timing.step, timing.step)
            done += count

    def close(self) -> None:
        """Do nothing; a file stays mapped as long as somebody holds its samples."""


class OtherPublisher:
    """The spectra that a source hears; a listener of it.

    Parameters
    ----------
    source : Source
        Of spectra; closed at the end.
    seconds : float
        Of data at most.
    """

    length = None

    def __init__(self, source: "Source", seconds: float) -> None:
        self._source, self._seconds = source, seconds
        self._frames: queue.Queue[Frame] = queue.Queue(_KEPT)
        self._error: Exception | None = None
        self.missing = self.refused = 0

    def gulps(self, ended: Callable[[], object]) -> Iterator[Gulp]:
        """Yield what comes, each spectrum as a gulp of one sample."""
        self._source.start(self, timeout=_ANSWER)
        begin = None
        while not ended():
            if self._error:
                raise self._error
            try:
                frame = self._frames.get(timeout=_LOOK)
            except queue.Empty:
                continue
            when = frame.attributes["last_block_time"]
            begin = when if begin is None else begin
            if when - begin >= self._seconds:
                return
            yield Gulp(frame.payload[None], when, None, frame.attributes["time_tag"])

    def close(self) -> None:
        """Stop listening."""
        self._source.close()

    def frame(self, frame: "Frame", missing: int | None) -> None:
        """Take a spectrum; called from the source's thread, like all that follow."""
        self.missing += missing or 0
        try:
            self._frames.put_nowait(frame)
        except queue.Full:  # whoever averages is too slow, and may not hold the source up
            self.missing += 1

    def repeated(self) -> None:
        """Do nothing."""

    def malformed(self, error: "BeamstreamError") -> None:
        """Count; what it should have been is missing as well, if it had a number."""
        self.refused += 1

    def connection(self, up: bool) -> None:
        """Do nothing; a publisher may come back."""

    def failed(self, error: Exception) -> None:
        """Keep the error for whoever averages."""
        self._error = error


def simulated(shape: tuple[int, int, int], seed: int, timing: Timing) -> Samples:
    """Return what a spectrometer would see of the Sun."""
    import numpy as np

    from beamstream.sim.solar import Scene, check

    try:
        check(shape)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shape") from None
    scene = Scene(shape, seed, timing.step)

    def read(first: int, number: int) -> "NDArray[Any]":
        values = np.empty((number, *shape), np.float32)
        for index, out in enumerate(values, first):
            scene.spectrum(index, out)
        return values

    return Samples(read, None, timing)
