"""Work in the background: documents are only queued for it, and nothing of it can fail a run."""

import logging
import queue
import threading
import time
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST = 256  # that are taken at once: each time counts as progress


class AsideWork(Generic[T]):
    """Take what documents announce of one run, in a thread; subclasses define what becomes of it.

    Documents come in the RunEngine's thread, which only puts into a queue what they announce. What goes wrong is
    said once, counted, and in the account.

    Parameters
    ----------
    name : str
        Of the callback.
    """

    error: Exception | None = None  # never: what fails is counted, and the rest goes on

    def __init__(self, name: str) -> None:
        self.name = name
        self.moved = time.monotonic()
        self.failures: list[str] = []
        self._todo: queue.SimpleQueue[T | threading.Event | None] = queue.SimpleQueue()
        self._written = threading.Event()
        self._thread: threading.Thread | None = None

    # what subclasses define, in the thread

    def take(self, todo: list[T]) -> None:
        """Write down what came, in its order."""
        raise NotImplementedError

    def ended(self) -> None:
        """Write down that the run is over."""

    # documents, in the RunEngine's thread

    def put(self, todo: T) -> None:
        """Leave something to the thread; does not wait."""
        self._todo.put(todo)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"{self.name}-callback", daemon=True)
            self._thread.start()

    def over(self) -> None:
        """Note that the run has stopped; returns at once."""
        if self._thread is not None:
            self._todo.put(None)

    def fail(self, error: Exception, what: str) -> None:
        """Count what went wrong; log it when it is the first."""
        self.failures.append(str(error))
        if len(self.failures) == 1:
            log.warning("%s: %s: %s", self.name, what, error)

    def _run(self) -> None:
        more = True
        while more:
            more = self._take_some()
        try:
            self.ended()
        except Exception as error:
            self.fail(error, "the end of the run is not written down")

    def _take_some(self) -> bool:
        """Wait for something, and take what is there by then; return whether there may be more."""
        found = [self._todo.get()]
        while found[-1] is not None and len(found) < _MOST and not self._todo.empty():
            found.append(self._todo.get())
        signs = [one for one in found if isinstance(one, threading.Event)]
        todo = [one for one in found if one is not None and not isinstance(one, threading.Event)]
        if todo:
            try:
                self.take(todo)
            except Exception as error:  # the next ones may be taken
                self.fail(error, f"{len(todo)} entries are not written down")
            self.moved = time.monotonic()
        for sign in signs:
            sign.set()
        return found[-1] is not None

    # the end of the run

    @property
    def progress(self) -> tuple[int, int]:
        """Return that nothing is waited for."""
        return 0, 0

    def finish(self) -> None:
        """Mark the run's documents as complete; returns at once."""
        if self._thread is None:
            self._written.set()
        else:
            self._todo.put(self._written)

    def wait(self, timeout: float) -> bool:
        """Wait until what was announced is written down, not for what becomes of it; False after `timeout` s."""
        return self._written.wait(timeout)

    def give_up(self) -> None:
        """Wait no longer."""
        self._written.set()

    @property
    def account(self) -> dict[str, Any]:
        """What went wrong: ``failed``, and the first ``error``."""
        return {"failed": len(self.failures), "error": self.failures[0] if self.failures else ""}
