"""Eye: the thread that looks for frames and makes what the window paints."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.frames import Frame
from beamstream.viewers.qt.drawing import NO_GRID, Drawing
from beamstream.viewers.qt.gauge import Gauge, value_at
from beamstream.viewers.qt.looking import Looking
from beamstream.viewers.qt.wishes import Shown, Wish
from beamstream.watching.streams import StreamSpec

log = logging.getLogger(__name__)

_LEAST_PAUSE, _MOST_PAUSE = 0.001, 0.02  # s between two looks for a frame
_LOOKS = 8  # between two frames
_TELL = 0.25  # s between two words on how the stream is


class Eye:
    """Make each frame that there is time for ready to be painted, in a thread of its own.

    The newest frame wins. A frame is made when the last one was painted (`painted`), so a window that is slow,
    hidden or far away makes it work less, and nothing ever waits in a queue. Pixels are read where the ring has
    them; only paused frames are copied.

    Parameters
    ----------
    shown : callable
        Called in this thread with each `Shown`.
    told : callable
        Called in this thread with the stream and `Follow.status`, four times a second.
    references : Path
        The store of darks and flats.
    pipeline : str
        Path of the pipeline's file, ``""`` for none.
    """

    def __init__(
        self,
        shown: Callable[[Shown], object],
        told: Callable[[StreamSpec, dict[str, Any]], object],
        references: Path,
        pipeline: str = "",
    ) -> None:
        self._shown, self._told = shown, told
        self._references, self._pipeline = references, pipeline
        self._woken = threading.Condition()
        self._spec: StreamSpec | None = None
        self._wish = Wish()
        self._over = False
        self._free = True  # the last one was painted
        self._copy_for: Callable[[Frame], object] | None = None
        self._gauge = Gauge()
        self._looking: Looking | None = None
        self._made_for: Wish | None = None
        self._tell_at = 0.0
        self._rate = 0.0
        self._thread = threading.Thread(target=self._run, name="viewer-eye", daemon=True)

    # what it is told; the window's thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look_at(self, spec: StreamSpec | None) -> None:
        """Show another stream; None: nothing."""
        with self._woken:
            self._spec, self._free, self._copy_for = spec, True, None
            self._woken.notify()

    def wish(self, wish: Wish) -> None:
        """Show it in another way from now on; also what is shown already."""
        with self._woken:
            self._wish = wish
            self._woken.notify()

    def painted(self) -> None:
        """Say that what was shown last is on the screen: now the next may come."""
        with self._woken:
            self._free = True
            self._woken.notify()

    def copy(self, taker: Callable[[Frame], object]) -> None:
        """Have a copy of the frame that is shown, corrected if it is; `taker` is called with it in this thread."""
        with self._woken:
            self._copy_for = taker
            self._woken.notify()

    def close(self) -> None:
        """End; what was fetched for the eye ends too."""
        with self._woken:
            self._over = True
            self._woken.notify()
        if self._thread.is_alive():
            self._thread.join()

    # the thread

    def _run(self) -> None:
        self._drawing = Drawing()  # here, for the compiler takes a while to come
        try:
            while not self._over:
                try:
                    self._turn()
                except Exception as error:  # one bad frame must not end the viewer
                    self._fail(error)
        finally:
            self._leave()

    def _fail(self, error: Exception) -> None:
        log.exception("viewer: a frame could not be shown")
        if self._spec is not None:
            self._told(self._spec, {"connected": False, "words": f"a frame could not be shown: {error}"})
        self._sleep(_TELL)

    def _turn(self) -> None:
        self._go_where_asked()
        looking = self._looking
        if looking is None:
            self._sleep(_TELL)
            return
        fresh = looking.take(self._wish)
        self._tell(looking)
        self._hand_copy(looking)
        if looking.seen is None or not (fresh or self._wish != self._made_for):
            self._sleep(self._pause())
            return
        self._wait_until_free(looking)
        if not self._over and looking.spec is self._spec:
            self._make(looking, self._wish, fresh)

    def _go_where_asked(self) -> None:
        spec = self._spec
        if spec is not (self._looking.spec if self._looking else None):
            self._leave()
            self._looking = Looking(spec, self._references, self._pipeline) if spec is not None else None

    def _leave(self) -> None:
        if self._looking is not None:
            self._looking.close()
        self._looking = self._made_for = None
        self._rate = self._tell_at = 0.0
        self._gauge.forget()

    def _tell(self, looking: Looking) -> None:
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + _TELL
            status = looking.follow.status
            self._rate = status["rate"] or 0.0
            self._told(looking.spec, status)

    def _hand_copy(self, looking: Looking) -> None:
        taker = self._copy_for
        frame = looking.copy() if taker is not None else None
        if taker is not None and frame is not None:
            self._copy_for = None
            taker(frame)

    def _pause(self) -> float:
        return max(1 / (_LOOKS * self._rate), _LEAST_PAUSE) if self._rate > 1 / _LOOKS / _MOST_PAUSE else _MOST_PAUSE

    def _sleep(self, seconds: float) -> None:
        with self._woken:
            if not self._over:
                self._woken.wait(seconds)

    def _wait_until_free(self, looking: Looking) -> None:
        while not self._free and not self._over and looking.spec is self._spec:
            self._sleep(_TELL)
            looking.follow.poll()
            self._tell(looking)

    def _make(self, looking: Looking, wish: Wish, fresh: bool) -> None:
        """Draw what was taken, and hand it over if no writer came in between."""
        seen, corrections = looking.seen, looking.corrections
        assert seen is not None
        rows, cols = seen.image.shape[:2]
        grid = self._drawing.grid((rows, cols), wish)
        if grid is None and min(wish.size) < 1:
            self._sleep(_MOST_PAUSE)
            return
        measured = self._gauge.measure(seen.image, wish)
        pixels = np.zeros((0, 0), np.uint32)
        if grid is not None:
            pixels = self._drawing.draw(seen.image, grid, wish, *self._gauge.limits)
        value = value_at(seen.image, wish.cross)
        self._made_for = wish
        if not seen.whole:
            return
        self._drawing.handed_over()
        self._free = False
        self._shown(
            Shown(
                pixels=pixels,
                place=(grid or NO_GRID).place,
                rectangle=(grid or NO_GRID).rectangle,
                wish=wish,
                spec=looking.spec,
                shape=(rows, cols),
                frame=seen.frame,
                fresh=fresh,
                index=seen.index,
                value=value,
                note=" · ".join(filter(None, (seen.words, corrections.note))),
                failed=corrections.failed,
                skipped=looking.skipped if fresh else 0,
                measured=measured,
            )
        )
