"""The formats that frames can be recorded in, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beamstream.frames import Geometry
from beamstream.sinks.base import Sink

Make = Callable[[Path, Geometry, str, str, Mapping[str, Any]], Sink]


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
        ``make(path, geometry, prefix, name, attributes)`` returns a sink.
    """

    name: str
    suffix: str
    about: str
    make: Make


def _tiff(path: Path, geometry: Geometry, prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.tiff_sequence import TiffSequenceSink

    return TiffSequenceSink(path, geometry, prefix=prefix, name=name, attributes=attributes)


def _bigtiff(path: Path, geometry: Geometry, _prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.tiff_file import TiffFileSink

    return TiffFileSink(path, geometry, name=name, attributes=attributes, ome=False)


def _ome(path: Path, geometry: Geometry, _prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.tiff_file import TiffFileSink

    return TiffFileSink(path, geometry, name=name, attributes=attributes, ome=True)


def _hdf5(path: Path, geometry: Geometry, _prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.hdf5 import Hdf5Sink

    return Hdf5Sink(path, geometry, name=name, attributes=attributes)


def _dxchange(path: Path, geometry: Geometry, _prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.dxchange import DxchangeSink

    return DxchangeSink(path, geometry, name=name, attributes=attributes)


def _zarr(path: Path, geometry: Geometry, _prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.zarr import ZarrSink

    return ZarrSink(path, geometry, name=name, attributes=attributes)


def _npy(path: Path, geometry: Geometry, _prefix: str, name: str, attributes: Mapping[str, Any]) -> Sink:
    from beamstream.sinks.npy import NpySink

    return NpySink(path, geometry, name=name, attributes=attributes)


_ALL = (
    Format("tiff", "", "a directory with one TIFF file a frame", _tiff),
    Format("bigtiff", ".tif", "one BigTIFF file, a page a frame", _bigtiff),
    Format("ome-tiff", ".ome.tif", "one BigTIFF file with OME metadata", _ome),
    Format("hdf5", ".h5", "one NeXus HDF5 file", _hdf5),
    Format("dxchange", ".h5", "one HDF5 file in the layout of Data Exchange", _dxchange),
    Format("zarr", ".zarr", "one Zarr v3 group, sharded", _zarr),
    Format("npy", ".npy", "one NumPy file", _npy),
)
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}
