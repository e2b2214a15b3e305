"""Time inside a plan, as the clock on the wall shows it: a pause counts."""

import time

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator


class Clock:
    """Tell how long it is since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def sleep(self, seconds: float) -> MsgGenerator[None]:
        """Sleep; where nobody does, because a plan is only listed, the clock is put forward."""
        before = time.monotonic()
        yield from bps.sleep(seconds)
        if time.monotonic() - before < 0.1 * seconds:
            self._begun -= seconds


class Due:
    """Tell when something is due again.

    Parameters
    ----------
    period : float
        s.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._last = float("-inf")

    def now(self) -> bool:
        """Return whether it is, and begin the next period if so."""
        due = time.monotonic() - self._last >= 0.99 * self.period
        if due:
            self._last = time.monotonic()
        return due
