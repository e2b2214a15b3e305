"""The formats that frames can be recorded in, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from beamstream.errors import SinkError
from beamstream.frames import NO_ATTRIBUTES, Geometry
from beamstream.sinks.axes import Axes
from beamstream.sinks.base import Sink
from beamstream.sinks.description import NO_DESCRIPTION, Description
from beamstream.sinks.hdf5_layout import NEXUS, Column, Layout


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be kept.

    Parameters
    ----------
    geometry : Geometry
        Of every frame.
    name : str
        Of the detector.
    prefix : str
        Begins the names of files, where there is one a frame.
    attributes : Mapping
        Of the run; for formats that have a place for them.
    axes : Axes, optional
        Of spectra; for formats that have a place for them.
    columns : tuple of Column
        Numbers of each frame beside its unique_id and times, from its attributes; for formats that have a place.
    frame_attributes : Mapping, optional
        Attributes of the first frame; with them, all that frames have are kept, those that are no columns as well.
    window : tuple of float, optional
        Values that become black and white; for films.
    fps : float, optional
        Frames per second, in place of their times; for films.
    description : Description
        The scale of the pixels, and the run; each format has it where its readers look.
    """

    geometry: Geometry
    name: str = "image"
    prefix: str = "frame"
    attributes: Mapping[str, Any] = field(default_factory=lambda: NO_ATTRIBUTES)
    axes: Axes | None = None
    columns: tuple[Column, ...] = ()
    frame_attributes: Mapping[str, Any] | None = None
    window: tuple[float, float] | None = None
    fps: float | None = None
    description: Description = NO_DESCRIPTION


def _about(of: Wanted) -> dict[str, Any]:
    return {"name": of.name, "attributes": of.attributes, "frame_attributes": of.frame_attributes}


Make = Callable[[Path, Wanted], Sink]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to keep frames.

    Parameters
    ----------
    name : str
    suffix : str
        Of files and directories.
    about : str
        Half a sentence for people who choose.
    make : callable
        ``make(path, wanted)`` returns a sink.
    has_references : bool
        Whether it has a place for the dark and the flat of raw frames.
    """

    name: str
    suffix: str
    about: str
    make: Make
    has_references: bool = False


def _tiff(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.tiff_sequence import TiffSequenceSink

    _check_pages(of)
    return TiffSequenceSink(
        path,
        of.geometry,
        prefix=of.prefix,
        name=of.name,
        attributes=of.attributes,
        description=of.description,
    )


def _bigtiff(path: Path, of: Wanted) -> Sink:
    return _tiff_file(path, of, ome=False)


def _ome(path: Path, of: Wanted) -> Sink:
    return _tiff_file(path, of, ome=True)


def _tiff_file(path: Path, of: Wanted, *, ome: bool) -> Sink:
    from beamstream.sinks.tiff_file import TiffFileSink

    _check_pages(of)
    return TiffFileSink(path, of.geometry, name=of.name, attributes=of.attributes, ome=ome, description=of.description)


def _check_pages(of: Wanted) -> None:
    """Refuse spectra of several polarizations: a page for each channel is of no use, and has no frequencies."""
    if of.axes is not None and len(of.geometry.shape) > 2:
        raise SinkError(
            f"TIFF: pages of {of.geometry} asked for, it has no place for frequencies and polarizations; "
            "choose hdf5, zarr or npz"
        )


def _hdf5(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.hdf5 import Hdf5Sink

    return Hdf5Sink(path, of.geometry, layout=_layout(of), **_about(of))


def _layout(of: Wanted) -> Layout:
    from beamstream.sinks.hdf5_spectra import spectra_layout
    from beamstream.sinks.nexus import of_run

    layout = NEXUS if of.axes is None else spectra_layout(of.axes.frequency, of.axes.dims, of.axes.units)
    known = {column.name for column in layout.columns}
    more = tuple(column for column in of.columns if column.name not in known)
    return of_run(replace(layout, columns=layout.columns + more), of.description)


def _dxchange(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.dxchange import DxchangeSink

    return DxchangeSink(path, of.geometry, description=of.description, **_about(of))


def _zarr(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.zarr import ZarrSink

    return ZarrSink(path, of.geometry, axes=of.axes, columns=of.columns, description=of.description, **_about(of))


def _npy(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.npy import NpySink

    return NpySink(path, of.geometry, **_about(of))


def _npz(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.npz import NpzSink

    return NpzSink(path, of.geometry, axes=of.axes, columns=of.columns, **_about(of))


def _csv(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.csv import CsvSink

    return CsvSink(path, of.geometry, axes=of.axes, columns=of.columns, **_about(of))


def _film(path: Path, of: Wanted) -> Sink:
    from beamstream.sinks.video import VideoSink

    return VideoSink(path, of.geometry, window=of.window, fps=of.fps, description=of.description, **_about(of))


_ALL = (
    Format("tiff", "", "a directory with one TIFF file a frame", _tiff),
    Format("bigtiff", ".tif", "one BigTIFF file, a page a frame", _bigtiff),
    Format("ome-tiff", ".ome.tif", "one BigTIFF file with OME metadata", _ome),
    Format("hdf5", ".h5", "one NeXus HDF5 file", _hdf5),
    Format("dxchange", ".h5", "one HDF5 file in the layout of Data Exchange", _dxchange, has_references=True),
    Format("zarr", ".zarr", "one Zarr v3 group, sharded", _zarr),
    Format("npy", ".npy", "one NumPy file", _npy),
    Format("npz", ".npz", "one NumPy file with times and frequencies", _npz),
    Format("csv", ".csv", "one text file, a line a spectrum", _csv),
    Format("mkv", ".mkv", "one film with every value, 8 or 16 bit", _film),
    Format("mp4", ".mp4", "one film for all players, 8 bit", _film),
)
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}
FILMS = ("mkv", "mp4")
"""The names of those that are films."""
