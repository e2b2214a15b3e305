"""Averaged spectra for whoever subscribes: the data recorder's averaging stream over ZeroMQ, made of gulps.

::

    with SpectraPublisher("tcp://127.0.0.1:9798", interval=0.25) as publisher:
        for number, gulp in enumerate(gulps):  # (250, 1, 3072, 4), 1.0272 s each
            publisher.add(gulp, start + number * 1.0272, 1.0272 / 250)

sends the mean of each quarter of a second, as `beamstream.spectra_wire` describes it. A publisher never waits for a
subscriber: who is slow, or comes late, misses spectra, and finds that out from the header's ``sequence``.
"""

import math
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from numpy.typing import ArrayLike

from beamstream.errors import SinkError
from beamstream.sinks.spectra_average import Average, TimeAverage
from beamstream.sinks.spectra_outlet import Outlet
from beamstream.spectra_wire import TICKS_PER_SECOND, encode

ADDRESS = "tcp://127.0.0.1:9798"
INTERVAL = 0.25  # s
Clock = Literal["data", "wall"]

_FAREWELL = 2.0  # s that the last messages have to leave when the publisher is closed


@dataclass(frozen=True, slots=True)
class PublisherCounters:
    """What a publisher did so far.

    What each subscriber missed is not among it, ZeroMQ does not tell: it drops without a word once a subscriber's
    queue is full, and what is in a queue or on its way may still be lost with the connection. Only the subscriber
    knows, from ``sequence``.

    Parameters
    ----------
    published : int
        Messages made and handed to ZeroMQ.
    samples : int
        Time samples in them.
    waiting : int
        Time samples that came since; they are in none yet.
    short : int
        Of the messages: averages of less than an interval, at the end, before a gap or a restart of the data.
    unheard : int
        Of the messages: dropped because nobody had subscribed.
    overflows : int
        How often a subscriber was found to be slow: its queue was full. It has lost this message and those after it,
        until it has worked off a part of its queue; that is why more may be lost than this number says.
    subscribers : int
        Who is there, as far as subscriptions have arrived.
    """

    published: int
    samples: int
    waiting: int
    short: int
    unheard: int
    overflows: int
    subscribers: int


class SpectraPublisher:
    """Publish the mean of all time samples since the last message, one message for each interval.

    Opened when it is made. All methods belong to one thread; `counters` may be asked for from any.

    Parameters
    ----------
    address : str
        ZeroMQ's, to listen on: ``tcp://HOST:PORT``, port ``*`` for a free one, or ``ipc://PATH``.
    interval : float
        From one message to the next, s.
    clock : {"data", "wall"}
        Whose seconds these are. ``data``: the samples' own; a gulp longer than the interval makes several messages.
        ``wall``: ours, for live input whose times cannot be trusted; a message is due with the first gulp after the
        interval, and holds all that came.
    sequence : bool
        Whether headers number the messages, from 0. Without, they have just the keys that the recorder's have.
    time_tag : int, optional
        Start of the sequence for the headers, ticks of 196 MHz since 1970-01-01 UTC; by default that of the first
        sample.
    queue : int
        Messages that are kept for a subscriber which is slow, ZeroMQ's high-water mark; there is one queue for each.
        The default holds 4 min of four messages a second, and up to 49 MB of 1 × 3072 × 4.

    Raises
    ------
    SinkError
        Nothing can be published there: the port is in use, the host is not ours.
    ValueError
        An argument is wrong.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        interval: float = INTERVAL,
        clock: Clock = "data",
        sequence: bool = True,
        time_tag: int | None = None,
        queue: int = 1000,
    ) -> None:
        if not 0 < interval < math.inf:
            raise ValueError(f"publisher: interval = {interval} given; give a time above 0, s")
        if clock not in ("data", "wall"):
            raise ValueError(f"publisher: clock = {clock!r} given; give data or wall")
        self.time_tag = time_tag
        self._numbered = sequence
        self._interval, self._clock = interval, clock
        self._average = TimeAverage(interval if clock == "data" else math.inf)
        self._sent_at = time.monotonic()
        self._published = self._samples = self._short = self._unheard = 0
        self._outlet = Outlet(address, queue)
        self.address = self._outlet.address
        """Where it can be subscribed to, the port as a number."""

    @property
    def counters(self) -> PublisherCounters:
        """What happened so far."""
        return PublisherCounters(
            self._published,
            self._samples,
            self._average.samples,
            self._short,
            self._unheard,
            self._outlet.overflows,
            self._outlet.subscribers,
        )

    def add(self, gulp: ArrayLike, start: float, step: float | None = None) -> int:
        """Take time samples in, publish what is due; return the number of messages that made.

        Never waits. The gulp is read, not kept; NaN and infinities in it are averaged like numbers, means beyond
        float32 become infinite.

        Parameters
        ----------
        gulp : ndarray, shape (n_times, n_beams, n_channels, n_polarizations)
            Real numbers of any type.
        start : float
            Time of the first sample, s since 1970-01-01 UTC.
        step : float, optional
            From one sample to the next, s; may be left out for gulps of one sample, see `TimeAverage.add`.

        Raises
        ------
        SinkError
            The spectra have another shape than before, or the publisher is closed; nothing was taken.
        ValueError
            It is no gulp, or the times are none.
        """
        self._check_open()
        averages = self._average.add(gulp, start, step)
        if self.time_tag is None and (averages or self._average.samples):
            self.time_tag = round(start * TICKS_PER_SECOND)
        for average in averages:
            self._publish(average, whole=average.whole)
        if self._clock == "wall" and time.monotonic() - self._sent_at >= self._interval:
            return len(averages) + self._publish_rest(whole=True)
        return len(averages)

    def flush(self) -> int:
        """Publish what came since the last message, if anything did, as a shorter average; return 1 or 0."""
        self._check_open()
        return self._publish_rest(whole=False)

    def wait(self, timeout: float) -> bool:
        """Wait for a first subscriber; return whether there is one within `timeout` seconds."""
        self._check_open()
        return self._outlet.wait(timeout)

    def close(self) -> None:
        """Publish the rest, and stop listening; a slow subscriber has 2 s to fetch what is in its queue.

        Calling it again does no harm.
        """
        try:
            if self._outlet.open:
                self._publish_rest(whole=False)
        finally:
            self._outlet.close(_FAREWELL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _publish_rest(self, *, whole: bool) -> int:
        average = self._average.take()
        if average is None:
            return 0
        self._publish(average, whole=whole)
        return 1

    def _publish(self, average: Average, *, whole: bool) -> None:
        self._outlet.hear()
        assert self.time_tag is not None
        message = encode(
            average.values,
            time_tag=self.time_tag,
            timestamp=time.time(),
            last_block_time=average.last_time,
            sequence=self._published if self._numbered else None,
        )
        self._outlet.send(message)
        self._sent_at = time.monotonic()
        self._published += 1
        self._samples += average.samples
        self._short += not whole
        self._unheard += not self._outlet.subscribers

    def _check_open(self) -> None:
        if not self._outlet.open:
            raise SinkError(f"publisher: {self.address} to be used, but it is closed; make a new one")
