"""The rings that a stream's frames may be in, as they come and go."""

import contextlib
import time
from pathlib import Path

from beamstream.errors import RingError
from beamstream.readers import RingView
from beamstream.segment import ring_files
from beamstream.watching.streams import StreamSpec

FRESH, PERIODS = 1.5, 5  # s, and times the usual; a ring whose newest frame is older stands still
_FEW = 8  # frames that the usual is taken from
_TAP = b"beamstream.watching.tap"


class Candidates:
    """Keep a view of every ring of one name that a living process writes; for one thread.

    A ring whose frames come from elsewhere than the stream's is none: another session may have something else of
    that name.

    Parameters
    ----------
    spec : StreamSpec
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self._views: dict[int, RingView] = {}  # by owner
        self._taps: set[int] = set()
        self._strangers: dict[int, set[str]] = {}  # files of owners that have something else

    def find(self) -> None:
        """Attach to rings that came, let go of those that ended."""
        there: dict[int, set[str]] = {}
        for path in ring_files(f"{self._spec.name}."):
            owner = path.name.rpartition(".")[2].partition("-")[0]
            if owner.isdigit():
                there.setdefault(int(owner), set()).add(path.name)
        for owner, view in list(self._views.items()):
            if (view.closed and not view.refresh()) or not view.alive:
                view.close()
                del self._views[owner]
        for owner, files in there.items():
            if owner not in self._views and files != self._strangers.get(owner):
                self._attach(owner, files)

    def _attach(self, owner: int, files: set[str]) -> None:
        with contextlib.suppress(RingError):
            view = RingView(self._spec.name, owner=owner)
            if not view.alive:
                view.close()
                return
            if self._spec.uri and view.source not in ("", self._spec.uri):
                self._strangers[owner] = files
                view.close()
                return
            self._views[owner] = view
            (self._taps.add if _TAP in _command(owner) else self._taps.discard)(owner)

    @property
    def owners(self) -> list[int]:
        """The processes that write them."""
        return list(self._views)

    def view(self, owner: int | None) -> RingView | None:
        """Return the view of the ring of a process, None if it has none."""
        return None if owner is None else self._views.get(owner)

    def is_tap(self, owner: int | None) -> bool:
        """Whether a process only fetches frames for those who look."""
        return owner in self._taps

    def received(self, owner: int | None) -> float | None:
        """Return when the newest frame of a ring came, s since 1970-01-01 UTC; None if there is none."""
        view = self.view(owner)
        if view is None:
            return None
        start, stop = view.bounds()
        return view.received(stop - 1) if stop > start else None

    def fresh(self, owner: int | None) -> bool:
        """Whether a ring gets frames."""
        view, received = self.view(owner), self.received(owner)
        if view is None or received is None:
            return False
        return time.time() - received < max(FRESH, PERIODS * _period(view))

    @property
    def session(self) -> bool:
        """Whether a session gets frames."""
        return any(self.fresh(owner) for owner in self._views if not self.is_tap(owner))

    def choose(self, present: int | None) -> int | None:
        """Return whose ring to look at: the present one while it gets frames, unless a session now has them too.

        Where none gets any, the one that got its newest last.
        """
        if self.fresh(present) and not (self.is_tap(present) and self.session):
            return present
        fresh = [owner for owner in self._views if self.fresh(owner)]
        among = [owner for owner in fresh if not self.is_tap(owner)] or fresh or self._views
        return max(among, key=lambda owner: self.received(owner) or 0.0, default=None)

    def close(self) -> None:
        """Let go of all."""
        for view in self._views.values():
            view.close()
        self._views = {}


def _period(view: RingView) -> float:
    """Return the usual time between the last few frames of a ring, s; 0 if there are too few."""
    start, stop = view.bounds()
    first = max(start, stop - _FEW)
    if stop - first < 3:
        return 0.0
    return max(0.0, (view.received(stop - 1) - view.received(first)) / (stop - 1 - first))


def _command(owner: int) -> bytes:
    """Return how a process was started; nothing of one that is gone, or that another container counts."""
    try:
        return Path(f"/proc/{owner}/cmdline").read_bytes()
    except OSError:
        return b""
