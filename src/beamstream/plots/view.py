"""View: what is drawn of one detector, run after run."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beamstream.ops.picture import picture_of
from beamstream.plots import look
from beamstream.plots.inbox import Message
from beamstream.plots.newest import Newest
from beamstream.plots.picture import Caption, Picture, Shot
from beamstream.plots.screens import Screen
from beamstream.watching.treatment import Treatment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from beamstream.frames import Frame

_LOOK_AGAIN = 0.05  # s until a ring without a new frame is looked at again


class View:
    """Draw one detector's newest frames, each run into the same figure.

    Parameters
    ----------
    ring : str
        Name of the ring, and of the detector or of what was derived from it.
    screen : Screen
    make : callable
        Returns a picture for a figure.
    period : float
        s between drawings, at least.
    pipeline : str
        Path, or ``""``.

    Attributes
    ----------
    run : str or None
        Uid of the run that is being drawn.
    drawn : int
        Frames, of this run.
    """

    def __init__(
        self, ring: str, screen: Screen, make: "Callable[[Figure], Picture]", period: float, pipeline: str
    ) -> None:
        self.run: str | None = None
        self.drawn = 0
        self.due = 0.0
        self._ring, self._screen, self._make = ring, screen, make
        self._period, self._pipeline = period, pipeline
        self._about: Message = {}
        self._newest = Newest(ring, os.getppid())
        self._treatment = Treatment({})
        self._shot: Shot | None = None
        self._rendered = True
        self._render_at = 0.0
        self._picture: Picture | None = None

    def begin(self, about: Message, correction: Message) -> None:
        """Draw a run's frames from now on.

        Parameters
        ----------
        about : dict
            The run: ``run`` (uid), ``scan_id``, ``plan``, ``time``.
        correction : dict
            See `Treatment`.
        """
        if self._picture is None or self._screen.gone(self._picture.figure):
            self._picture = self._make(self._screen.figure(f"{self._ring} – live"))
        self._picture.clear()
        self._newest.close()
        self._newest = Newest(self._ring, os.getppid())
        self._treatment = Treatment(correction, self._pipeline)
        self._shot, self._rendered, self._render_at = None, True, 0.0
        self._about, self.run, self.drawn, self.due = about, about["run"], 0, 0.0

    def announce(self, message: Message) -> None:
        """Hear which rows are on disk."""
        self._newest.announce(message["path"], message["dataset"], message["stop"])

    def turn(self, now: float) -> None:
        """Look for a new frame, and draw it if it is time.

        Raises
        ------
        Exception
            Whatever went wrong; the next turn may do better.
        """
        assert self._picture is not None
        self.due = now + _LOOK_AGAIN
        if self._screen.gone(self._picture.figure):
            return
        frame = self._newest.read()
        if frame is not None:
            self.due = now + self._picture.sampling(self._period)
            self._take(frame)
        if not self._rendered and now >= self._render_at:
            self._render_at = now + self._period
            self._render()

    def gather(self) -> None:
        """Take what has to be counted before the run ends: no frame is, only the last one is drawn after it."""

    def end(self) -> str:
        """Draw the last frame of the run, and keep the picture; return the path of its file, or ``""``."""
        assert self._picture is not None
        try:
            if self._screen.gone(self._picture.figure):
                return ""
            frame = self._newest.read_last_row()
            if frame is not None:
                self._take(frame)
            if self._shot is None:
                return ""
            about, self.run = self._about, None
            self._render()
            name = f"{about['scan_id']:05d}_{about['run'][:8]}_{self._ring}{self._picture.suffix}"
            return str(self._screen.keep(self._picture.figure, name) or "")
        finally:
            self.run = None
            self._newest.close()

    def _take(self, frame: "Frame") -> None:
        assert self._picture is not None
        image, words = picture_of(self._treatment.apply(frame), frame.geometry.color_mode, curve=False)
        self._shot = Shot(image, frame.unique_id, frame.timestamp, words)
        self._picture.add(self._shot)
        self._rendered = False
        self.drawn += 1

    def _render(self) -> None:
        assert self._picture is not None
        self._rendered = True
        self._picture.caption(self._caption())
        self._picture.render()
        self._screen.show(self._picture.figure, f"{self._ring}{self._picture.suffix}")

    def _caption(self) -> Caption:
        assert self._shot is not None
        about, treatment = self._about, self._treatment
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(about["time"]))
        run = f"run {about['scan_id']} · {about['plan']} · {about['run'][:8]} · {when}"
        return Caption(
            self._ring,
            run,
            f"frame {self._shot.unique_id}",
            self._counts(self._shot),
            " · ".join(filter(None, (self._shot.words, treatment.note))),
            treatment.failed,
        )

    def _counts(self, shot: Shot) -> str:
        if self.run is None:
            frames = self._newest.announced
            words = [f"ended with {frames} frames", f"{max(0, frames - self.drawn)} not drawn"]
        else:
            rate: Any = self._newest.rate
            words = [f"{rate:.4g} fps"] if rate is not None else []
            words += [f"{self._newest.skipped} not drawn"]
        return " · ".join([look.clock(shot.timestamp), *words])
