"""Optional callbacks, called from a thread of their own: whatever they do, no run waits or fails for it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from beamstream.callbacks.base import FrameCallback, Work
from beamstream.callbacks.images import Emit
from beamstream.errors import CallbackFailed

_MOST = 10_000  # calls that may wait
_IDLE = 1.0  # s until a thread without calls ends, while a run is open
_ACCOUNT = 5.0  # s that an account may take


class Isolated:
    """Call an optional callback from one thread, for all runs and in their order.

    Parameters
    ----------
    callback : FrameCallback
    """

    required = False

    def __init__(self, callback: FrameCallback) -> None:
        self.callback = callback
        self.name = str(callback.name)
        self.derives = bool(callback.derives)
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._open_runs = 0
        self._calling = self._stuck = False

    def begin(self, start: Mapping[str, Any], emit: Emit, /) -> "IsolatedWork":
        """Begin with a run, in the thread."""
        with self._changed:
            self._open_runs += 1
        return IsolatedWork(self, start, emit)

    def release(self) -> None:
        """End the thread when no run is open and no call waits."""
        with self._changed:
            self._open_runs -= 1
            self._changed.notify_all()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the thread, after those before it; does not wait.

        Raises
        ------
        CallbackFailed
            The thread does not return from a call, or is too far behind.
        """
        with self._changed:
            if self._stuck:
                raise CallbackFailed(f"{self.name}: does not return from an earlier call; it is not called meanwhile")
            if len(self._calls) >= _MOST:
                raise CallbackFailed(f"{self.name}: {_MOST} calls wait for it; make it faster")
            self._calls.append(function)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"{self.name}-calls", daemon=True)
                self._thread.start()
            self._changed.notify()

    def abandon(self) -> None:
        """Accept no calls until the one that is under way returns."""
        with self._changed:
            self._stuck = self._calling

    def _run(self) -> None:
        while (function := self._next()) is not None:
            function()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._calling = self._stuck = False
            self._changed.wait_for(lambda: self._calls or not self._open_runs, _IDLE)
            if not self._calls:
                self._thread = None
                return None
            self._calling = True
            return self._calls.popleft()


class IsolatedWork:
    """What an optional callback does for one run; its errors are kept here, and none is raised."""

    def __init__(self, of: Isolated, start: Mapping[str, Any], emit: Emit) -> None:
        self._of = of
        self._work: Work | None = None
        self._error: Exception | None = None
        self._last_progress = time.monotonic()
        self._requested = self._returned = 0  # calls
        self._delivered = threading.Condition()
        self._call(partial(self._begin, start, emit))

    def _begin(self, start: Mapping[str, Any], emit: Emit) -> None:
        self._work = self._of.callback.begin(start, emit)

    def __call__(self, name: str, doc: Mapping[str, Any], /) -> None:
        """Leave a document to the thread; does not wait."""
        if self._error is None:
            self._call(partial(self._give, name, doc))

    def _give(self, name: str, doc: Mapping[str, Any]) -> None:
        if self._work is not None and self._error is None:
            self._work(name, doc)

    def _finish(self) -> None:
        if self._work is not None:
            self._work.finish()

    def _call(self, function: Callable[[], None]) -> None:
        with self._delivered:
            self._requested += 1
        try:
            self._of.call(partial(self._guarded, function))
        except CallbackFailed as error:
            self._done(error)

    def _guarded(self, function: Callable[[], None]) -> None:
        error: Exception | None = None
        try:
            function()
        except Exception as raised:
            error = raised
        except BaseException as raised:  # SystemExit would end the thread, and with it the calls of other runs
            error = CallbackFailed(repr(raised))
        self._done(error)

    def _done(self, error: Exception | None) -> None:
        with self._delivered:
            self._error = self._error or error
            self._returned += 1
            self._last_progress = time.monotonic()
            self._delivered.notify_all()

    def wait_delivered(self, timeout: float) -> bool:
        """Wait until the callback has returned from every call; return whether it has, after at most `timeout` s."""
        with self._delivered:
            return self._delivered.wait_for(lambda: self._returned >= self._requested, timeout)

    def abandon(self) -> None:
        """Do not wait for the call that is under way, if there is one."""
        with self._delivered:
            waiting = self._requested - self._returned
            if not waiting:
                return
            self._error = self._error or CallbackFailed(f"does not return from a call; {waiting - 1} more waited")
            self._returned = self._requested
        self._of.abandon()

    def close(self) -> None:
        """Call the callback no more for this run."""
        self._of.release()

    # for the chain

    @property
    def error(self) -> Exception | None:
        """What ended it."""
        return self._error or self._of_work("error", None)

    @property
    def moved(self) -> float:
        """When something was done last, by time.monotonic()."""
        return max(self._last_progress, self._of_work("moved", 0.0))

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done, and announced."""
        return self._of_work("progress", (0, 0))

    @property
    def account(self) -> dict[str, Any]:
        """What the callback did; empty when it does not report that in time."""
        found: list[dict[str, Any]] = []
        self._call(lambda: found.append(dict(self._work.account) if self._work is not None else {}))
        self.wait_delivered(_ACCOUNT)
        return found[0] if found else {}

    def _of_work(self, name: str, otherwise: Any) -> Any:
        try:
            return otherwise if self._work is None else getattr(self._work, name)
        except Exception as error:
            self._error = self._error or error
            return otherwise

    def finish(self) -> None:
        """Mark the run's documents as complete; returns at once."""
        self._call(self._finish)

    def wait(self, timeout: float, /) -> bool:
        """Wait until every call has returned and the work is done; return whether it is, after at most `timeout` s."""
        deadline = time.monotonic() + timeout
        if not self.wait_delivered(timeout):
            return False
        return self._work is None or self._work.wait(max(0.0, deadline - time.monotonic()))

    def give_up(self) -> None:
        """Leave undone what is not done yet."""
        if self._work is not None:
            self._work.give_up()
