"""Looking: take the newest frame of a stream, corrected and processed, where possible without copying it."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import RingOverrun
from beamstream.frames import Frame
from beamstream.ops.picture import picture_of
from beamstream.readers import RingView
from beamstream.viewers.qt.wishes import Wish
from beamstream.watching.corrections import Corrections
from beamstream.watching.follow import Follow
from beamstream.watching.streams import StreamSpec


@dataclass(slots=True, eq=False)
class Seen:
    """A frame that was taken: mostly a view of a ring, which the writer may overwrite at any time.

    `kept`: the frame's own memory is ours; `ours`: that of the image is. `words`: what of the frame the image is, see
    `beamstream.ops.picture.picture_of`.
    """

    view: RingView
    index: int
    frame: Frame
    image: NDArray[Any]
    kept: bool = False
    ours: bool = False
    words: str = ""

    @property
    def raw_whole(self) -> bool:
        """Whether what was read of the frame so far was untouched."""
        return self.kept or self.view.holds(self.index)

    @property
    def whole(self) -> bool:
        """Whether what was read of the image so far was untouched."""
        return self.ours or self.view.holds(self.index)


class Looking:
    """Look at one stream; to be used from one thread.

    Parameters
    ----------
    spec : StreamSpec
    references : Path
        The store of darks and flats.
    pipeline : str
        Path of the pipeline's file, ``""`` for none.

    Attributes
    ----------
    seen : Seen or None
        The frame that is shown.
    skipped : int
        Frames between it and the one before that nobody saw.
    """

    def __init__(self, spec: StreamSpec, references: Path, pipeline: str) -> None:
        self.spec = spec
        self.follow = Follow(spec)
        self.corrections = Corrections(spec.name, references, pipeline)
        self.seen: Seen | None = None
        self.skipped = 0
        self._last: tuple[RingView | None, int, float] = None, 0, 0.0
        self._treated: object = None
        self._due = 0.0

    def close(self) -> None:
        """Let go of the stream."""
        self.seen = None
        self.follow.close()

    def take(self, wish: Wish) -> bool:
        """Take the newest frame as `wish` wants it; return whether `seen` is another frame or other pixels now."""
        view = self.follow.poll()
        if wish.paused and self._keep():
            return self._treat_again(wish)
        if view is None or time.monotonic() < self._due:
            return False
        seen = self._newest(view)
        if seen is None:
            return self._treat_again(wish)
        if not self._treat(seen, wish):
            return False
        self.seen = seen
        if wish.max_fps:
            self._due = max(self._due + 1 / wish.max_fps, time.monotonic())
        if wish.paused:
            self._keep()
        return True

    def _newest(self, view: RingView) -> Seen | None:
        """Return the newest frame, untouched so far; None if it was returned before."""
        start, stop = view.bounds()
        if start == stop:
            return None
        which = view, stop, view.received(stop - 1)  # a ring that was made anew counts from 0 again
        if which == self._last:
            return None
        try:
            frame = view.frame(stop - 1)
        except RingOverrun:
            return None
        self.skipped = max(0, stop - 1 - self._last[1]) if self._last[0] is view else 0
        self._last = which
        return Seen(view, stop - 1, frame, frame.payload)

    def _treat_again(self, wish: Wish) -> bool:
        """Do to the frame that is shown what is asked for now, while it is there."""
        seen = self.seen
        if seen is None or self._treated == (wish.correct, wish.renewed) or not seen.raw_whole:
            return False
        return self._treat(seen, wish)

    def _treat(self, seen: Seen, wish: Wish) -> bool:
        """Make the image of a frame; return False if a writer came in between."""
        self._switch(wish)
        frame, corrections = seen.frame, self.corrections
        if corrections.pipeline and not seen.kept:  # it may take longer than the ring keeps the frame
            frame = replace(frame, payload=frame.payload.copy())
            if not seen.raw_whole:
                return False
        try:
            picture = picture_of(corrections.apply(frame), frame.geometry.color_mode)
        except Exception:  # of this frame, or of newer pixels written over it meanwhile?
            if seen.raw_whole:
                raise
            return False
        own = seen.frame.payload
        seen.image, seen.words = picture
        seen.ours = seen.kept or not np.may_share_memory(seen.image, own)
        return frame.payload is not own or seen.raw_whole

    def _switch(self, wish: Wish) -> None:
        asked = wish.correct, wish.renewed
        if asked == self._treated:
            return
        self._treated = asked
        flat, dark, pipeline = (kind in wish.correct for kind in ("flat", "dark", "pipeline"))
        self.corrections.switch(flat=flat, dark=dark, pipeline=pipeline)
        self.corrections.look_again()

    def _keep(self) -> bool:
        """Copy the frame that is shown, so that it can be looked at closely; False if it is too late for that."""
        seen = self.seen
        if seen is None or seen.kept:
            return seen is not None
        copy = replace(seen.frame, payload=seen.frame.payload.copy())
        if not seen.raw_whole:
            return False
        if not seen.ours:
            image = picture_of(copy.image, copy.geometry.color_mode).image
            seen.image, seen.ours = image, image.shape == seen.image.shape
        seen.frame, seen.kept = copy, True
        return True

    def copy(self) -> Frame | None:
        """Return the frame that is shown as it is shown, in memory of its own; None if it cannot be had this moment."""
        seen = self.seen
        if seen is None:
            return None
        image = seen.image.copy()
        if not seen.whole:
            return None
        mode = seen.frame.geometry.color_mode
        if seen.image.ndim == 3:
            mode = type(mode).RGB1
        geometry = replace(seen.frame.geometry, shape=image.shape, dtype=image.dtype.str, color_mode=mode, codec="")
        return replace(seen.frame, payload=image, geometry=geometry)
