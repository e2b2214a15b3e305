"""The intensity of regions against time, of every frame of a run."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from beamstream.callbacks.axes import settings_of
from beamstream.callbacks.derived import close_all
from beamstream.callbacks.derived_table import MADE, DerivedTable
from beamstream.callbacks.images import Emit, Source, wanted
from beamstream.callbacks.work import FrameWork
from beamstream.frames import ColorMode, Frame
from beamstream.ops.intensity import mean_intensity
from beamstream.sinks.hdf5_table import TableColumn

Region = tuple[int, int, int, int]
"""First row, first column, rows, columns; pixels."""
WHOLE = "image"
"""What the region is called where none is given."""


class Intensity:
    """Keep the mean of regions of every frame: a RHEED intensity curve that is complete.

    The stream ``<stream>_intensity`` has ``<detector>_<region>_intensity`` (counts, float64) and
    ``<detector>_intensity_time`` (the detector's timestamp, s since 1970-01-01 UTC), a row a frame in the order of
    the frames. They are arrays of the archive: ``run["primary_intensity"]["camera_spot_intensity"][:]``.

    Parameters
    ----------
    regions : Mapping of str to (first row, first column, rows, columns), optional
        Pixels; by default the whole image, called ``image``.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    required : bool
        Whether its failure fails the run.
    detectors : collection of str, optional
        Whose frames; all by default.

    Raises
    ------
    ValueError
        A region has no name that can be part of a data key, or no pixels.
    """

    name = "intensity"
    derives = True

    def __init__(
        self,
        regions: Mapping[str, Region] | None = None,
        *,
        stream: str = "raw",
        required: bool = False,
        detectors: Collection[str] | None = None,
    ) -> None:
        self.regions = checked_regions(self.name, regions)
        self.stream = stream
        self.required = required
        self.detectors = detectors

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "IntensityWork | None":
        """Begin with a run; not with one that takes darks or flats."""
        if start.get("purpose") == "reference":
            return None
        return IntensityWork(self, start, emit)


class IntensityWork(FrameWork):
    """What `Intensity` does for one run."""

    def __init__(self, of: Intensity, start: Mapping[str, Any], emit: Emit) -> None:
        super().__init__(of.name, start, emit, wanted(of.stream, of.detectors))
        self._regions = of.regions
        self._tables: dict[str, DerivedTable] = {}

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse regions that lie outside of the images."""
        refuse_outside(self.name, self._regions, descriptor, data_key)

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Keep the intensities of frames."""
        table = self._tables.get(source.data_key)
        if table is None:
            table = self._tables[source.data_key] = self._open(source)
        table.append(
            {
                "intensity_time": [frame.timestamp for frame in frames],
                **{f"{name}_intensity": values for name, values in intensities(frames, self._regions).items()},
            }
        )

    def _open(self, source: Source) -> DerivedTable:
        columns = {f"{name}_intensity": TableColumn(units="counts") for name in self._regions}
        about: dict[str, Any] = {MADE: "intensity", "value": "mean of the region"}
        speed = settings_of(source.descriptor, source.data_key).get("rotations_per_min")
        if speed is not None:
            about["rotations_per_min"] = float(speed)
        about |= {name: list(region) for name, region in self._regions.items() if region is not None}
        return DerivedTable(self.start, source, "intensity", columns, about, self.emit)

    def ended(self) -> None:
        """Finish the files, all of them."""
        close_all(self._tables.values(), complete=self.complete)


def intensities(frames: list[Frame], regions: Mapping[str, Region | None]) -> dict[str, list[float]]:
    """Return the mean of each region of each frame, counts."""
    found: dict[str, list[float]] = {name: [] for name in regions}
    for frame in frames:
        image, mode = frame.image, frame.geometry.color_mode
        for name, region in regions.items():
            found[name].append(mean_intensity(image, region, mode))
    return found


def checked_regions(who: str, regions: Mapping[str, Region] | None) -> dict[str, Region | None]:
    """Return regions by name, the whole image if there are none.

    Raises
    ------
    ValueError
        A name cannot be part of a data key, or a region has no pixels.
    """
    for name, region in (regions or {}).items():
        if not name.isidentifier():
            raise ValueError(f"{who}: a region named {name!r} given; use letters, digits and _, like spot")
        if len(region) != 4 or min(region) < 0 or 0 in region[2:]:
            raise ValueError(f"{who}: region {name} is {region}; use (row, column, rows, columns) in pixels")
    return dict(regions) if regions else {WHOLE: None}


def refuse_outside(
    who: str, regions: Mapping[str, Region | None], descriptor: Mapping[str, Any], data_key: str
) -> None:
    """Refuse regions that lie outside of images that will come.

    Raises
    ------
    ValueError
        One does; the message names it.
    """
    about = descriptor["data_keys"][data_key]
    blank = np.broadcast_to(np.uint8(0), about["shape"])
    for name, region in regions.items():
        try:
            mean_intensity(blank, region, ColorMode(about.get("color_mode", ColorMode.MONO)))
        except ValueError as error:
            raise ValueError(f"{who}: {name} of {data_key}: {error}") from None
