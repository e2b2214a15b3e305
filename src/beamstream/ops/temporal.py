"""Ops with a memory of the frames before: background, running average, sum, difference.

All start anew when shape or pixel type of the frames change.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.base import Meta
from beamstream.ops.dtypes import for_difference, for_fractions, for_sum
from beamstream.ops.options import Described, one_of, whole

_ENDLESS = 2**31
"""Frames that an endless sum has to hold without wrapping around."""


class FrameSum:
    """Add up the last frames: exact for integers up to 32 bit, else in float64.

    Parameters
    ----------
    window : int, optional
        How many frames; they are kept, so this takes the memory of so many. None: all since the first, none is kept.
    """

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._kept = np.empty(0)
        self._geometry: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        self._seen = 0
        self.total = np.empty(0)

    @property
    def count(self) -> int:
        """How many frames are in the sum."""
        return self._seen if self._window is None else min(self._seen, self._window)

    def fits(self, image: NDArray[Any]) -> bool:
        """Return whether there is a sum, and of such frames."""
        return self._geometry == (image.shape, image.dtype)

    def add(self, image: NDArray[Any]) -> None:
        """Take a frame in, and the oldest out."""
        if not self.fits(image):
            self._start(image)
        with np.errstate(invalid="ignore", over="ignore"):
            slot = 0
            if self._window is not None:
                slot = self._seen % self._window
                if self._seen >= self._window:
                    np.subtract(self.total, self._kept[slot], out=self.total)
                self._kept[slot] = image
            np.add(self.total, image, out=self.total)
            self._seen += 1
            if self.total.dtype.kind == "f" and self._window is not None:
                self._renew(slot)

    def mean(self) -> NDArray[Any]:
        """Return the mean in new memory."""
        assert self._geometry is not None
        mean = np.empty(self.total.shape, for_fractions(self._geometry[1]))
        return np.divide(self.total, self.count, out=mean, casting="same_kind")

    def _renew(self, slot: int) -> None:
        """Add up anew once a round, for what rounding left behind, and where a NaN would outlive its frame."""
        if slot == self._kept.shape[0] - 1 or not np.isfinite(self.total.sum()):
            self.total = self._kept[: self.count].sum(axis=0, dtype=np.float64)

    def _start(self, image: NDArray[Any]) -> None:
        self._geometry = (image.shape, image.dtype)
        self._seen = 0
        dtype = for_sum(image.dtype, self._window or _ENDLESS)
        self.total = np.zeros(image.shape, np.float64 if dtype.kind == "f" else dtype)
        if self._window is not None:
            self._kept = np.empty((self._window, *image.shape), image.dtype)


class BackgroundSubtract(Described):
    """Show what changes: subtract the mean of the frames before, or the first frame.

    The first frame has nothing before it: it becomes zeros. The result is signed: float32 up to 16 bit, else float64.

    Parameters
    ----------
    method : {"rolling", "first"}
    window : int
        For ``rolling``: how many frames before this one make the background.
    """

    def __init__(self, method: str = "rolling", window: int = 10) -> None:
        self.method = one_of("background", "method", method, ("rolling", "first"))
        self.window = whole("background", "window", window, least=1)
        self._before = FrameSum(self.window if method == "rolling" else 1)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the image without its background."""
        first = not self._before.fits(image)
        if first:
            self._before.add(image)
        result = self._before.mean()
        np.subtract(image, result, out=result)
        if not first and self.method == "rolling":
            self._before.add(image)
        return result


class RunningAverage(Described):
    """Smooth in time: the mean of this frame and the ones before; float32 up to 16 bit, else float64.

    Parameters
    ----------
    window : int, optional
        How many frames; None: all since the first.
    """

    def __init__(self, window: int | None = 10) -> None:
        self.window = None if window is None else whole("average", "window", window, least=1)
        self._last = FrameSum(self.window)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the mean so far."""
        self._last.add(image)
        return self._last.mean()


class RunningSum(Described):
    """Collect faint light: the sum of this frame and the ones before.

    Integers become integers that cannot wrap around in `window` frames (32 bit where that is enough, else 64; float64
    for 64-bit pixels), floats stay floats (float32 at least).

    Parameters
    ----------
    window : int, optional
        How many frames; None: all since the first.
    """

    def __init__(self, window: int | None = 10) -> None:
        self.window = None if window is None else whole("sum", "window", window, least=1)
        self._last = FrameSum(self.window)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the sum so far, in new memory."""
        self._last.add(image)
        return self._last.total.astype(for_sum(image.dtype, self.window or _ENDLESS))


class Difference(Described):
    """Show motion: this frame minus the one before; the first frame becomes zeros.

    The result is signed: integers of twice the size (uint16 becomes int32; 64 bit becomes float64), floats stay
    floats (float32 at least).
    """

    def __init__(self) -> None:
        self._before: NDArray[Any] | None = None

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the difference."""
        before = self._before
        if before is None or (before.shape, before.dtype) != (image.shape, image.dtype):
            before = image
        difference = np.subtract(image, before, dtype=for_difference(image.dtype))
        self._before = image.copy()  # the image is the caller's, and gone after this call
        return difference
