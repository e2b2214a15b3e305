"""Callbacks that know nothing of frames, in a chain."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from beamstream.callbacks.images import Emit


class Plain:
    """A callable that knows nothing of frames, as a FrameCallback; called by one thread at a time."""

    derives = False

    def __init__(self, callback: Callable[[str, Any], object], required: bool) -> None:
        self.callback = callback
        self.required = required
        self.name = str(getattr(callback, "__name__", type(callback).__name__))
        self._lock = threading.RLock()  # documents of several runs may come at once; taken after the lock of a run

    def begin(self, start: Mapping[str, Any], _emit: Emit, /) -> "PlainWork":
        """Give the start document."""
        self.call("start", start)
        return PlainWork(self)

    def call(self, name: str, doc: Mapping[str, Any]) -> None:
        """Give a document."""
        with self._lock:
            self.callback(name, doc)


class PlainWork:
    """A callable that is done as soon as it returns."""

    error: Exception | None = None
    moved = 0.0
    progress: tuple[int, int] = (0, 0)

    def __init__(self, of: Plain) -> None:
        self._of = of
        self.account: dict[str, Any] = {}

    def __call__(self, name: str, doc: Mapping[str, Any], /) -> None:
        """Give a document."""
        self._of.call(name, doc)

    def finish(self) -> None:
        """Nothing is under way."""

    def wait(self, _timeout: float, /) -> bool:
        """Return at once."""
        return True

    def give_up(self) -> None:
        """Nothing is under way."""
