"""What the file of a reference looks like inside: NeXus, written once, read by anything that reads HDF5."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beamstream.errors import CalibrationError
from beamstream.file_uri import uri_of
from beamstream.frame_times import is_plausible
from beamstream.frames import ColorMode, Geometry
from beamstream.own_files import check_regular
from beamstream.references.reference import Reference, ReferenceHeader
from beamstream.sinks.base import StoredArray

if TYPE_CHECKING:
    import h5py

_ARRAYS = ("mean", "std")
_GROUP = "/entry/data"


@dataclass(frozen=True, slots=True)
class StoredReference:
    """Where a kept reference is, in the words of a sink: `beamstream.sinks.documents` makes documents of it.

    Each array has one row.
    """

    uri: str
    mimetype: str
    arrays: Mapping[str, StoredArray]


def stored(reference: Reference | ReferenceHeader) -> StoredReference:
    """Describe the file of a reference, so that documents can point at its ``mean`` and ``std``.

    Raises
    ------
    ValueError
        It is in no file.
    """
    if reference.path is None:
        raise ValueError(f"{reference.name}: its file is asked for, but it is in none; `keep` it in a store first")
    shape = reference.geometry.shape
    arrays = {
        key: StoredArray(
            "<f8",
            shape,
            "counts",
            {"dataset": f"{_GROUP}/{key}", "chunk_shape": [1, *shape], "swmr": False},
        )
        for key in _ARRAYS
    }
    return StoredReference(uri_of(reference.path), "application/x-hdf5", arrays)


def content(reference: Reference) -> memoryview:
    """Return the bytes of the file of a reference.

    They are made in memory: HDF5 on a disk that gets full keeps the file open for ever, and the interpreter
    crashes when it ends.
    """
    import h5py

    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "beamstream"})
        entry = file.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        group = entry.create_group("data")
        group.attrs.update({"NX_class": "NXdata", "signal": "mean", **_attributes(reference)})
        for key in _ARRAYS:
            _write_array(group, key, reference)
    return made.getbuffer()


def _attributes(reference: Reference) -> dict[str, Any]:
    attributes = {
        "kind": reference.kind,
        "number": reference.number,
        "detector": reference.detector,
        "geometry": json.dumps(reference.geometry.to_dict()),
        "taken": reference.taken,
        "run": reference.run,
        "origin": reference.origin,
    }
    if reference.exposure is not None:
        attributes["exposure"] = reference.exposure
    return attributes


def _write_array(group: "h5py.Group", key: str, reference: Reference) -> None:
    pixels = np.asarray(getattr(reference, key), "<f8")[np.newaxis]
    dataset = group.create_dataset(key, data=pixels, chunks=pixels.shape)
    colour = reference.geometry.color_mode not in (ColorMode.MONO, ColorMode.BAYER)
    dataset.attrs.update({"units": "counts", "interpretation": "rgb-image" if colour else "image"})


def read_header(path: Path) -> ReferenceHeader:
    """Read everything but the pixels.

    Raises
    ------
    CalibrationError
        There is no such file, it is damaged, or it is not the file of a reference.
    """
    with _opened(path) as group:
        return _header(path, group)


def read(path: Path) -> Reference:
    """Read a reference; the pixels are in memory of the caller's.

    Raises
    ------
    CalibrationError
        There is no such file, it is damaged, or it is not the file of a reference.
    """
    with _opened(path) as group:
        about = _header(path, group)
        mean, std = (group[key][0] for key in _ARRAYS)
        return Reference(
            kind=about.kind,
            mean=mean,
            std=std,
            number=about.number,
            detector=about.detector,
            geometry=about.geometry,
            exposure=about.exposure,
            taken=about.taken,
            run=about.run,
            origin=about.origin,
            path=path,
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import h5py

    try:
        check_regular(path)
        with h5py.File(path, "r") as file:
            yield file[_GROUP]
    except FileNotFoundError as error:
        raise CalibrationError(f"{path}: a dark or flat to be read, but there is no such file; list what is") from error
    # what HDF5 says of damage, and what comes of values that are not ours
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CalibrationError(
            f"{path}: a dark or flat to be read, but the file is damaged or something else ({error}); move it away"
        ) from error


def _header(path: Path, group: Any) -> ReferenceHeader:
    about = group.attrs
    geometry = Geometry.from_dict(json.loads(about["geometry"]))
    np.dtype(geometry.dtype)  # raises if there is none of this name
    for key in _ARRAYS:
        _check_array(group[key], geometry)
    return ReferenceHeader(
        kind=about["kind"],
        number=int(about["number"]),
        detector=str(about["detector"]),
        geometry=geometry,
        exposure=float(about["exposure"]) if "exposure" in about else None,
        taken=_taken(float(about["taken"]), path),
        run=str(about["run"]),
        origin=str(about["origin"]),
        path=path,
    )


def _taken(stamped: float, path: Path) -> float:
    """Return when it was taken; when it was kept where it stands there by a clock that cannot be right.

    Such times are in files that were made when the frames of any camera were dated by its own clock: seconds since it
    was switched on, or a date to come.
    """
    kept = path.stat().st_mtime
    return stamped if is_plausible(stamped, kept) else kept


def _check_array(dataset: "h5py.Dataset", geometry: Geometry) -> None:
    """Refuse an array that says more than the file holds, before memory is taken for it."""
    if dataset.shape != (1, *geometry.shape) or dataset.dtype != np.dtype("<f8"):
        is_now = f"{dataset.name} is {dataset.shape} {dataset.dtype}"
        raise ValueError(f"{is_now}, the frames are {geometry}")
    if dataset.id.get_create_plist().get_nfilters() or dataset.external:
        raise ValueError(f"{dataset.name} is compressed, or lies in another file")
    if dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(f"{dataset.name} holds {dataset.id.get_storage_size()} of {dataset.nbytes} bytes")
