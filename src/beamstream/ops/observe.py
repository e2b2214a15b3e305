"""An op that changes nothing and takes notes: the statistics of each frame."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from beamstream.frames import ColorMode
from beamstream.ops.axes import rows_and_columns
from beamstream.ops.base import Meta
from beamstream.ops.options import Described, whole, wrong
from beamstream.ops.statistics import FrameStatistics, frame_statistics

_MODES = {(0, 1): ColorMode.RGB1, (0, 2): ColorMode.RGB2, (1, 2): ColorMode.RGB3}


class CollectStatistics(Described):
    """Pass the image on as it is and note its statistics.

    Parameters
    ----------
    keep : int
        Of how many frames the statistics are kept until they are taken; older ones are dropped and counted.
    roi : list of int, optional
        First row, first column, n_rows, n_cols: only this region counts.

    Attributes
    ----------
    latest : FrameStatistics or None
        Of the newest frame.
    dropped : int
        How many went before somebody took them.
    """

    def __init__(self, keep: int = 1000, roi: Sequence[int] | None = None) -> None:
        self.keep = whole("statistics", "keep", keep, least=1)
        if roi is not None and (not isinstance(roi, list | tuple) or len(roi) != 4):
            raise wrong("statistics", "roi", roi, "give first row, first column, n_rows, n_cols")
        least = (0, 0, 1, 1)
        self.roi = roi and [whole("statistics", "roi", n, least=m) for n, m in zip(roi, least, strict=True)]
        self.latest: FrameStatistics | None = None
        self.dropped = 0
        self._collected: deque[tuple[Any, FrameStatistics]] = deque(maxlen=self.keep)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the image itself."""
        axes = rows_and_columns("statistics", image, meta)
        mode = ColorMode.MONO if image.ndim == 2 else _MODES.get(axes, ColorMode.MONO)
        roi = (self.roi[0], self.roi[1], self.roi[2], self.roi[3]) if self.roi else None
        self.latest = frame_statistics(image, color_mode=mode, roi=roi)
        self.dropped += len(self._collected) == self.keep
        self._collected.append((meta.get("uid"), self.latest))
        return image

    def take(self) -> list[tuple[Any, FrameStatistics]]:
        """Return what was collected since the last call, oldest first: uid and statistics; any thread may ask."""
        return [self._collected.popleft() for _ in range(len(self._collected))]
