"""How much a page's link takes: learned from how long frames are under way, so that they stay frequent and fresh."""

import math
import time

from beamstream.live.image_pixels import Quality
from beamstream.live.image_wish import Region

_GOAL, _TOO_LONG = 0.12, 0.16  # s that a frame should, and may be under way: more than five a second
_FIRST = 2**18  # bytes of the first frame, before anything is known
_LEAST, _MOST = 2**16, 2**30  # bytes; the least is 50 ms at 10 Mbit/s
_HOLD, _MOST_HOLD = 1.0, 30.0  # s until what was too much once is tried again, longer each time
_LEARN, _MOST_FLOOR = 0.3, 0.5  # how much one frame teaches; s that bytes cannot be blamed for
_JUST_BELOW = 0.95
_WORTH_DEFLATING = 10e6  # bytes/s; links that are faster have a frame there before it is deflated
_FASTER = 4.2  # times the bytes, from one frame to the next: half the factor, and a little


class Link:
    """Choose the quality of each frame for one page.

    A frame that is under way for longer than 0.16 s is followed by a smaller one. Where they arrive sooner than in
    0.12 s, they become larger, up to what was too much before; that is tried again after a while. Where the smallest
    ones take as long, it is not for their bytes, and they may.

    Attributes
    ----------
    budget : float
        What one frame may have, bytes.
    limited : bool
        Whether the last one was made smaller than the window could have shown.
    """

    def __init__(self) -> None:
        self.budget = float(_FIRST)
        self.limited = False
        self._left = {False: 0.8, True: 0.6}  # of the bytes after deflating, as seen; of 16 bit, and of 8 bit
        self._too_much, self._rate = math.inf, math.inf  # bytes of a frame, bytes/s
        self._small = self._large = 0.0, 0.0  # bytes and s of small frames, and of the last that took too long
        self._hold, self._again = _HOLD, -math.inf

    @property
    def slow(self) -> bool:
        """Whether frames that the window could show were too much for it lately."""
        return self._too_much < math.inf

    @property
    def _worth_deflating(self) -> bool:
        return self._rate < _WORTH_DEFLATING

    def acknowledged(self, nbytes: int, seconds: float) -> None:
        """Learn from a frame that was under way for so long, there and back; the time to draw it does not count."""
        now = time.monotonic()
        floor = self._learned(nbytes, seconds)
        goal = max(_GOAL, floor + _TOO_LONG - _GOAL)
        rate = nbytes / max(seconds - floor, 1e-3)
        if seconds > goal + _TOO_LONG - _GOAL:
            self._rate = rate
            if now > self._again:
                self._hold = min(_MOST_HOLD, 2 * self._hold) if self.slow else _HOLD
            self._too_much, self._again = float(nbytes), now + self._hold
            self.budget = max(float(_LEAST), min(self.budget, rate * (goal - floor)))
            return
        self._rate = max(self._rate, rate)
        if seconds < goal:
            if now > self._again and nbytes >= self._too_much:
                self._too_much = math.inf  # it was not, after all
            most = _MOST if now > self._again else min(_MOST, self._too_much * _JUST_BELOW)
            self.budget = max(self.budget, min(rate * (goal - floor), _FASTER * nbytes, most))

    def _learned(self, nbytes: int, seconds: float) -> float:
        """Return what a frame takes however small it is, s: the way, or a machine with much to do."""
        if nbytes <= 2 * _LEAST:
            before, took = self._small
            weight = _LEARN if took else 1.0
            self._small = before + weight * (nbytes - before), took + weight * (seconds - took)
        elif seconds > _TOO_LONG:
            self._large = float(nbytes), seconds
        (few, soon), (many, late) = self._small, self._large
        if not soon or many < 1.5 * few:
            return 0.0
        slope = max(0.0, (late - soon) / (many - few))
        return min(max(0.0, soon - slope * few), seconds, _MOST_FLOOR)

    def deflated(self, eight_bit: bool, before: int, after: int) -> None:
        """Learn how far frames can be deflated."""
        self._left[eight_bit] += 0.3 * (after / max(1, before) - self._left[eight_bit])

    def choose(
        self, region: Region, best: int, plain_bytes: int, channels: int, budget: float | None = None
    ) -> Quality:
        """Return the best quality that the link takes.

        Parameters
        ----------
        region : Region
        best : int
            The factor that the window shows; a smaller one would be wasted.
        plain_bytes : int
            What a pixel takes then, all its channels together.
        channels : int
        budget : float, optional
            Bytes, in place of what was learned.
        """
        budget = self.budget if budget is None else budget
        plain = _nbytes(region, plain_bytes, best)
        self.limited = plain > budget
        if not self.limited:
            return Quality(best, False, False)
        deflate = self._worth_deflating
        if deflate and plain * self._left[False] <= budget:
            return Quality(best, False, True)
        narrow = _nbytes(region, channels, best) * (self._left[True] if deflate else 1.0)
        if narrow <= budget:
            return Quality(best, True, deflate)
        return Quality(max(best + 1, math.ceil(best * math.sqrt(narrow / budget))), True, deflate)


def _nbytes(region: Region, pixel: int, factor: int) -> int:
    return -(-region.rows // factor) * -(-region.cols // factor) * pixel
