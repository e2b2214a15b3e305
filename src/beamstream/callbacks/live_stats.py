"""Numbers about the newest frame while a run goes on, for tables and curves."""

from collections.abc import Collection, Mapping
from typing import Any

from beamstream.callbacks.derived import descriptor_of, event_of
from beamstream.callbacks.images import DERIVED, Emit, Source, wanted
from beamstream.callbacks.intensity import refuse_outside
from beamstream.callbacks.work import FrameWork
from beamstream.frames import Frame

Region = tuple[int, int, int, int]
_NUMBERS = ("mean", "max", "total", "centroid_row", "centroid_col")


class LiveStats:
    """Publish mean, maximum, sum, centroid and sums of regions of the newest frame, as events of the same run.

    They are the stream ``<stream>_live``, hinted, so that bluesky's LiveTable and BestEffortCallback show them when
    they are in the same chain. Each time that documents announce frames, the newest is measured; the others are
    skipped and counted.

    Parameters
    ----------
    regions : Mapping of str to (first row, first column, rows, columns), optional
        Sums of these are published as ``<detector>_live_<name>``; pixels.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    detectors : collection of str, optional
        Whose frames; all by default.

    Raises
    ------
    ValueError
        A region has no name that can be part of a data key.
    """

    name = "live_stats"
    required = False
    derives = True

    def __init__(
        self,
        regions: Mapping[str, Region] | None = None,
        *,
        stream: str = "raw",
        detectors: Collection[str] | None = None,
    ) -> None:
        self.regions = dict(regions or {})
        for name in self.regions:
            if not name.isidentifier() or name in _NUMBERS:
                raise ValueError(f"live stats: a region named {name!r} given; use letters, digits and _, like spot")
        self.stream = stream
        self.detectors = detectors

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "StatsWork":
        """Begin with a run."""
        return StatsWork(self, start, emit)


class StatsWork(FrameWork):
    """What `LiveStats` does for one run."""

    def __init__(self, of: LiveStats, start: Mapping[str, Any], emit: Emit) -> None:
        super().__init__(of.name, start, emit, wanted(of.stream, of.detectors), newest=True)
        self._regions = of.regions
        self._descriptors_out: dict[str, dict[str, Any]] = {}
        self._told: dict[str, int] = {}

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse regions that lie outside of the images."""
        refuse_outside(self.name, self._regions, descriptor, data_key)

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Publish the numbers of the newest frame."""
        data = self._numbers(source, frames[-1])
        descriptor = self._descriptors_out.get(source.data_key)
        if descriptor is None:
            descriptor = self._descriptors_out[source.data_key] = self._describe(source, data)
            self.emit("descriptor", descriptor)
        number = self._told[source.data_key] = self._told.get(source.data_key, 0) + 1
        self.emit("event", event_of(descriptor, number, data))

    def _numbers(self, source: Source, frame: Frame) -> dict[str, float]:
        from beamstream.ops.statistics import frame_statistics, roi_sum

        mode = frame.geometry.color_mode
        numbers = frame_statistics(frame.image, color_mode=mode)
        data = {name: float(getattr(numbers, name)) for name in _NUMBERS}
        data |= {name: float(roi_sum(frame.image, region, color_mode=mode)) for name, region in self._regions.items()}
        data["unique_id"] = frame.unique_id
        return {f"{source.name}_live_{name}": value for name, value in data.items()}

    def _describe(self, source: Source, data: Mapping[str, float]) -> dict[str, Any]:
        keys = {key: {"source": source.data_key, "dtype": "number", "shape": [], **_units(key)} for key in data}
        name = f"{source.name}_live"
        about = {DERIVED: source.data_key} | {key: list(region) for key, region in self._regions.items()}
        hinted = [key for key in keys if not key.endswith("_unique_id")]
        stream = f"{source.descriptor.get('name', 'primary')}_live"
        return descriptor_of(self.start, stream, {name: keys}, {name: about}, {name: hinted})


def _units(key: str) -> dict[str, str]:
    if key.endswith("_unique_id"):
        return {}
    return {"units": "pixel" if key.endswith(("_row", "_col")) else "counts"}
