"""How a stream goes: its rate, its delay, what is missing in it."""

from collections import deque

from beamstream.readers import RingView

_SPAN = 2.0  # s that the rate is taken over
_SAMPLE = 0.1  # s between two samples of it
_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (2 * 60, 60, "min"), (-float("inf"), 1, "s"))
_UNKNOWN = 20 * 366 * 86400  # s; a clock that was never set
_PAUSE = 1.5  # s without a frame: somebody took none, so none of them was lost


class Pace:
    """Watch the indices of rings go by; cheap, whatever the rate.

    Attributes
    ----------
    rate : float
        Frames/s.
    delay : float or None
        Of the newest frame, from its timestamp until it was received, s.
    lost : int or None
        Frames that the detector counted and the ring never had, since this watches; not those of a pause. None where
        it does not number them.
    capacity : int
        Frames that the ring holds.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self.delay: float | None = None
        self.lost: int | None = 0
        self.capacity = 0
        self._owner: int | None = None
        self._seen: tuple[int, int, float] | None = None  # index, unique_id, received
        self._samples: deque[tuple[float, int]] = deque()

    def see(self, view: RingView, owner: int | None, now: float) -> None:
        """Take note of where a ring is, at `now` s of `time.monotonic`."""
        if owner != self._owner:
            self._owner, self._seen = owner, None
            self._samples.clear()
        start, stop = view.bounds()
        self._sample(now, stop)
        if stop == start or (self._seen is not None and self._seen[0] == stop - 1):
            return
        self.capacity = view.capacity
        unique_id, timestamp = view.identity(stop - 1)
        received = view.received(stop - 1)
        since = self._last_before_these(view, start)
        if not view.holds(stop - 1):
            return
        self.delay = received - timestamp
        if since is not None:
            counted, came = unique_id - since[1], stop - 1 - since[0]
            if counted > 0:  # late frames take back what was lost before them
                self.lost = max(0, (self.lost or 0) + counted - came)
            elif counted == 0 < came:  # they are not numbered
                self.lost = None
        self._seen = stop - 1, unique_id, received

    def _last_before_these(self, view: RingView, start: int) -> tuple[int, int] | None:
        """Return index and unique_id that what came is to be counted from: after a pause, the first frame's own.

        None where that is not known: nothing came before, or it is overwritten.
        """
        if self._seen is None:
            return None
        index, unique_id, received = self._seen
        first = index + 1
        if first >= start and view.received(first) - received > _PAUSE:
            unique_id = view.identity(first)[0]
            return (first, unique_id) if view.holds(first) else None
        return index, unique_id

    def _sample(self, now: float, stop: int) -> None:
        samples = self._samples
        if samples and (stop < samples[-1][1]):
            samples.clear()
        if not samples or now - samples[-1][0] >= _SAMPLE:
            samples.append((now, stop))
            while len(samples) > 2 and now - samples[1][0] > _SPAN:
                samples.popleft()
        then, before = samples[0]
        self.rate = (stop - before) / (now - then) if now > then else 0.0


def ago(seconds: float) -> str:
    """Say how long ago something was: ``12 s ago``, ``3 h ago``."""
    if seconds > _UNKNOWN:
        return "at a time that it does not say"
    length, name = next((length, name) for least, length, name in _UNITS if seconds >= least)
    return f"{max(0.0, seconds) / length:.0f} {name} ago"
