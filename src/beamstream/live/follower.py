"""Follow a ring by its indices: every spectrum once and in order, through restarts of whoever writes it."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import BeamstreamError, RingError, RingOverrun
from beamstream.frames import Frame
from beamstream.ledger import UniqueIds
from beamstream.live.history import History
from beamstream.readers import RingView

_POLL = 0.004  # s; how late a spectrum may be noticed
_LOOK = 0.2  # s between two looks for a ring
_SILENT = 1.0  # s until another ring of this name is looked for: a writer that was killed ends nothing
_MOST = 256  # spectra until others have their turn

Treat = Callable[[NDArray[Any]], NDArray[Any]]
"""What is done to a spectrum before it is kept; returns an array of its own or a view, which is copied."""


class Follower:
    """Copy the spectra of a ring into a history, from a coroutine.

    A ring that is not there yet, ends, or comes again with spectra of another shape is no error.

    Parameters
    ----------
    ring : str
    owner : int or None
        See `RingView`.
    rows : int
        Spectra to keep.
    arrived : callable
        Called after new spectra, once for all of them.
    treat : callable, optional
        What makes (n_beams, n_channels) of frames that have a third axis, of polarizations; without it they cannot be
        shown.

    Attributes
    ----------
    history : History or None
        A new one when the shape changes.
    attributes : dict
        Of the newest spectrum.
    timestamp : float or None
        Of the newest spectrum: when its message was made, s since 1970-01-01 UTC.
    lost : int
        Spectra that are missing in the ring: gaps in their ids.
    overruns : int
        Spectra that were overwritten before they were read here.
    trouble : str
        Why spectra cannot be shown.
    """

    def __init__(
        self, ring: str, owner: int | None, rows: int, arrived: Callable[[], None], treat: Treat | None = None
    ) -> None:
        self.history: History | None = None
        self.attributes: dict[str, Any] = {}
        self.timestamp: float | None = None
        self.lost = self.overruns = 0
        self.trouble = ""
        self._ring, self._owner, self._rows, self._arrived, self._treat = ring, owner, rows, arrived, treat
        self._view: RingView | None = None
        self._next = 0
        self._ids = UniqueIds()
        self._looked = 0.0
        self._heard = 0.0

    @property
    def connected(self) -> bool:
        """Whether there is a ring that somebody writes."""
        return self._view is not None and not self._view.closed

    def choose(self, owner: int) -> None:
        """Follow the ring of another process from now on; what it has that came before is not taken again."""
        if owner == self._owner:
            return
        self._owner = owner
        with contextlib.suppress(RingError):  # ended this moment
            view = RingView(self._ring, owner)
            start, stop = view.bounds()
            known = self.timestamp
            if known is not None:
                start = next((i for i in range(start, stop) if view.identity(i)[1] > known), stop)
            if self._view is not None:
                self._view.close()
            self._view, self._next = view, start
            self._ids = UniqueIds()  # spectra between the two rings are lost for those who look, not for the recording

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            taken = self._take()
            if taken:
                self._heard = time.monotonic()
                self._arrived()
            elif not self.connected or time.monotonic() - self._heard > _SILENT:
                self._look()
            await asyncio.sleep(0 if taken == _MOST else _POLL)

    def _look(self) -> None:
        """Attach to the ring of this name that is the youngest, now and then."""
        now = time.monotonic()
        if now - self._looked < (_LOOK if not self.connected else _SILENT):
            return
        self._looked = now
        with contextlib.suppress(RingError):
            found = RingView(self._ring, self._owner)
            if found.closed or (self._view is not None and self.connected and not self._differs(found)):
                found.close()
                return
            self._follow(found)

    def _differs(self, found: RingView) -> bool:
        """Return whether a view shows another ring than ours; ours may grow meanwhile."""
        assert self._view is not None
        before, there, after = self._view.bounds(), found.bounds(), self._view.bounds()
        return before == after and there != before

    def _follow(self, view: RingView) -> None:
        if self._view is not None:
            self._view.close()
        again = self._view is not None
        self._view = view
        start, _ = view.bounds()
        if again and start > self._next:  # a new epoch of the same ring goes on counting
            self.overruns += start - self._next
        self._next = start

    def _take(self) -> int:
        """Copy what is new; return how many spectra that were."""
        if self._view is None:
            return 0
        start, stop = self._view.bounds()
        if start > self._next:
            self.overruns += start - self._next
            self._next = start
        begin = self._next
        with contextlib.suppress(RingOverrun):  # overwritten this moment: `bounds` says so the next time
            while self._next < min(stop, begin + _MOST):
                self._copy(self._view, self._next)
                self._next += 1
        return self._next - begin

    def _copy(self, view: RingView, index: int) -> None:
        frame, values = view.read(index, lambda frame: (frame, self._values(frame)))
        self.lost += self._ids.see(frame.unique_id) or 0
        self.attributes, self.timestamp = dict(frame.attributes), frame.timestamp
        if values is not None:
            measured = frame.attributes.get("last_block_time")
            time_ = measured if isinstance(measured, float | int) else frame.timestamp
            self._fitting(values).append(values, time_, frame.received)

    def _values(self, frame: Frame) -> NDArray[np.float32] | None:
        """Return a copy in the shape (n_beams, n_channels); None if that cannot be."""
        try:
            image = frame.image
            if image.ndim == 3 and self._treat is not None:
                image = self._treat(image)
        except BeamstreamError as error:
            self.trouble = str(error)
            return None
        if image.ndim not in (1, 2) or not image.size or image.dtype.kind not in "fiub":
            self.trouble = f"{self._ring}: {frame.geometry} is no spectrum of (beams, channels); select a polarization"
            return None
        self.trouble = ""
        return np.array(np.atleast_2d(image), np.float32)

    def _fitting(self, values: NDArray[np.float32]) -> History:
        n_beams, n_channels = values.shape
        ours = self.history
        if ours is None or (ours.n_beams, ours.n_channels) != values.shape:
            self.history = ours = History(self._rows, n_beams, n_channels, first=ours.count if ours else 0)
        return ours
