"""What the window asks of the eye, and what it gets: immutable, so that two threads can hold them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import Frame
from beamstream.ops.statistics import FrameStatistics, Roi
from beamstream.viewers.qt.orientation import UPRIGHT, Orientation, Rectangle
from beamstream.viewers.qt.shades import AUTOMATIC, Contrast
from beamstream.watching.streams import StreamSpec

Line = tuple[float, float, float, float]
"""Row and column of one end, row and column of the other; 0 is the middle of the first pixel."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be shown, and how.

    Parameters
    ----------
    view : Rectangle or None
        What the window shows of the picture as it is seen, pixels; None: all of it.
    size : tuple of int
        Width and height of the window, device pixels.
    orientation : Orientation
    contrast : Contrast
    palette : str
    max_fps : float
        0: no limit.
    display_bin : int
        0: what the window can show.
    paused : bool
    correct : tuple of str
        Which of ``flat``, ``dark`` and ``pipeline`` are done.
    renewed : int
        A number; when it changes, references and pipeline are looked for again.
    cross : tuple of int, optional
        Row and column of the crosshair.
    roi : Roi, optional
    line : Line, optional
    """

    view: Rectangle | None = None
    size: tuple[int, int] = (0, 0)
    orientation: Orientation = UPRIGHT
    contrast: Contrast = AUTOMATIC
    palette: str = "grey"
    max_fps: float = 0.0
    display_bin: int = 0
    paused: bool = False
    correct: tuple[str, ...] = ()
    renewed: int = 0
    cross: tuple[int, int] | None = None
    roi: Roi | None = None
    line: Line | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured in one frame as it is shown, corrected if it is; a few times a second."""

    limits: tuple[float, float]
    counts: NDArray[Any]
    edges: NDArray[Any]
    whole: tuple[float, float, float]  # least, greatest, mean of some
    roi: FrameStatistics | None = None
    profile: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One frame, ready to be painted.

    Parameters
    ----------
    pixels : ndarray of uint32, shape (n_rows, n_cols)
        0xffRRGGBB; the eye's memory, good until the next but one is painted.
    place : tuple of int
        Left and top in the window, device pixels.
    rectangle : Rectangle
        The same in pixels of the picture as it is seen.
    wish : Wish
        That it was made for.
    shape : tuple of int
        Rows and columns of the frame.
    spec : StreamSpec
        Of the stream.
    frame : Frame
        As it came; its pixels may be overwritten.
    fresh : bool
        It is another frame than the last one.
    index : int
        In the ring.
    value : tuple of float
        At the crosshair; three where there are colours, none outside.
    note : str
        What was done to it.
    failed : bool
        Whether something that was asked for could not be done.
    skipped : int
        Frames that came since the last one and were not shown.
    measured : Measured, optional
    """

    pixels: NDArray[np.uint32]
    place: tuple[int, int]
    rectangle: Rectangle
    wish: Wish
    shape: tuple[int, int]
    spec: StreamSpec
    frame: Frame
    fresh: bool
    index: int
    value: tuple[float, ...] = ()
    note: str = ""
    failed: bool = False
    skipped: int = 0
    measured: Measured | None = None
