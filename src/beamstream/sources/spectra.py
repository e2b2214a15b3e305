"""Frames from a spectrometer that publishes over ZeroMQ: connect, follow, and say what was missed."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from beamstream.errors import MalformedMessage, NotConnected, SourceError
from beamstream.exits import OpenObjects
from beamstream.frames import Geometry
from beamstream.sources.base import Listener, tell_failure
from beamstream.sources.spectra_frames import SpectraCounters, SpectraDecoder, Treat
from beamstream.sources.spectra_socket import Ended, Endpoint, News, Subscription
from beamstream.spectra_wire import MOST_BYTES

logger = logging.getLogger(__name__)

_LOOK = 0.05  # s
_UNKNOWN = 2**16  # bytes, a message that none was seen of
_LARGER = 4  # times what was expected: still a message, of another shape
_LEAST_LIMIT = 2**22  # bytes


class SpectraSource:
    """Follow one publisher of averaged spectra; a `beamstream.sources.base.Source`.

    Spectra are numbered by the publisher's ``sequence``; where it has none they are counted, and a jump of
    ``last_block_time`` against the cadence counts as lost spectra. Frames carry `last_block_time` (s since
    1970-01-01 UTC), `delay` (s from when the message was made until it came) and `time_tag` as attributes.

    Parameters
    ----------
    address : str
        Where the publisher listens, ``tcp://127.0.0.1:9798``.
    name : str
        Who speaks in errors; the detector's name.
    treat : callable, optional
        Applied to the values, (n_beams, n_channels, n_polarizations): a `beamstream.ops.spectra.Selection`. The
        attribute may be changed while the source is stopped.
    memory : int
        Bytes of messages that may wait while Python is busy; beyond, the publisher has to keep or drop them.

    Raises
    ------
    ConfigurationError
        The address is none.
    """

    def __init__(self, address: str, *, name: str = "", treat: Treat | None = None, memory: int = 512 * 2**20) -> None:
        self.endpoint = Endpoint.parse(address)
        self.name = name or str(self.endpoint)
        self.counters = SpectraCounters()
        self.treat = treat
        self._memory = memory
        self._expected = _UNKNOWN
        self._period: float | None = None
        self._named: set[str] = set()  # kinds of malformed messages that stand in the log
        self._decoder = SpectraDecoder(self.uri, treat)
        self._subscription: Subscription | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._begun = threading.Event()
        self._ending = threading.Lock()
        _open.add(self)

    @property
    def uri(self) -> str:
        """What documents call it."""
        return f"zmq://{self.endpoint.host}:{self.endpoint.port}"

    @property
    def connected(self) -> bool:
        """Whether the publisher is there at the moment; False while the source is stopped."""
        subscription = self._subscription
        return subscription is not None and subscription.connected

    @property
    def period(self) -> float | None:
        """Seconds from one spectrum to the next, from their times; None until it is known."""
        return self._decoder.cadence.period or self._period

    def connect(self, timeout: float) -> Geometry:
        """Wait for a spectrum; return what its frame will look like. May be called while the source is started.

        Raises
        ------
        NotConnected
            There is no publisher, or it sent no spectrum within `timeout` seconds.
        SourceError
            Its spectra cannot be treated as asked.
        """
        until = time.monotonic() + timeout
        decoder = SpectraDecoder(self.uri, self.treat)
        first: MalformedMessage | None = None
        malformed = 0
        with Subscription(self.endpoint, largest=MOST_BYTES, waiting=1, memory=MOST_BYTES) as probe:
            while time.monotonic() < until:
                message = probe.receive()
                wrong = [each for each in probe.notice() if isinstance(each, MalformedMessage)]
                if message is not None:
                    try:
                        return self._learn(decoder, *message)
                    except MalformedMessage as e:
                        wrong.append(e)
                if wrong:
                    first, malformed = first or wrong[0], malformed + len(wrong)
            reason = self._absence(probe, timeout)
        if first is not None:
            reason += f"; {malformed} messages malformed (first: {first})"
        raise NotConnected(reason)

    def start(self, listener: Listener, timeout: float) -> None:
        """Begin to deliver to `listener`, in a thread of its own; return when the publisher sends us its spectra.

        Raises
        ------
        NotConnected
            No publisher answered within `timeout` seconds.
        """
        self.stop()
        self.counters = SpectraCounters()
        self._period = self.period
        self._decoder = SpectraDecoder(self.uri, self.treat)
        self._begun.clear()
        self._stopping.clear()
        self._subscription = subscription = Subscription(
            self.endpoint,
            largest=max(_LARGER * self._expected, _LEAST_LIMIT),
            waiting=max(2, self._memory // self._expected),
            memory=self._memory,
        )
        self._thread = threading.Thread(
            target=self._follow, args=(subscription, listener), name=f"{self.name}-spectra", daemon=True
        )
        self._thread.start()
        if not self._begun.wait(timeout):
            reason = self._absence(subscription, timeout)
            self.stop()
            raise NotConnected(reason)

    def stop(self) -> None:
        """Stop delivering; a call that is under way ends first. Calling it again does no harm.

        Called by the listener itself it does not wait: the call is the last one.
        """
        self._stopping.set()
        if threading.current_thread() is self._thread:
            return
        with self._ending:
            thread, subscription = self._thread, self._subscription
            self._thread = self._subscription = None
            if thread is not None and subscription is not None:
                subscription.end()
                thread.join()

    def close(self) -> None:
        """Stop and give everything back; the source cannot be used again."""
        self.stop()
        _open.discard(self)

    def _learn(self, decoder: SpectraDecoder, parts: Sequence[Any], number: int) -> Geometry:
        """Return the geometry of a message, and remember its size."""
        try:
            taken = decoder(parts, number, time.time())
        except MalformedMessage as e:
            if e.kind == "selection":
                raise SourceError(f"{self.name}: {e}") from None
            raise
        assert taken is not None  # the first one cannot be a repetition
        self._expected = sum(len(part) for part in parts)
        return taken[0].geometry

    def _absence(self, subscription: Subscription, timeout: float) -> str:
        """Say why there is no spectrum."""
        if subscription.connected:
            return f"{self.name}: {self.endpoint} is connected, but sent no spectrum within {timeout:g} s"
        if subscription.reached:
            return f"{self.name}: what listens at {self.endpoint} is no ZeroMQ publisher; is the port right?"
        return f"{self.name}: no publisher at {self.endpoint} within {timeout:g} s; is the address right, does it run?"

    # the source's thread

    def _follow(self, subscription: Subscription, listener: Listener) -> None:
        try:
            self._deliver(subscription, listener)
        except Ended:
            pass
        except Exception as e:
            tell_failure(listener, e, self.name)
        finally:
            subscription.close()

    def _deliver(self, subscription: Subscription, listener: Listener) -> None:
        look = 0.0
        while not self._stopping.is_set():
            was_up = subscription.connected
            message = subscription.receive()
            if message is not None:
                self._take(*message, listener)
            now = time.monotonic()
            if message is not None and now < look:
                continue
            look = now + _LOOK
            if was_up:  # the publisher has had time to learn of us; it does not confirm
                self._begun.set()
            for news in subscription.notice():
                self._tell_news(news, listener)

    def _take(self, parts: Sequence[Any], number: int, listener: Listener) -> None:
        """Deliver a message as what it is."""
        self.counters.messages += 1
        try:
            taken = self._decoder(parts, number, time.time())
        except MalformedMessage as e:
            self._tell_malformed(e, listener)
            return
        if taken is None:
            self.counters.repeated += 1
            self._tell(listener, listener.repeated)
        else:
            self.counters.frames += 1
            self._tell(listener, listener.frame, *taken)

    def _tell_news(self, news: News, listener: Listener) -> None:
        if isinstance(news, MalformedMessage):
            self._tell_malformed(news, listener)
        elif self._begun.is_set():
            self.counters.disconnects += not news
            self._tell(listener, listener.connection, news)

    def _tell_malformed(self, error: MalformedMessage, listener: Listener) -> None:
        """Count it, name it in the log if it is the first of its kind, and tell."""
        self.counters.count_malformed(error.kind)
        if error.kind not in self._named:
            self._named.add(error.kind)
            logger.warning("%s: malformed message: %s; more of this kind are counted only", self.name, error)
        self._tell(listener, listener.malformed, error)

    def _tell(self, listener: Listener, call: Callable[..., None], *args: Any) -> None:
        """Call the listener; what it raises must not end the thread."""
        try:
            call(*args)
        except Exception as e:
            tell_failure(listener, e, self.name)


def _close_all(sources: list[SpectraSource]) -> None:
    """Close every socket before the interpreter goes."""
    for source in sources:
        source.close()


_open = OpenObjects(_close_all)
