"""One layer of napari for one stream, updated in place."""

import time
from collections import deque
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import BeamstreamError
from beamstream.frames import Frame
from beamstream.ops.contrast import limits, samples
from beamstream.viewers.napari.pixels import as_plane, contrast_range
from beamstream.viewers.napari.rings import Live
from beamstream.viewers.napari.stack import Stack

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_THOROUGH = 0.25  # s between two frames that napari sees itself: for what it says of the pixel below the pointer
_THUMBNAIL = 1.0  # s between two
_KEPT = 2048  # ages


class Canvas(Protocol):
    """Where frames are drawn: `beamstream.viewers.napari.drawing.Drawing`."""

    def put(self, layer: "Image", image: NDArray[Any], /) -> bool:
        """Bring an image there, past the layer; False where only the layer can."""
        ...

    def canvas_only(self) -> AbstractContextManager[None]:
        """Let only the canvas hear of a change."""
        ...


class StreamLayer:
    """Show a stream: its live frames, and what is recorded of the last run.

    Parameters
    ----------
    viewer : ViewerModel
    name : str
        Of the layer.

    Attributes
    ----------
    layer : Image or None
        None before the first frame, or when somebody deleted it.
    stack : Stack or None
    live : Live or None
        Where live frames come from now.
    drawn : int
        Frames that were on the screen.
    """

    def __init__(self, viewer: "ViewerModel", name: str) -> None:
        self.name = name
        self.layer: Image | None = None
        self.stack: Stack | None = None
        self.live: Live | None = None
        self.deleted = False
        self.drawn = 0
        self.trouble = ""
        self.frame: Frame | None = None
        """The live one that is shown."""
        self._viewer = viewer
        self._shape: tuple[int, ...] = ()
        self._size: tuple[float, ...] = ()
        self._pending: Frame | None = None
        self._contrast_of: np.dtype[Any] | None = None
        self._unpainted = False
        self._unseen = False
        self._thorough_at = 0.0
        self._thumbnail_at = 0.0
        self._ages: deque[float] = deque(maxlen=_KEPT)
        self._drawn_at: deque[float] = deque(maxlen=_KEPT)

    # what there is to show

    def show(self, stack: Stack, *, scale: tuple[float, ...] = (), units: str = "", number: int | None = None) -> None:
        """Show a stack from now on, in the same layer.

        Parameters
        ----------
        stack : Stack
            Also the one that is shown already, after its shape has changed.
        scale : tuple of float, optional
            Size of a pixel, by rows and columns.
        units : str
            Of that.
        number : int, optional
            Where it is on the axis of detectors.
        """
        if self.deleted:
            return
        if self.stack is not None and self.stack is not stack:
            self.stack.close()
            self.trouble = ""
        self.stack = stack
        if self.layer is None or self.layer.rgb != stack.rgb:
            self._make(stack)
        elif self.layer.data is not stack or self._shape != stack.shape:
            self.layer.data = stack  # pyright: ignore[reportAttributeAccessIssue]
        assert self.layer is not None
        _arrange(self.layer, len(stack.lead), scale, units, number)
        self._adjust()
        size = (*stack.plane, *self.layer.scale[-2:])
        if self._size != size:
            self._viewer.reset_view()
        self._shape, self._size = stack.shape, size
        self._thorough_at = 0.0

    def _make(self, stack: Stack) -> None:
        if self.layer is not None:
            self._viewer.layers.remove(self.layer)
        layer: Any = self._viewer.add_image(
            stack, name=self.name, rgb=stack.rgb, contrast_limits=None if stack.rgb else (0, 1), multiscale=False
        )  # pyright: ignore[reportCallIssue]
        self.layer, self._contrast_of, self.deleted = layer, None, False

    def rest(self) -> None:
        """Keep the image that is shown, and no axes: another run has others."""
        if self.stack is None or self.layer is None or not self.stack.lead:
            return
        old, newest = self.stack, self.stack.newest
        frozen = Stack(old.plane, old.dtype.str, old.mode)
        frozen.plane, frozen.words, frozen.frames = old.plane, old.words, old.frames
        frozen.live = old[newest]
        self.show(frozen)

    # frame after frame

    def turn(self, following: bool, canvas: Canvas) -> bool:
        """Look for a new frame and put it into the layer; return whether there is something to draw.

        Parameters
        ----------
        following : bool
            Whether live frames of a run are wanted.
        canvas : Canvas
        """
        frame = self._newest()
        if self.deleted:
            return False
        if frame is None:
            return self._unseen and time.monotonic() > self._thorough_at and self._see(canvas)
        if self.stack is None or not self._fits(frame):
            if self.stack is not None and self.stack.lead:  # to be looked through
                self.trouble = f"live images are other ones, {frame.geometry}; they are shown when the next run begins"
                return False
            self.show(Stack(frame.geometry.shape, frame.geometry.dtype, frame.geometry.color_mode))
        assert self.stack is not None
        self.trouble = ""
        if self.layer is None or not self.layer.visible or (self.stack.lead and not following):
            return False
        try:
            self.stack.live, self.stack.words = as_plane(frame.image, self.stack.mode)
        except BeamstreamError as error:  # cannot be decoded
            self.trouble = str(error)
            return False
        self.frame = self._pending = frame
        self.stack.times = {self.stack.newest: frame.timestamp}
        self._adjust()
        self._unseen = time.monotonic() < self._thorough_at and canvas.put(self.layer, self.stack.live)
        return self._unseen or self._see(canvas)

    def _see(self, canvas: Canvas) -> bool:
        """Have napari see the frame: it says what the pixels are, and makes the thumbnail."""
        self._unseen = False
        if self.layer is None:
            return False
        now = time.monotonic()
        self._thorough_at = now + _THOROUGH
        thumbnail = now > self._thumbnail_at
        if thumbnail:
            self._thumbnail_at = now + _THUMBNAIL
            self._unpainted = True
        with canvas.canvas_only():
            self.layer.refresh(extent=False, highlight=False, thumbnail=thumbnail)
        return True

    def _newest(self) -> Frame | None:
        return self.live.newest() if self.live is not None else None

    def _fits(self, frame: Frame) -> bool:
        g, stack = frame.geometry, self.stack
        assert stack is not None
        return (g.shape, np.dtype(g.dtype).newbyteorder("="), g.color_mode) == stack.frames

    def recorded(self) -> None:
        """Show what is recorded where the live frame was."""
        self.frame = None
        if self.stack is not None and self.stack.lead and self.stack.live is not None:
            self.stack.live = None
            if self.layer is not None:
                self.layer.refresh(extent=False)

    def _adjust(self) -> None:
        """Choose the contrast from the first image, and keep it; again for other types of pixels."""
        stack, layer = self.stack, self.layer
        if stack is None or layer is None or stack.rgb or self._contrast_of == stack.dtype:
            return
        if stack.live is None and stack.row(stack.newest) is None:
            return
        few = samples(stack.live if stack.live is not None else stack[stack.newest])
        if not few.size:
            return  # nothing finite: the next image may have some
        low, high = limits(few)
        layer.contrast_limits_range = contrast_range(stack.dtype, low, high)
        layer.contrast_limits = (low, high)
        self._contrast_of = stack.dtype

    # what was drawn

    def swapped(self, now: float) -> None:
        """Hear that what was put into the layer is on the screen; `now` in s since 1970-01-01 UTC."""
        frame, self._pending = self._pending, None
        if frame is not None:
            self.drawn += 1
            self._ages.append(now - frame.received)
            self._drawn_at.append(now)

    def thumbnail_to_paint(self) -> bool:
        """Return, once, whether there is a new thumbnail that nobody has painted."""
        unpainted, self._unpainted = self._unpainted, False
        return unpainted

    @property
    def shown_rate(self) -> float:
        """Frames drawn a second, over the last 2 s."""
        recent = [t for t in self._drawn_at if t > time.time() - 2.0]
        return len(recent) / 2.0

    def age(self, percentile: float = 50) -> float | None:
        """Return how old frames were when they were on the screen, since they were received, s."""
        return float(np.percentile(self._ages, percentile)) if self._ages else None

    def forget_ages(self) -> None:
        """Begin to measure anew."""
        self._ages.clear()

    def close(self) -> None:
        """Let go of ring and file."""
        if self.live is not None:
            self.live.close()
            self.live = None
        if self.stack is not None:
            self.stack.close()


def _arrange(layer: "Image", lead: int, scale: tuple[float, ...], units: str, number: int | None) -> None:
    """Give a layer its scale, its units and its place on the axis of detectors."""
    wanted = (*(1.0,) * lead, *(scale or (1.0, 1.0)))
    if tuple(layer.scale) != wanted:
        layer.scale = np.array(wanted)
    shift = (*(float(number or 0),) * min(lead, 1), *(0.0,) * (len(wanted) - min(lead, 1)))
    if tuple(layer.translate) != shift:
        layer.translate = shift
    try:
        layer.units = (*("pixel",) * lead, *(units or "pixel",) * 2)
    except Exception:  # a unit that pint does not know
        layer.units = ("pixel",) * (lead + 2)
