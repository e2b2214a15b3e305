"""When messages are due, by an absolute clock: errors of sleeping do not add up."""

GULP = 1024 * 24 * 8192 / 196e6
"""What the data recorder takes in at once, s: 1.0272."""
_SECOND_OF_GULP = 0.15  # s after the first
_GIVEN_UP = 1.0  # s; more is not caught up with


class Pace:
    """Say when each message is due, on the clock of `now`: any that only goes forward, s.

    Parameters
    ----------
    rate : float
        Messages per second; 0 is always now.
    gulps : bool
        In place of the rate: two messages 0.15 s apart, then silence until the next gulp.
    now : float
        When the first one is due.
    """

    def __init__(self, rate: float, gulps: bool, now: float) -> None:
        self._rate, self._gulps = rate, gulps
        self._origin, self._number = now, 0
        self._patience = max(2e-3, 0.0 if gulps or not rate else 1 / rate)
        self.late = 0
        """Messages that were more than their interval (at least 2 ms) late."""
        self.behind = 0.0
        """The worst of them, s."""
        self.slipped = 0.0
        """What was given up, s: more than a second is not caught up with."""

    @property
    def second(self) -> bool:
        """Whether the next message is the second of a gulp."""
        return self._gulps and self._number % 2 == 1

    @property
    def due(self) -> float:
        """When the next message is due."""
        if self._gulps:
            return self._origin + self._number // 2 * GULP + self.second * _SECOND_OF_GULP
        return self._origin + self._number / self._rate if self._rate else self._origin

    def sent(self, now: float) -> None:
        """Note that the message that was due leaves."""
        lag = now - self.due if self._rate or self._gulps else 0.0
        self._number += 1
        if lag > self._patience:
            self.late += 1
            self.behind = max(self.behind, lag)
        if lag > _GIVEN_UP:
            self._origin += lag
            self.slipped += lag

    def restart(self, now: float) -> None:
        """Go on after a silence that was intended; a gulp begins anew."""
        self._origin, self._number = now, 0
