"""One callback of a chain in one run: whatever it raises becomes its failure, and none goes further."""

import logging
from collections.abc import Callable
from typing import Any

from beamstream.callbacks.accounts import missing_frames
from beamstream.callbacks.base import FrameCallback, Work
from beamstream.errors import CallbackFailed

log = logging.getLogger(__name__)


class Part:
    """A callback in one run: its work, and the first of its errors, wherever that is raised.

    Parameters
    ----------
    callback : FrameCallback
    name : str
        Of its account; no other callback of the run has it.
    """

    def __init__(self, callback: FrameCallback, name: str) -> None:
        self.callback = callback
        self.name = name
        self.required = callback.required
        self.work: Work | None = None
        self.error: Exception | None = None
        self.ended = False

    def fail(self, error: Exception) -> None:
        """Keep the first error; of an optional callback, log it."""
        if self.error is None:
            self.error = error
            if not self.required:
                log.warning("%s: %s; the run goes on without it", self.name, error)

    def gather(self) -> None:
        """Take over an error that happened in a thread of the callback."""
        work = self.work
        error = None if work is None else self.attempt(lambda: work.error)
        if error is not None:
            self.fail(error)

    def attempt(self, function: Callable[[], Any], otherwise: Any = None) -> Any:
        """Return what a function returns; an exception becomes the failure of this callback."""
        try:
            return function()
        except Exception as error:
            self.fail(error)
            return otherwise

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done, and announced."""
        work = self.work
        done, announced = (0, 0) if work is None else self.attempt(lambda: work.progress, (0, 0))
        return done, announced

    @property
    def account(self) -> dict[str, Any]:
        """What the callback did, as it reports it, and its error."""
        work = self.work
        account = {} if work is None else self.attempt(lambda: dict(work.account), {})
        self.gather()
        return account if self.error is None else {**account, "error": self.error}

    def check_complete(self) -> None:
        """Raise where a frame is undone or failed."""
        if words := missing_frames(self.progress, self.account):
            raise CallbackFailed(words)

    def report(self) -> dict[str, Any]:
        """Return ``name``, ``words`` and ``ok``: how far it is, or why it does not go on."""
        self.gather()
        done, announced = self.progress
        words = str(self.error) if self.error is not None else f"{done} of {announced} frames" if announced else ""
        return {"name": self.name, "words": words, "ok": self.error is None}
