"""How the main thread waits for a plan: so that a signal always finds it."""

import threading

from bluesky.utils import DefaultDuringTask

_LOOK = 0.25  # s between two looks at what came in


class DuringPlan(DefaultDuringTask):
    """Wait like bluesky, windows of Qt included, but hear every Ctrl-C and SIGTERM.

    A signal that arrives between Python's last look and the moment it sleeps on a lock is heard when that sleep
    ends: with bluesky's own wait, when the plan ends by itself.
    """

    def block(self, blocking_event: threading.Event) -> None:
        """Return when the event is set; in the main thread."""
        super().block(_Awake(blocking_event))


class _Awake:
    """An event whose waits are short ones in a row."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            return self._event.wait(timeout)
        while not self._event.wait(_LOOK):
            pass
        return True
