"""A status that reports how far the callbacks of a run are, for progress bars."""

import time
from collections.abc import Callable
from typing import Any

from ophyd.status import Status


class FinishStatus(Status):
    """Done when the callbacks are.

    Parameters
    ----------
    device : object
        Its `name` stands before the bar.
    progress : callable
        Returns frames done and announced.
    """

    def __init__(self, device: Any, progress: Callable[[], tuple[int, int]]) -> None:
        self.device = device  # first: ophyd's thread may want the text at once
        super().__init__()
        self._progress = progress
        self._begun = time.monotonic()

    @property
    def progress(self) -> tuple[int, int, float]:
        """Frames done, frames announced, seconds since the beginning."""
        return (*self._progress(), time.monotonic() - self._begun)

    def __str__(self) -> str:
        error = self.exception(timeout=0) if self.done else None
        return f"{self.device.name}: {'done' if error is None else error}"

    __repr__ = __str__
