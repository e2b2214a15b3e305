"""The thread that looks after a receiver: it finds the publisher, and says what happens to it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from beamstream.errors import NotConnected, SourceError
from beamstream.receiver.arrivals import Arrivals
from beamstream.receiver.layout import duration
from beamstream.sources.spectra import SpectraSource

logger = logging.getLogger(__name__)

_LOOK = 0.5  # s
_PAUSE = 0.2  # s between two attempts
_ASK = 1.0  # s that a publisher has to answer; also how long an end may take before there was one
_REMIND, _REMIND_MOST = 10.0, 3600.0  # s between two lines in the log that say the same
_RATE_OVER = 10.0  # s


class Watch:
    """Connect a source whenever its publisher comes, then watch it.

    The log gets one line when the publisher is found, goes, and is back with a spectrum; and one about losses, now
    and then, with the number since the last.

    Parameters
    ----------
    name : str
        Who speaks in the log.
    source : SpectraSource
        Started here, closed by `close`.
    arrivals : Arrivals
    told : callable, optional
        Called every half second, in this thread; must not raise.
    """

    def __init__(
        self, name: str, source: SpectraSource, arrivals: Arrivals, told: Callable[[], object] | None = None
    ) -> None:
        self._name, self._source, self._arrivals, self._told = name, source, arrivals, told
        self._account = arrivals.account
        self._began = time.monotonic()
        self._history: deque[tuple[float, int]] = deque([(self._began, 0)])
        self._gone: float | None = None  # since when, s
        self._lost = 0
        self._remind_at, self._remind = 0.0, _REMIND
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-watch", daemon=True)
        self._thread.start()

    @property
    def rate(self) -> float:
        """Spectra a second, over the last ten seconds."""
        began, received = self._history[0]
        passed = time.monotonic() - began
        return (self._account.received - received) / passed if passed > 0 else 0.0

    def close(self) -> None:
        """End the thread and the source. Calling it again does no harm."""
        self._ending.set()
        self._thread.join()
        self._source.close()

    def _run(self) -> None:
        while not self._ending.is_set() and not self._begin():
            self._look()
            self._ending.wait(_PAUSE)
        while not self._ending.wait(_LOOK):
            self._look()

    def _begin(self) -> bool:
        """Ask for the publisher once, and start the source; return whether that was possible."""
        try:
            self._measure()
            if self._ending.is_set():
                return False
            self._source.start(self._arrivals, _ASK)
        except NotConnected as error:
            self._say_now_and_then(f"{error}; waiting for it")
            return False
        except Exception as error:  # no sockets left, or no memory: must not end this thread without a word
            self._say_now_and_then(f"{self._name}: {type(error).__name__}: {error}; trying again")
            return False
        logger.info("%s: connected to %s", self._name, self._source.endpoint)
        self._remind_at, self._remind = 0.0, _REMIND
        return True

    def _measure(self) -> None:
        """Let the source learn how large messages are, and so how many may wait."""
        try:
            self._source.connect(_ASK)
        except NotConnected:
            pass  # or a spectrum comes only now and then: start says which
        except SourceError as error:
            self._say_now_and_then(f"{error}")  # they are counted as malformed until others come

    def _look(self) -> None:
        now = time.monotonic()
        self._history.append((now, self._account.received))
        while now - self._history[0][0] > _RATE_OVER:
            self._history.popleft()
        self._watch_connection(now)
        self._watch_losses(now)
        if self._told is not None:
            self._told()

    def _watch_connection(self, now: float) -> None:
        heard = self._account.heard
        if heard is None:
            return
        if self._gone is None:
            if not self._source.connected:
                self._gone = now
                logger.warning(
                    "%s: the publisher at %s is gone, %d spectra came; waiting for it",
                    *(self._name, self._source.endpoint, self._account.received),
                )
        elif heard > self._gone:
            logger.info("%s: the publisher is back after %s", self._name, duration(heard - self._gone))
            self._gone = None

    def _watch_losses(self, now: float) -> None:
        lost = self._account.lost
        if lost > self._lost and now >= self._remind_at:
            logger.warning("%s: %d spectra lost on the way, %d in all", self._name, lost - self._lost, lost)
            self._lost, self._remind_at = lost, now + _REMIND

    def _say_now_and_then(self, text: str) -> None:
        """Log a line, unless that happened a short while ago; the while grows."""
        now = time.monotonic()
        if now >= self._remind_at:
            logger.warning("%s", text)
            self._remind_at, self._remind = now + self._remind, min(6 * self._remind, _REMIND_MOST)
