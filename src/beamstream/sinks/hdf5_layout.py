"""What a recorded HDF5 file looks like inside: NeXus, one chunk a frame, ready for readers while it grows."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beamstream.frames import ColorMode, Geometry
from beamstream.sinks import hdf5_filters
from beamstream.sinks.base import StoredArray
from beamstream.sinks.direct import PAGE

if TYPE_CHECKING:
    import h5py

SCALARS = ("unique_id", "timestamp", "received")
_SCALAR_CHUNK = 4096
# Metadata goes into blocks of its own. Never a multiple of a frame's place, so that the growth of the file
# tells whether a batch of frames, and nothing else, was appended to it (see `hdf5_pixels`).
_METADATA_BLOCK = (1 << 20) + 512


def stored_arrays(geometry: Geometry) -> dict[str, StoredArray]:
    """Name what is kept of each frame: ``data`` (the pixels), ``unique_id``, ``timestamp``, ``received``."""
    chunk = (_SCALAR_CHUNK,)
    return {
        "data": _array("data", geometry.dtype, geometry.shape, (1, *geometry.shape), "counts"),
        "unique_id": _array("unique_id", "<i8", (), chunk, ""),
        "timestamp": _array("timestamp", "<f8", (), chunk, "s"),
        "received": _array("received", "<f8", (), chunk, "s"),
    }


def _array(key: str, dtype: str, shape: tuple[int, ...], chunk_shape: tuple[int, ...], units: str) -> StoredArray:
    parameters = {"dataset": f"/entry/data/{key}", "chunk_shape": list(chunk_shape), "swmr": True}
    return StoredArray(dtype, shape, units, parameters)


def create_file(path: Path, name: str, geometry: Geometry, attributes: Mapping[str, Any]) -> "h5py.File":
    """Create the file with everything that it will ever have inside; the caller switches SWMR on.

    Raises
    ------
    OSError
        As the system says it; FileExistsError if the file exists.
    """
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_alignment(PAGE, PAGE)  # every chunk starts at a page
    access.set_meta_block_size(_METADATA_BLOCK)
    file = h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_EXCL, fapl=access))
    try:
        _fill(file, name, geometry, attributes)
    except BaseException:
        file.close()
        path.unlink()
        raise
    return file


def _fill(file: "h5py.File", name: str, geometry: Geometry, attributes: Mapping[str, Any]) -> None:
    file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "beamstream"})
    entry = file.create_group("entry")
    entry.attrs.update({"NX_class": "NXentry", "default": "data", "complete": np.int8(0)})
    entry.attrs["start_time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    group = entry.create_group("data")
    group.attrs.update({"NX_class": "NXdata", "signal": "data", "detector": name})
    group.attrs.update({key: _storable(value) for key, value in attributes.items()})
    arrays = stored_arrays(geometry)
    pixels = _create(group, "data", arrays["data"], hdf5_filters.stored_codec(geometry.codec))
    for key in SCALARS:
        _create(group, key, arrays[key], "")
    _describe(pixels, geometry)


def _create(group: "h5py.Group", key: str, array: StoredArray, codec: str) -> "h5py.Dataset":
    import h5py

    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(tuple(array.parameters["chunk_shape"]))
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # no frame is written twice
    if codec:
        hdf5_filters.declare(creation, codec)
    else:
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # a frame's place is known before its pixels are there
    space = h5py.h5s.create_simple((0, *array.shape), (h5py.h5s.UNLIMITED, *array.shape))
    dtype = h5py.h5t.py_create(np.dtype(array.dtype_numpy), logical=True)
    dataset = h5py.Dataset(h5py.h5d.create(group.id, key.encode(), dtype, space, dcpl=creation))
    if array.units:
        dataset.attrs["units"] = array.units
    return dataset


def _describe(pixels: "h5py.Dataset", geometry: Geometry) -> None:
    colour = geometry.color_mode not in (ColorMode.MONO, ColorMode.BAYER)
    pixels.attrs["interpretation"] = "rgb-image" if colour else "image"
    pixels.attrs["color_mode"] = str(geometry.color_mode)
    pixels.attrs["received_codec"] = geometry.codec
    pixels.attrs["stored_codec"] = hdf5_filters.stored_codec(geometry.codec)
    if geometry.codec and not hdf5_filters.stored_codec(geometry.codec):
        pixels.attrs["note"] = f"received as {geometry.codec}, which HDF5 has no filter for; stored as decoded pixels"


def _storable(value: Any) -> Any:
    """Return what an HDF5 attribute can hold: numbers and text as they are, the rest as JSON."""
    import json

    if isinstance(value, str | bool | int | float | np.ndarray | np.generic):
        return value
    return json.dumps(value, default=str)
