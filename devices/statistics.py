"""Numbers of the frame that a trigger took, as ordinary readings of a step scan."""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from event_model import DataKey
from ophyd import Component as Cpt
from ophyd import Device
from ophyd.signal import SignalRO
from ophyd.status import StatusBase

from beamstream.frames import Frame
from beamstream.recorded import RecordedFrames
from beamstream.recording import Recording

log = logging.getLogger(__name__)


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


class LastFrame(Device):
    """Numbers of the frame that the last trigger recorded; to be derived from, with a `Statistic` for each.

    Computed from the very frame that is in the file, once a trigger, when one of them is first read, in the
    reader's thread. Zeros while there is no such frame: before the first trigger of a run, after one that failed,
    in flight. NaN where a frame has no such numbers, with one warning a run: they never fail it, the frame is recorded
    as it came. To do without: ``cam.stats.kind = "omitted"``, then nothing is computed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited: tuple[StatusBase, Recording, Path] | None = None
        self._nothing: Mapping[str, float] = dict.fromkeys(self.component_names, 0.0)
        self._none: Mapping[str, float] = dict.fromkeys(self.component_names, math.nan)
        self._values = self._nothing
        self._warned: Path | None = None  # of the recording whose frames have no numbers
        self.timestamp = time.time()
        """The detector's, of the frame; s since 1970-01-01 UTC."""

    def measure(self, frame: Frame) -> Mapping[str, float]:
        """Return the numbers of a frame by name; ValueError, TypeError where there are none."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the last frame."""
        self._awaited, self._values, self.timestamp = None, self._nothing, time.time()

    def follow(self, trigger: StatusBase, recording: Recording, path: Path) -> None:
        """Take the next values from the one frame of this trigger, which is recorded to `path`."""
        self.reset()
        self._awaited = trigger, recording, path

    @property
    def values(self) -> Mapping[str, float]:
        """The numbers by name."""
        if self._awaited is not None:
            trigger, recording, path = self._awaited
            if trigger.done and trigger.success:
                self._values, self.timestamp = self._last(recording, path)
                self._awaited = None
        return self._values

    def _last(self, recording: Recording, path: Path) -> tuple[Mapping[str, float], float]:
        try:
            return recording.from_last(self._measured) or self._from_file(path)
        except Exception as error:  # of whatever kind: the frame is recorded
            if self._warned != path:
                self._warned = path
                log.warning("%s: the frames of %s have no such numbers, NaN is read: %s", self.name, path, error)
            return self._none, time.time()

    def _measured(self, frame: Frame) -> tuple[Mapping[str, float], float]:
        return self.measure(frame), frame.timestamp

    def _from_file(self, path: Path) -> tuple[Mapping[str, float], float]:
        """Measure the last frame of a file, which may still grow."""
        with RecordedFrames(path) as recorded:
            stop = len(recorded)
            ((frame,),) = recorded.read(stop - 1, stop)
            return self._measured(frame)


class FrameStatistics(LastFrame):
    """Read total, mean, extremes, spread and centroid of the image that the last trigger recorded.

    What they mean in detail: `beamstream.ops.statistics.FrameStatistics`.
    """

    total = _statistic("counts", "hinted")
    mean = _statistic("counts")
    min = _statistic("counts")
    max = _statistic("counts")
    std = _statistic("counts")
    centroid_row = _statistic("pixels")
    centroid_col = _statistic("pixels")
    saturated = _statistic("pixels")

    def measure(self, frame: Frame) -> Mapping[str, float]:
        """Return the numbers of an image by name."""
        from beamstream.ops.statistics import frame_statistics  # here: what it imports is slow to start

        found = frame_statistics(frame.image, color_mode=frame.geometry.color_mode)
        return {name: float(getattr(found, name)) for name in self.component_names}


class SpectrumStatistics(LastFrame):
    """Read mean, extremes and the strongest channel of the spectrum that the last trigger recorded.

    Of the first beam, and of the first polarisation where there are several; NaN is left out.
    """

    mean = _statistic("arb. u.", "hinted")
    min = _statistic("arb. u.")
    max = _statistic("arb. u.")
    peak_channel = _statistic("channels")

    def measure(self, frame: Frame) -> Mapping[str, float]:
        """Return the numbers of a spectrum by name."""
        power = frame.image[0].reshape(len(frame.image[0]), -1)[:, 0]
        finite = np.isfinite(power)
        if not finite.any():
            return self._nothing
        peak = int(np.argmax(np.where(finite, power, -np.inf)))
        power = power[finite]
        numbers = (power.mean(dtype=np.float64), power.min(), power.max(), peak)
        return dict(zip(self.component_names, map(float, numbers), strict=True))
