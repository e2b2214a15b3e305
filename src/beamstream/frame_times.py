"""When frames were taken and when they came: which one answers a request, how many can have been made meanwhile."""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

_KEPT = 64  # frames; more than a client library keeps while we are busy (50)
_AHEAD = 0.05  # s that a clock may be ahead of ours and still agree with it
_FARTHEST = 5.0  # s from the time stamp to the arrival; more is another clock, not a delay
_ENOUGH = 8  # frames that show whether a clock runs at all
_PAUSE = 8.0  # usual steps; a longer one is a pause
_SHORTEST = 1e-5  # s from one frame to the next of any detector
_DAY = 86400.0  # s; time zones, drift and delays stay below
_YEAR_2000 = 946_684_800.0  # s since 1970-01-01; EPICS counts from 1990, so does a clock that was never set
_SLACK, _FEW = 4.0, 16  # a jump of the count is one beyond so many times what time allows, and so many more


def is_plausible(stamped: float, known: float) -> bool:
    """Return whether a clock can have meant the time that it stamped on what was here at a known time; s since 1970."""
    return _YEAR_2000 <= stamped <= known + _DAY


class FrameTime(NamedTuple):
    """One frame: its number, when it was taken by the detector's clock, and when it came by ours."""

    unique_id: int
    timestamp: float
    received: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What the last frames show.

    Parameters
    ----------
    period : float
        From one frame to the next, s, by the detector's clock if that runs; 0 if unknown.
    least, longest : float
        From the time stamp of a frame to its arrival, s.
    agrees : bool
        Whether the time stamps are of a clock that agrees with ours: frames never come before they are taken, nor
        more than 5 s later.
    """

    period: float
    least: float
    longest: float
    agrees: bool


class FrameTimes:
    """Keep the times of the last frames; `add` is called for each, with a `FrameTime` or a tuple like it."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, float, float]] = deque(maxlen=_KEPT)
        self.add = self._frames.append

    def timing(self) -> Timing:
        """Measure; in the thread that adds."""
        return _measured([FrameTime(*frame) for frame in self._frames])

    def newest(self) -> FrameTime:
        """Return the frame added last."""
        return FrameTime(*self._frames[-1])

    def possible_before_newest(self, frame_time: float) -> tuple[float, float]:
        """Return how many frames can have been made between the last two that came: expected, and at most.

        Parameters
        ----------
        frame_time : float
            From one frame to the next, s, as far as that is known otherwise; else 0.
        """
        frames = [FrameTime(*frame) for frame in self._frames]
        if len(frames) < 2:
            return math.inf, math.inf
        timing = _measured(frames[:-1])
        period = timing.period or frame_time or _SHORTEST
        before, newest = frames[-2], frames[-1]
        elapsed = newest.received - before.received
        if _stamped(frames):
            longest = elapsed = max(elapsed, newest.timestamp - before.timestamp)
        else:  # frames that waited for us come at once: the time since the last one means little
            longest = newest.received - frames[0].received
        return max(0.0, elapsed / period - 1), _FEW + _SLACK * longest / period


class FirstFrame:
    """Find the first frame that a detector which runs by itself began after a request.

    Frames pass until one began after the request by its own time. areaDetector's time stamp is that of
    the begin of the exposure, or of its end, or of the read-out, as the driver has it; an exposure takes a period at
    most. So a frame began after the request for certain when its time stamp is a period later than that. A driver
    that stamps the end gets no frame more than needed by this, one that stamps the begin one more.

    That is worth something where the detector's clock agrees with ours. If it does not (not set, counting from when
    it was switched on, hours off), one frame passes, and as many as the measured delay has room for: what the last
    frames came later than the fastest of them, in periods. A delay that all frames have alike does not show then.

    Nothing waits for long: a frame that comes later after the request than the longest delay and two periods has
    begun after it, whatever its time stamp.

    Attributes
    ----------
    rule : str
        Which of both applied: ``"timestamp"`` or ``"count"``.
    """

    def __init__(self, least: int = 1) -> None:
        self.rule = "count"
        self._least = least
        self._passed = 0
        self._asked, self._since = time.time(), time.monotonic()

    def is_there(self, times: FrameTimes) -> bool:
        """Return whether the frame that was added last is it, or one after it."""
        timing = times.timing()
        self.rule = "timestamp" if timing.agrees else "count"
        if timing.agrees:
            begun = times.newest().timestamp + min(0.0, timing.least) - timing.period
            waited = time.monotonic() - self._since
            there = begun >= self._asked or waited > timing.longest + 2 * timing.period
        else:
            late = timing.longest - timing.least
            under_way = math.ceil(late / timing.period) if timing.period else 0
            there = self._passed >= self._least + under_way
        self._passed += 1
        return there


def _measured(frames: Sequence[FrameTime]) -> Timing:
    stamped = _stamped(frames)
    period = _period(frames, stamped)
    if not stamped:
        return Timing(period, 0.0, 0.0, False)
    delays = [frame.received - frame.timestamp for frame in frames]
    least, longest = min(delays), max(delays)
    agrees = period > 0 and least >= -_AHEAD and longest <= _FARTHEST
    if longest - least > _FARTHEST:  # it was set meanwhile, or does not run as fast as ours
        least = longest = 0.0
    return Timing(period, least, longest, agrees)


def _stamped(frames: Sequence[FrameTime]) -> bool:
    """Return whether the detector's clock was set and runs."""
    if len(frames) < 2 or all(frame.timestamp == frame.received for frame in frames):
        return False
    taken, came = (frames[-1][i] - frames[0][i] for i in (1, 2))
    return taken > 0 and (len(frames) < _ENOUGH or 0.5 * came < taken < 2 * came)


def _period(frames: Sequence[FrameTime], stamped: bool) -> float:
    """Return the usual step from one number to the next, pauses left out; 0 where none is known."""
    which = 1 if stamped else 2
    steps = [(b[which] - a[which]) / max(1, b.unique_id - a.unique_id) for a, b in pairwise(frames)]
    forward = [step for step in steps if step >= 0]
    usual = _PAUSE * median(forward) if forward else 0.0
    even = [step for step in forward if step <= usual or not usual]  # a clock of whole seconds stands still mostly
    return sum(even) / len(even) if even else 0.0
