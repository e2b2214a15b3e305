"""Numbers of the frame that a trigger took, as ordinary readings of a step scan."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Device
from ophyd.signal import SignalRO
from ophyd.status import StatusBase

from beamstream.frames import Frame
from beamstream.recorded import RecordedFrames
from beamstream.recording import Recording

_NOTHING: Mapping[str, float] = dict.fromkeys(
    ("total", "mean", "min", "max", "std", "centroid_row", "centroid_col", "saturated"), 0.0
)


class Statistic(SignalRO):
    """One number of the frame; describing it computes nothing.

    Parameters
    ----------
    units : str
        Goes into the data key.
    """

    def __init__(self, *, units: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._units = units

    def get(self, **kwargs: Any) -> float:
        """Return the number, computed at the first reading after a trigger."""
        stats: Any = self.parent
        self._readback = stats.values[self.attr_name]
        self._metadata["timestamp"] = stats.timestamp
        return self._readback

    def describe(self) -> dict[str, DataKey]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the data key."""
        stats: Any = self.parent
        source = f"PY:{stats.name}.{self.attr_name}"
        key = DataKey(source=source, dtype="number", shape=[], dtype_numpy="<f8", units=self._units)
        return {self.name: key}


def _statistic(units: str, kind: str = "normal") -> Cpt:
    return Cpt(Statistic, units=units, kind=kind)


class FrameStatistics(Device):
    """Read total, mean, extremes, spread and centroid of the frame that the last trigger recorded.

    Computed from the very frame that is in the file, once a trigger, when one of them is first read, in the
    reader's thread. Zeros while there is no such frame: before the first trigger of a run, after one that failed,
    in flight. What they mean in detail: `beamstream.ops.statistics.FrameStatistics`. To do without:
    ``cam.stats.kind = "omitted"``, then nothing is computed.
    """

    total = _statistic("counts", "hinted")
    mean = _statistic("counts")
    min = _statistic("counts")
    max = _statistic("counts")
    std = _statistic("counts")
    centroid_row = _statistic("pixels")
    centroid_col = _statistic("pixels")
    saturated = _statistic("pixels")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited: tuple[StatusBase, Recording, Path] | None = None
        self._values = _NOTHING
        self.timestamp = time.time()
        """The detector's, of the frame; s since 1970-01-01 UTC."""

    def reset(self) -> None:
        """Forget the last frame."""
        self._awaited, self._values, self.timestamp = None, _NOTHING, time.time()

    def follow(self, trigger: StatusBase, recording: Recording, path: Path) -> None:
        """Take the next values from the one frame of this trigger, which is recorded to `path`."""
        self.reset()
        self._awaited = trigger, recording, path

    @property
    def values(self) -> Mapping[str, float]:
        """The numbers by name.

        Raises
        ------
        CodecError
            The frame is recorded as it came, but cannot be decoded.
        SinkError
            The frame is neither in the ring any more nor readable in its file.
        """
        if self._awaited is not None:
            trigger, recording, path = self._awaited
            if trigger.done and trigger.success:
                self._values, self.timestamp = recording.from_last(_measured) or _from_file(path)
                self._awaited = None
        return self._values


def _from_file(path: Path) -> tuple[Mapping[str, float], float]:
    """Measure the last frame of a file, which may still grow."""
    with RecordedFrames(path) as recorded:
        stop = len(recorded)
        ((frame,),) = recorded.read(stop - 1, stop)
        return _measured(frame)


def _measured(frame: Frame) -> tuple[Mapping[str, float], float]:
    """Return the numbers of a frame, and its timestamp."""
    from beamstream.ops.statistics import frame_statistics  # here: what it imports is slow to start

    found = frame_statistics(frame.image, color_mode=frame.geometry.color_mode)
    return {name: float(getattr(found, name)) for name in _NOTHING}, frame.timestamp
