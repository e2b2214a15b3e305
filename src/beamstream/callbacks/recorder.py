"""Record frames a second time, in the format that other programs read."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.callbacks.axes import axes_of, columns_of, pixel_of, pixel_of_made, treatment_of
from beamstream.callbacks.derived import DerivedStream, close_all
from beamstream.callbacks.flatfield import exposure_of
from beamstream.callbacks.images import Emit, Source, is_derived, wanted
from beamstream.callbacks.work import FrameWork
from beamstream.errors import CalibrationError, NoReference
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.ops.axes import rows_and_columns
from beamstream.ops.base import Op, described, meta_of
from beamstream.ops.flatfield import FlatField as FlatFieldOp
from beamstream.path_names import control_fault
from beamstream.references import Kind, Reference, ReferenceStore
from beamstream.sinks.description import Description
from beamstream.sinks.disk import explained, make_directories
from beamstream.sinks.file_names import safe_name
from beamstream.sinks.formats import FILMS, FORMATS, Format, Wanted
from beamstream.sinks.hdf5_layout import Column

log = logging.getLogger(__name__)

_REFERENCES: Mapping[Kind, str] = {"dark": "dark", "flat": "white"}
"""What Data Exchange calls the kinds of references."""

Region = tuple[int, int, int, int]
"""First row, first column, rows, columns; pixels."""


class Recorder:
    """Record every frame as TIFF, Zarr, NPY, CSV or in another HDF5 layout, while the run goes on.

    It reads by reference, from the ring or from the recorded file: a recorder that is too slow for the camera is
    late, and still ends with every frame, in order. Files go to
    ``<directory>/<prefix>_<scan_id>_<uid>_<detector>``, with the suffix of the format; a TIFF sequence is a directory
    of that name with ``<prefix>_000001.tiff``, ``<prefix>_000002.tiff``, … Nothing is ever overwritten.

    Parameters
    ----------
    directory : path-like
        Made if it is missing.
    format : str
        A name of `beamstream.sinks.formats.FORMATS`: ``"tiff"``, ``"bigtiff"``, ``"ome-tiff"``, ``"hdf5"``,
        ``"dxchange"``, ``"zarr"``, ``"npy"``, ``"npz"``, ``"csv"``, ``"mkv"``, ``"mp4"``.
    prefix : str
        Begins file names; no separators.
    stream : str
        ``"raw"``, or the name of what is derived in the same run, like ``"corrected"``.
    detectors : collection of str, optional
        Whose frames; all by default.
    region : tuple of int, optional
        First row, first column, rows, columns; the whole image by default.
    stride : int
        Every how manieth frame.
    window : tuple of float, optional
        Values that become black and white, for a film that does not take those of the frames.
    fps : float, optional
        Frames per second of a film, in place of their times.
    op_for : callable, optional
        Returns an op for the frames of a source: to export what was not derived in the run.
    label : str
        Put behind the detector in file names: what `op_for` makes.
    references : ReferenceStore or path-like, optional
        Where the dark and the flat of raw frames are looked for, by formats that have a place for them.
    theta : str, optional
        The column that is the angle of the sample, for Data Exchange; None: see `beamstream.export.angles`.
    publish : bool
        Whether documents name the files, so that the archive serves them; they must lie where it may read.
    required : bool
        Whether a failure, a full disk for example, or a frame that is left undone fails the run.

    Raises
    ------
    ValueError
        An option cannot be.
    """

    derives = False

    def __init__(
        self,
        directory: str | Path,
        *,
        format: str = "tiff",
        prefix: str = "frame",
        stream: str = "raw",
        detectors: Collection[str] | None = None,
        region: Region | None = None,
        stride: int = 1,
        window: tuple[float, float] | None = None,
        fps: float | None = None,
        op_for: Callable[[Source], Op] | None = None,
        label: str = "",
        references: ReferenceStore | str | Path | None = None,
        theta: str | None = None,
        publish: bool = False,
        required: bool = True,
        name: str = "recorder",
    ) -> None:
        if format not in FORMATS:
            raise ValueError(f"recorder: format {format!r} given; use one of {', '.join(FORMATS)}")
        if fault := control_fault(directory):
            raise ValueError(f"recorder: directory {str(directory)!r} given, {fault}; choose another")
        if stride < 1:
            raise ValueError(f"recorder: stride {stride} given; use 1 or more")
        if region is not None and (min(region) < 0 or min(region[2:]) < 1):
            raise ValueError(f"recorder: region {region} given; use first row, first column, rows, columns")
        if format not in FILMS and (window or fps):
            raise ValueError(
                f"recorder: window or fps given with format {format!r}; they go with {' and '.join(FILMS)}"
            )
        self.name = name
        self.required = required
        self.directory = Path(directory).expanduser().absolute()
        self.format: Format = FORMATS[format]
        self.prefix = safe_name(prefix, "prefix")
        self.stream = stream
        self.detectors = detectors
        self.region = region
        self.stride = stride
        self.window = window
        self.fps = fps
        self.op_for = op_for
        self.label = label
        self.references = references if isinstance(references, ReferenceStore | None) else ReferenceStore(references)
        self.theta = theta
        self.publish = publish

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "RecorderWork | None":
        """Begin with a run; not with one that takes darks or flats."""
        if start.get("purpose") == "reference":
            return None
        return RecorderWork(self, start, emit if self.publish else None)

    def path(self, start: Mapping[str, Any], source: Source) -> Path:
        """Return where the frames of a source go."""
        label = f"_{self.label}" if self.label else ""
        name = f"{self.prefix}_{start.get('scan_id', 0):05d}_{start['uid'][:8]}_{source.name}{label}"
        return self.directory / f"{safe_name(name, 'file name')}{self.format.suffix}"


class RecorderWork(FrameWork):
    """What `Recorder` does for one run."""

    def __init__(self, of: Recorder, start: Mapping[str, Any], emit: Emit | None) -> None:
        super().__init__(of.name, start, emit or _drop, wanted(of.stream, of.detectors))
        self.paths: list[Path] = []
        self._of = of
        self._emit = emit
        self._kept: dict[str, _Kept] = {}

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse a region that lies outside of the images."""
        about = descriptor["data_keys"][data_key]
        if self._of.region is not None and self._of.op_for is None:  # an op may make images of another size
            _cut(np.broadcast_to(False, about["shape"]), self._of.region, about.get("color_mode", ""))

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Record frames."""
        of = self._of
        kept = self._kept.get(source.data_key)
        if kept is None:
            kept = self._kept[source.data_key] = _Kept(None if of.op_for is None else of.op_for(source), of.region)
        chosen = [kept.frame(f) for row, f in enumerate(frames, source.done) if row % of.stride == 0]
        self.skipped += len(frames) - len(chosen)
        if not chosen:
            return
        if kept.stream is None:
            kept.stream = self._open(source, kept, chosen[0])
        kept.stream.write(chosen)

    def _open(self, source: Source, kept: "_Kept", first: Frame) -> DerivedStream:
        of = self._of
        path = self.place(source)
        self.paths.append(path)
        references = self.references(source, kept.op)
        used = {f"data_{_REFERENCES[kind]}": reference.name for kind, reference in references.items()}
        about = kept.about = self.about(source, kept.op) | used
        attributes = {
            "run": self.start["uid"],
            "scan_id": self.start.get("scan_id", 0),
            "detector": source.name,
            **treatment_of(source.descriptor, source.data_key),
            **about,
        }
        description = self.description(source, kept.op, first.geometry, references)
        attributes |= description.attributes()
        with explained(of.name, "make the directory of", path):
            make_directories(path.parent)
        sink = of.format.make(path, replace(self._wanted(source, first, attributes), description=description))
        return DerivedStream(self.start, source, of.format.name.replace("-", "_"), sink, about, self._emit)

    def about(self, source: Source, op: Op | None) -> dict[str, Any]:
        """Return what is done to the frames of a source, in values that JSON can carry."""
        of = self._of
        about: dict[str, Any] = {"format": of.format.name, "stride": of.stride}
        if of.region is not None:
            about["region"] = list(of.region)
        if of.window is not None:
            about["window"] = list(of.window)
        return about if op is None else about | described(op)

    def _wanted(self, source: Source, first: Frame, attributes: Mapping[str, Any]) -> Wanted:
        """Return what is to be kept; also where the values of spectra lie, unless an op made something else of them."""
        geometry = first.geometry
        axes, region = axes_of(source.descriptor, source.data_key), self._of.region
        if axes is not None:
            whole = np.broadcast_to(False, source.descriptor["data_keys"][source.data_key]["shape"])
            index = tuple(slice(None) for _ in whole.shape) if region is None else _place(whole, region, "")
            axes = axes.cut(index) if whole[index].shape == geometry.shape else None
        of, columns = self._of, self.columns(source)
        film = {"window": of.window, "fps": of.fps}
        return Wanted(geometry, source.name, of.prefix, attributes, axes, columns, first.attributes, **film)

    def references(self, source: Source, op: Op | None) -> dict[Kind, Reference]:
        """Return the dark and the flat that raw frames are to be corrected with; none without a place."""
        corrected = op is not None or is_derived(source.descriptor, source.data_key)
        if corrected or not self._of.format.has_references:
            return {}
        found: dict[Kind, Reference] = {}
        for kind in _REFERENCES:
            try:
                found[kind] = self.reference(kind, source)
            except CalibrationError as error:
                log.info("%s; the file has none", error)
        return found

    def reference(self, kind: Kind, source: Source) -> Reference:
        """Return the dark or the flat of the frames of a source; raises as `newest`."""
        return self.newest(kind, source)

    def newest(self, kind: Kind, source: Source, *, until: float | None = None) -> Reference:
        """Return the newest that fits the frames of a source, as a flat field finds it.

        Raises
        ------
        CalibrationError
            There is none.
        """
        store = self._of.references
        if store is None:
            raise NoReference(f"{source.name}: the newest {kind} asked for, but not where; give references=")
        exposure = exposure_of(source.descriptor, source.data_key)
        return store.find(kind, source.name, source.frames.geometry, exposure=exposure, until=until)

    def description(
        self, source: Source, op: Op | None, geometry: Geometry, references: Mapping[Kind, Reference]
    ) -> Description:
        """Return the scale of what is kept of a source, the run, and its dark and flat."""
        key = source.descriptor, source.data_key
        keeps_places = op is None or isinstance(op, FlatFieldOp)
        pixel = pixel_of(*key) if keeps_places else pixel_of_made(*key, geometry.shape)
        images = {_REFERENCES[kind]: self._of_region(reference) for kind, reference in references.items()}
        return Description.of(pixel, exposure=exposure_of(*key), start=self.start, **images)

    def _of_region(self, reference: Reference) -> NDArray[np.float32]:
        """Return the mean of a reference, as much of it as is kept of the frames."""
        mean = reference.mean.astype(np.float32)
        return mean if self._of.region is None else _cut(mean, self._of.region, reference.geometry.color_mode)

    def columns(self, source: Source) -> tuple[Column, ...]:
        """Return which attributes of the frames of a source are kept."""
        return columns_of(source.descriptor, source.data_key)

    def place(self, source: Source) -> Path:
        """Return where the frames of a source go."""
        return self._of.path(self.start, source)

    def kept(self, source: Source) -> tuple[int, Mapping[str, Any]]:
        """Return how many frames of a source are recorded, and what was done to them."""
        kept = self._kept.get(source.data_key)
        return (0, {}) if kept is None or kept.stream is None else (kept.stream.kept, kept.about)

    def ended(self) -> None:
        """Finish the files, all of them."""
        close_all((kept.stream for kept in self._kept.values()), complete=self.complete)


class _Kept:
    """What happens to the frames of one source, and where they go."""

    def __init__(self, op: Op | None, region: Region | None) -> None:
        self.op = op
        self.stream: DerivedStream | None = None
        self.about: Mapping[str, Any] = {}
        self._region = region

    def frame(self, frame: Frame) -> Frame:
        """Return what is to be recorded of a frame."""
        image = frame.image
        if self.op is not None:
            image = self.op.apply(image, meta_of(frame)).copy()  # it may use that memory for the next frame
        mode = frame.geometry.color_mode if image.ndim == len(frame.geometry.shape) else ColorMode.MONO
        if self._region is not None:
            image = np.ascontiguousarray(_cut(image, self._region, mode))
        if image is frame.image:
            return frame
        return replace(frame, payload=image, geometry=Geometry.of(image, mode))


def _cut(image: NDArray[Any], region: Region, color_mode: str) -> NDArray[Any]:
    """Return a region of an image, all of its colours."""
    return image[_place(image, region, color_mode)]


def _place(image: NDArray[Any], region: Region, color_mode: str) -> tuple[slice, ...]:
    """Return the index of a region of an image."""
    axes = rows_and_columns("recorder", image, {"color_mode": color_mode})
    whole = [slice(None)] * image.ndim
    for axis, start, length in zip(axes, region[:2], region[2:], strict=True):
        if start + length > image.shape[axis]:
            n_rows, n_cols = (image.shape[axis] for axis in axes)
            raise ValueError(
                f"recorder: region {','.join(map(str, region))} asked for, the images have {n_rows} rows and "
                f"{n_cols} columns; use first row, first column, rows, columns inside of them"
            )
        whole[axis] = slice(start, start + length)
    return tuple(whole)


def _drop(_name: str, _doc: dict[str, Any]) -> None:
    """Drop a document."""
