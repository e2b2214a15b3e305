"""The ring of the session that records a run: its newest frame, and only that session's."""

import time
from typing import Any, Protocol

from beamstream.errors import RingError
from beamstream.frames import Frame
from beamstream.readers import Latest, RingView

_LOOK = 0.1  # s between two looks for a ring that is not there


class Live(Protocol):
    """Where live frames come from: `RunRing`, or `beamstream.watching.follow.Follow`."""

    @property
    def status(self) -> dict[str, Any]:
        """Say how it is going: ``rate``, ``words``."""
        ...

    def newest(self) -> Frame | None:
        """Return a copy of the newest frame that was not returned yet; never waits."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class RunRing:
    """Follow the ring of one process through its epochs.

    Parameters
    ----------
    name : str
        Of the ring.
    owner : int
        Id of its process: another session may have a camera of that name.
    """

    def __init__(self, name: str, owner: int) -> None:
        self._name, self._owner = name, owner
        self._view: RingView | None = None
        self._latest: Latest | None = None
        self._look_at = 0.0

    @property
    def status(self) -> dict[str, Any]:
        """Say how many frames a second arrive: by the times of the last few."""
        return {"rate": self._rate(), "words": "" if self._view is not None else f"{self._name}: no live frames now"}

    def _rate(self) -> float:
        if self._view is None:
            return 0.0
        start, stop = self._view.bounds()
        first = max(start, stop - 32)
        if stop - first < 2:
            return 0.0
        span = self._view.received(stop - 1) - self._view.received(first)
        return (stop - 1 - first) / span if span > 0 else 0.0

    def newest(self) -> Frame | None:
        """Return a copy of the newest frame that was not returned yet; None if there is none."""
        if self._view is None and time.monotonic() < self._look_at:
            return None
        try:
            if self._view is None:
                self._look_at = time.monotonic() + _LOOK
                self._view = RingView(self._name, owner=self._owner)
                self._latest = Latest(self._view)
            assert self._latest is not None
            frame = self._latest.read(0.0)
            if frame is None and self._view.closed and not self._view.refresh():
                self.close()
            return frame
        except RingError:  # not yet there, or no more
            return None

    def close(self) -> None:
        """Let go of the memory."""
        view, self._view, self._latest = self._view, None, None
        if view is not None:
            view.close()
