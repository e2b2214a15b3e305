"""K-space against time: a line profile of every frame, or one image for each azimuth of a rotating sample."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.callbacks.axes import settings_of
from beamstream.callbacks.derived import close_all
from beamstream.callbacks.derived_table import MADE, DerivedTable
from beamstream.callbacks.images import Emit, Source, wanted
from beamstream.callbacks.intensity import Region
from beamstream.callbacks.work import FrameWork
from beamstream.frames import ColorMode, Frame
from beamstream.ops.strip import Rotation, line_profile
from beamstream.sinks.hdf5_table import TableColumn


class Strip:
    """Keep the profile of a band of each frame as a row of an image that grows in time.

    Of a sample that does not rotate, the stream ``<stream>_strip`` has ``<detector>_strip`` (counts, a row a frame)
    and ``<detector>_strip_time``. With `angles`, there is one stream for each: ``<stream>_strip_045`` has
    ``<detector>_strip_045`` of the frames within `tolerance` of 45°, ``…_strip_045_azimuth`` (degrees) and
    ``…_strip_045_time``. All are arrays of the archive.

    The azimuth of a frame is ``azimuth + 360 (t - t0) rotations_per_min / 60``, t by the detector's clock; t0 is the
    run's first frame unless `reference` says otherwise, and stands in the descriptor.

    Parameters
    ----------
    region : tuple of int, optional
        First row, first column, rows, columns of the band; the whole image by default.
    average : {"rows", "columns"}
        What the profile is the mean over: ``"rows"`` leaves one value a column.
    angles : sequence of float
        Degrees; of the whole run in one image if there are none.
    tolerance : float
        Degrees to either side.
    rotations_per_min, azimuth : float, optional
        Speed, and where it stands at the reference; what the detector's configuration says by default, otherwise 0.
    reference : float, optional
        s since 1970-01-01 UTC.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    required : bool
        Whether its failure fails the run.
    detectors : collection of str, optional
        Whose frames; all by default.
    name : str
        Of the callback in the run's account.

    Raises
    ------
    ValueError
        An option cannot be.
    """

    derives = True

    def __init__(
        self,
        region: Region | None = None,
        *,
        average: Literal["rows", "columns"] = "rows",
        angles: Sequence[float] = (),
        tolerance: float = 2.0,
        rotations_per_min: float | None = None,
        azimuth: float | None = None,
        reference: float | None = None,
        stream: str = "raw",
        required: bool = False,
        detectors: Collection[str] | None = None,
        name: str = "strip",
    ) -> None:
        if average not in ("rows", "columns"):
            raise ValueError(f"strip: average {average!r} given; use 'rows' or 'columns'")
        if not 0 < tolerance <= 180:
            raise ValueError(f"strip: tolerance {tolerance} given; use degrees above 0, up to 180")
        if region is not None and (len(region) != 4 or min(region) < 0 or 0 in region[2:]):
            raise ValueError(f"strip: region {region} given; use (row, column, rows, columns) in pixels")
        self.angles = tuple(float(angle) % 360 for angle in angles)
        if len({round(angle) % 360 for angle in self.angles}) < len(self.angles):
            raise ValueError(f"strip: angles {list(angles)} given; their streams need them 1 degree apart")
        self.region = region
        self.average: Literal["rows", "columns"] = average
        self.tolerance = tolerance
        self.rotations_per_min = rotations_per_min
        self.azimuth = azimuth
        self.reference = reference
        self.stream = stream
        self.required = required
        self.detectors = detectors
        self.name = name

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "StripWork | None":
        """Begin with a run; not with one that takes darks or flats."""
        if start.get("purpose") == "reference":
            return None
        return StripWork(self, start, emit)

    def rotation(self, source: Source, first: float) -> Rotation:
        """Return how the sample of a detector turns, `first` being the time of its first frame."""
        said = settings_of(source.descriptor, source.data_key)

        def known(option: float | None, key: str) -> float:
            return float(option if option is not None else said.get(key) or 0.0)

        speed, azimuth = known(self.rotations_per_min, "rotations_per_min"), known(self.azimuth, "azimuth")
        return Rotation(speed, azimuth, first if self.reference is None else self.reference)

    def profile(self, image: NDArray[Any], mode: ColorMode) -> NDArray[np.float32]:
        """Return the profile of an image."""
        return line_profile(image, self.region, average=self.average, color_mode=mode)


class StripWork(FrameWork):
    """What `Strip` does for one run."""

    def __init__(self, of: Strip, start: Mapping[str, Any], emit: Emit) -> None:
        super().__init__(of.name, start, emit, wanted(of.stream, of.detectors))
        self._of = of
        self._strips: dict[str, _Strips] = {}

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse a band that lies outside of the images, or is a single pixel long."""
        about = descriptor["data_keys"][data_key]
        blank = np.broadcast_to(np.uint8(0), about["shape"])
        if len(self._of.profile(blank, ColorMode(about.get("color_mode", ColorMode.MONO)))) < 2:
            raise ValueError(f"strip: of {data_key}: a profile of one pixel asked for; use a longer region")

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Keep the profiles of frames."""
        strips = self._strips.get(source.data_key)
        if strips is None:
            rotation = self._of.rotation(source, frames[0].timestamp)
            strips = self._strips[source.data_key] = _Strips(self, source, rotation)
        self.skipped += strips.add(frames)

    @property
    def of(self) -> Strip:
        """Whose work it is."""
        return self._of

    def ended(self) -> None:
        """Finish the files, all of them."""
        tables = [table for strips in self._strips.values() for table in strips.tables.values()]
        close_all(tables, complete=self.complete)


class _Strips:
    """The strips of one detector: one, or one for each angle."""

    def __init__(self, work: StripWork, source: Source, rotation: Rotation) -> None:
        self.tables: dict[str, DerivedTable] = {}
        self._work, self._of, self._source = work, work.of, source
        self._rotation = rotation

    def add(self, frames: list[Frame]) -> int:
        """Keep the profiles of those frames that belong to a strip; return how many do not."""
        rows: dict[str, list[tuple[NDArray[np.float32], float, float]]] = {}
        for frame in frames:
            name = self._name(frame.timestamp)
            if name is not None:
                profile = self._of.profile(frame.image, frame.geometry.color_mode)
                azimuth = self._rotation.at(frame.timestamp)
                rows.setdefault(name, []).append((profile, azimuth, frame.timestamp))
        for name, found in rows.items():
            profiles, azimuths, times = zip(*found, strict=True)
            values = {name: np.stack(profiles), f"{name}_time": times}
            if self._of.angles:
                values[f"{name}_azimuth"] = azimuths
            self._table(name, len(profiles[0])).append(values)
        return len(frames) - sum(map(len, rows.values()))

    def _name(self, time: float) -> str | None:
        """Return the strip that a frame belongs to, if any."""
        if not self._of.angles:
            return "strip"
        sector = self._rotation.sector(time, self._of.angles, self._of.tolerance)
        return None if sector is None else f"strip_{round(self._of.angles[sector]) % 360:03d}"

    def _table(self, name: str, width: int) -> DerivedTable:
        table = self.tables.get(name)
        if table is None:
            of, rotation = self._of, self._rotation
            columns = {name: TableColumn("<f4", "counts", (width,))}
            about: dict[str, Any] = {MADE: "strip", "average": of.average, "region": list(of.region or ())}
            if of.angles:
                columns[f"{name}_azimuth"] = TableColumn(units="deg")
                about |= {"tolerance": of.tolerance, "rotations_per_min": rotation.rotations_per_min}
                about |= {"azimuth": rotation.azimuth, "reference": rotation.reference}
            table = DerivedTable(self._work.start, self._source, name, columns, about, self._work.emit)
            self.tables[name] = table
        return table
