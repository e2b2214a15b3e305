"""Look at a stream wherever its frames are: in the ring of a session, or fetched for the purpose."""

import contextlib
import time
from math import inf
from typing import Any

from beamstream.errors import RingOverrun
from beamstream.frames import Frame
from beamstream.readers import RingView, copied
from beamstream.watching.candidates import Candidates
from beamstream.watching.pace import Pace, ago
from beamstream.watching.streams import StreamSpec
from beamstream.watching.tap import Tap

_LOOK = 0.2  # s between two looks for other rings
_REST = 10.0  # s until a tap that nobody wants is ended
_SHORT = 5.0  # s; where a session takes over so soon from a tap, the next tap waits, longer each time
_LEAST_PATIENCE, _MOST_PATIENCE = 1.5, 6.0  # s
_AGAIN, _MOST_AGAIN = 1.0, 10.0  # s before a tap that died is started again
_TRIES = 3  # a very fast writer may overwrite what is being copied


class Follow:
    """Find the frames of a stream and stay with them: a session's as long as it gets some, otherwise one's own.

    A ring of this name that another process writes is looked at while its frames are fresh. When there is none, a
    `Tap` fetches frames, for as long as somebody wants them. Sessions, servers and taps may come and go; which ring
    it is may change between two calls of `poll`. To be used from one thread; nothing waits, but `close`.

    ::

        follow = Follow(StreamSpec("camera", {"kind": "pva_detector", "pv": "13SIM1:Pva1:Image"}))
        while True:                       # every few ms
            frame = follow.newest()       # or view = follow.poll(), and what is wanted of the view
            ...
        follow.close()

    Parameters
    ----------
    spec : StreamSpec
    tap : bool
        Whether frames may be fetched where no session has them.
    share : bool
        Whether what somebody else fetches is enough; False: for who must not miss anything when that one leaves.
    """

    def __init__(self, spec: StreamSpec, tap: bool = True, *, share: bool = True) -> None:
        self.spec = spec
        self._share = share
        self._may_tap = tap and spec.tappable
        self._tap: Tap | None = None
        self._ended: list[Tap] = []
        self._died = 0  # taps in a row
        self._not_before = 0.0  # no tap until then, s of time.monotonic
        self._tapped_at = 0.0
        self._patience = 0.0
        self._rings = Candidates(spec)
        self._owner: int | None = None
        self._pace = Pace()
        self._looked = 0.0
        self._wanted = self._fresh_at = -inf
        self._returned: tuple[int | None, int] = None, -1

    # what there is

    def poll(self, wanted: bool = True) -> RingView | None:
        """Return a view of the ring to look at now, None while there is none; cheap, to be called every few ms.

        It may be one whose frames are old, where nobody has newer ones. The view is ours: it is closed when another
        takes its place, frames of it stay valid until they are overwritten (``view.holds``).

        Parameters
        ----------
        wanted : bool
            False to only look after things: what is fetched ends 10 s after it was last wanted.
        """
        now = time.monotonic()
        if wanted:
            self._wanted = now
        view = self._rings.view(self._owner)
        if now - self._looked > _LOOK or (view is not None and view.closed):
            self._looked = now
            self._rings.find()
            self._owner = self._rings.choose(self._owner)
            self._tend(now)
            view = self._rings.view(self._owner)
        if view is not None:
            self._pace.see(view, self._owner, now)
        return view

    def newest(self) -> Frame | None:
        """Return a copy of the newest frame, whole; None if that was returned before, or there is none."""
        view = self.poll()
        if view is None:
            return None
        for _ in range(_TRIES):
            start, stop = view.bounds()
            if start == stop or (self._owner, stop) == self._returned:
                return None
            with contextlib.suppress(RingOverrun):
                copy = view.read(stop - 1, copied)
                self._returned = self._owner, stop
                return copy
        return None

    @property
    def owner(self) -> int | None:
        """The process whose ring `poll` returned last."""
        return self._owner

    @property
    def status(self) -> dict[str, Any]:
        """Say how the stream is, as of the last `poll`; what JSON can carry.

        ``connected``: whether frames come, or could. ``rate``: frames/s that arrive, over the last 2 s. ``delay``: of
        the newest from its timestamp until it was received, s, or None. ``age``: since then, s, or None. ``lost``:
        frames that the detector counted and the ring never had, since this looks; not those of a pause; None where it
        does not number them. ``start``,
        ``stop``, ``capacity``: of the ring. ``from``: ``"session"``, ``"tap"`` or ``""``. ``owner``: whose ring, a
        process id. ``words``: what is waited for; empty while frames come.
        """
        rings, pace, owner = self._rings, self._pace, self._owner
        view, fresh, received = rings.view(owner), rings.fresh(owner), rings.received(owner)
        start, stop = view.bounds() if view is not None else (0, 0)
        tapped = self._tap.status if self._tap is not None else {}
        return {
            "connected": fresh or bool(tapped.get("connected")),
            "rate": pace.rate if fresh else 0.0,
            "delay": pace.delay,
            "age": None if received is None else max(0.0, time.time() - received),
            "lost": pace.lost,
            "start": start,
            "stop": stop,
            "capacity": pace.capacity,
            "from": "" if owner is None else "tap" if rings.is_tap(owner) else "session",
            "owner": owner,
            "words": "" if fresh else self._words(received, tapped),
        }

    def close(self) -> None:
        """Let go of everything; what was fetched ends."""
        for tap in [*self._ended, *([self._tap] if self._tap else [])]:
            tap.close()
        self._ended, self._tap = [], None
        self._rings.close()
        self._owner = None

    # the tap

    def _tend(self, now: float) -> None:
        """Start, end and bury taps as they are needed."""
        for tap in [tap for tap in self._ended if not tap.alive]:
            tap.close()
            self._ended.remove(tap)
        mine, rings = self._tap.pid if self._tap else None, self._rings
        others = [owner for owner in rings.owners if owner != mine and (self._share or not rings.is_tap(owner))]
        if any(map(rings.fresh, others)):
            self._fresh_at = now
        if self._tap is not None:
            self._look_after(self._tap, now)
        elif self._may_tap and now - self._wanted < _LOOK and now - self._fresh_at > self._delay():
            self._begin(now)

    def _delay(self) -> float:
        """Return how long nobody else may have fresh frames before we fetch them, s."""
        return 0.0 if all(map(self._rings.is_tap, self._rings.owners)) else self._patience

    def _begin(self, now: float) -> None:
        if now < self._not_before:
            return
        self._tap, self._tapped_at = Tap(self.spec, present=self._share), now
        try:
            self._tap.start()
        except OSError:  # no room for a process: once more later
            self._tap = None
            self._not_before = now + _MOST_AGAIN

    def _look_after(self, tap: Tap, now: float) -> None:
        """End a tap that is not needed; start another one some time after it died."""
        if self._rings.session:  # the run has the camera for itself
            short = now - self._tapped_at < _SHORT
            self._patience = min(max(2 * self._patience, _LEAST_PATIENCE), _MOST_PATIENCE) if short else 0.0
        elif not tap.alive:
            self._died += 1
            self._not_before = now + min(self._died * _AGAIN, _MOST_AGAIN)
        elif now - self._wanted < _REST:
            if tap.status["received"]:
                self._died = 0
            return
        tap.end()
        self._ended.append(tap)
        self._tap = None

    def _words(self, received: float | None, tapped: dict[str, Any]) -> str:
        """Say what is waited for."""
        name = self.spec.name
        if tapped.get("words"):
            return str(tapped["words"])
        if received is not None:
            connected = f", {self.spec.uri} is connected" if tapped.get("connected") else ""
            return f"{name}: the last frame came {ago(time.time() - received)}{connected}; is it acquiring?"
        if tapped.get("connected"):
            since = time.monotonic() - self._tapped_at
            return f"{name}: {self.spec.uri} is connected, no frame for {since:.0f} s; is it acquiring?"
        if self.spec.tappable:
            waits = f"connecting to {self.spec.uri}" if self._tap is not None else "nobody looks at it now"
            return f"{name}: {waits if self._may_tap else 'waiting for a session'}"
        if self.spec.kind == "webcam":
            return f"{name}: a webcam belongs to one program at a time; it is shown while a session uses it"
        return f"{name}: nobody writes a ring of this name; waiting for one"
