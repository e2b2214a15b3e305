"""What became of the messages of a simulated spectrometer."""

from dataclasses import dataclass

from beamstream.sim.pace import Pace


@dataclass(slots=True)
class Counters:
    """Say what became of the messages so far.

    What subscribers are too slow for is dropped by ZeroMQ, and nobody counts it here.

    Parameters
    ----------
    made, skipped, repeated, malformed : int
        Messages; those repeated are made once.
    sent : int
        Given to ZeroMQ, repeated and malformed ones included.
    late : int
        Left more than their interval (at least 2 ms) after they were due.
    behind : float
        The worst of these, s.
    slipped : float
        Time that was given up, s: more than a second is not caught up with.
    seconds : float
        Between the first message and the last one so far.
    subscribers : int
    done : bool
        All is sent.
    """

    made: int = 0
    skipped: int = 0
    repeated: int = 0
    malformed: int = 0
    sent: int = 0
    late: int = 0
    behind: float = 0.0
    slipped: float = 0.0
    seconds: float = 0.0
    subscribers: int = 0
    done: bool = False

    @property
    def rate(self) -> float:
        """Messages made per second so far."""
        return (self.made - 1) / self.seconds if self.seconds else 0.0

    def note(self, copies: int, malformed: bool, seconds: float, pace: Pace) -> None:
        """Count a message that left `seconds` after the first, so many times."""
        self.made += 1
        self.sent += copies
        self.skipped += not copies
        self.repeated += copies > 1
        self.malformed += malformed
        self.seconds = seconds
        self.late, self.behind, self.slipped = pace.late, pace.behind, pace.slipped
