"""What a recorded HDF5 file looks like inside: one chunk a frame, ready for readers while it grows; NeXus, or yours."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beamstream.frames import ColorMode, Geometry
from beamstream.sinks import hdf5_filters
from beamstream.sinks.base import StoredArray
from beamstream.sinks.direct import PAGE

if TYPE_CHECKING:
    import h5py

_SCALAR_CHUNK = 4096
# Metadata goes into blocks of its own. Never a multiple of a frame's place, so that the growth of the file
# shows whether a batch of frames, and nothing else, was appended to it (see `hdf5_pixels`).
_METADATA_BLOCK = (1 << 20) + 512


@dataclass(frozen=True, slots=True)
class Column:
    """A number of each frame, from its attribute of the same name, or `attribute`; 0 where a frame has none."""

    name: str
    dtype_numpy: str
    units: str = ""
    attribute: str | None = None

    @property
    def source(self) -> str:
        """The name of the attribute."""
        return self.name if self.attribute is None else self.attribute


SCALARS = (Column("unique_id", "<i8"), Column("timestamp", "<f8", "s"), Column("received", "<f8", "s"))
"""What every file keeps of a frame; its fields of these names."""


RING_INDEX = Column("ring_index", "<i8")
"""Of a frame that was recorded from a ring: its index there. In no document, it means nothing to users of the data."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file keeps what, and what else is in it.

    Parameters
    ----------
    pixels : str
        Path of the dataset ``data``.
    scalars : str
        Path of the group of ``unique_id``, ``timestamp`` and ``received``.
    root : str
        Path of the group whose attribute ``complete`` becomes 1 when the run ended well.
    describe : callable
        ``describe(file, name, geometry, attributes)`` puts the rest into the file, which has nothing but its
        datasets then: attributes, and everything that a growing file cannot be given later.
    columns : tuple of Column
        Further numbers of each frame, beside `SCALARS`.
    units : str
        Of the pixels.
    dims : tuple of str
        What the axes of one frame are, where they have names.
    identified : bool
        Whether readers find its frames in the ring that they were recorded from: beside the scalars there is
        `RING_INDEX`, and the group's attribute ``ring`` is the token of the ring.
    attributes : str
        Path of the group with the attributes of frames, where these are kept; areaDetector's place by default.
    """

    pixels: str
    scalars: str
    root: str
    describe: "Callable[[h5py.File, str, Geometry, Mapping[str, Any]], None]"
    columns: tuple[Column, ...] = ()
    units: str = "counts"
    dims: tuple[str, ...] = ()
    identified: bool = True
    attributes: str = "/entry/instrument/NDAttributes"

    @property
    def numbers(self) -> tuple[Column, ...]:
        """Everything that is kept of a frame beside its pixels, and that documents describe."""
        return (*SCALARS, *self.columns)

    def fields(self, ring: str) -> tuple[Column, ...]:
        """Return what is kept of a frame's own fields: with a `ring`, the token of one, its index there, and first."""
        return (RING_INDEX, *SCALARS) if ring and self.identified else SCALARS

    def where(self, key: str) -> str:
        """Return the path of one of the datasets that grow."""
        return self.pixels if key == "data" else f"{self.scalars}/{key}"


def describe_nexus(file: "h5py.File", name: str, geometry: Geometry, attributes: Mapping[str, Any]) -> None:
    """Make it a NeXus file that viewers plot as they open it."""
    file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "beamstream"})
    entry: Any = file["entry"]
    entry.attrs.update({"NX_class": "NXentry", "default": "data", "start_time": now()})
    group = entry["data"]
    axes = ["timestamp", *["."] * len(geometry.shape)]
    group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": axes, "timestamp_indices": 0})
    for key in ("timestamp", "received"):
        group[key].attrs["start"] = "1970-01-01T00:00:00Z"
    group.attrs["detector"] = name
    group.attrs.update({key: storable(value) for key, value in attributes.items()})


NEXUS = Layout("/entry/data/data", "/entry/data", "/entry", describe_nexus)
"""NXdata in NXentry."""


def now() -> str:
    """Return the time as NeXus writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def stored_arrays(geometry: Geometry, layout: Layout = NEXUS) -> dict[str, StoredArray]:
    """Name what is kept of each frame: ``data`` (the pixels), ``unique_id``, ``timestamp``, ``received``, columns."""
    pixels = _parameters(layout.pixels, (1, *geometry.shape))
    colours = str(geometry.color_mode)
    data = StoredArray(geometry.dtype, geometry.shape, layout.units, pixels, color_mode=colours, dims=layout.dims)
    return {"data": data} | {column.name: _column(column, layout) for column in layout.numbers}


def _column(column: Column, layout: Layout) -> StoredArray:
    parameters = _parameters(layout.where(column.name), (_SCALAR_CHUNK,))
    return StoredArray(column.dtype_numpy, (), column.units, parameters)


def _parameters(path: str, chunk_shape: tuple[int, ...]) -> dict[str, Any]:
    return {"dataset": path, "chunk_shape": list(chunk_shape), "swmr": True}


def create_file(
    path: Path,
    name: str,
    geometry: Geometry,
    attributes: Mapping[str, Any],
    layout: Layout = NEXUS,
    ring: str = "",
    more: "Callable[[h5py.File], None] | None" = None,
) -> "h5py.File":
    """Create the file with everything that it will ever have inside; the caller switches SWMR on.

    Frames of a `ring` (its token) get their `RING_INDEX`; `more` creates further datasets.

    Raises
    ------
    OSError
        As the system raises it; FileExistsError if the file exists.
    """
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_alignment(PAGE, PAGE)  # every chunk starts at a page
    access.set_meta_block_size(_METADATA_BLOCK)
    file = h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_EXCL, fapl=access))
    try:
        _create_datasets(file, geometry, layout, ring)
        if more is not None:
            more(file)
        layout.describe(file, name, geometry, attributes)
    except BaseException:
        file.close()
        path.unlink()
        raise
    return file


def _create_datasets(file: "h5py.File", geometry: Geometry, layout: Layout, ring: str) -> None:
    scalars = file.require_group(layout.scalars)
    if RING_INDEX in layout.fields(ring):
        scalars.attrs["ring"] = ring
    file.require_group(layout.root).attrs["complete"] = np.int8(0)
    pixels = stored_arrays(geometry, layout)["data"]
    _describe(create_growing(file, pixels, hdf5_filters.stored_codec(geometry.codec)), geometry)
    for column in (*layout.fields(ring), *layout.columns):
        create_growing(file, _column(column, layout))


def create_growing(file: "h5py.File", array: StoredArray, codec: str = "") -> "h5py.Dataset":
    """Create an empty dataset that can grow in SWMR mode; without a codec, growing takes its room from the file."""
    import h5py

    path: str = array.parameters["dataset"]
    group = file.require_group(path.rpartition("/")[0])
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(tuple(array.parameters["chunk_shape"]))
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # no frame is written twice
    if codec:
        hdf5_filters.declare(creation, codec)
    else:
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # a frame's place is known before its pixels are there
    space = h5py.h5s.create_simple((0, *array.shape), (h5py.h5s.UNLIMITED, *array.shape))
    dtype = np.dtype(array.dtype_numpy)
    dtype = h5py.h5t.py_create(h5py.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype, logical=True)
    dataset = h5py.Dataset(h5py.h5d.create(group.id, path.rpartition("/")[2].encode(), dtype, space, dcpl=creation))
    if array.units:
        dataset.attrs["units"] = array.units
    return dataset


def _describe(pixels: "h5py.Dataset", geometry: Geometry) -> None:
    # viewers take the last axis of an rgb-image for its colours
    pixels.attrs["interpretation"] = "rgb-image" if geometry.color_mode == ColorMode.RGB1 else "image"
    pixels.attrs["color_mode"] = str(geometry.color_mode)
    pixels.attrs["received_codec"] = geometry.codec
    pixels.attrs["stored_codec"] = hdf5_filters.stored_codec(geometry.codec)
    if geometry.codec and not hdf5_filters.stored_codec(geometry.codec):
        pixels.attrs["note"] = f"received as {geometry.codec}; stored as decoded pixels, which need no filter"


def storable(value: Any) -> Any:
    """Return what an HDF5 attribute can hold: numbers and text as they are, the rest as JSON."""
    import json

    if isinstance(value, str):  # HDF5 has no text with NUL, nor with what is no Unicode
        return value.replace("\0", " ").encode(errors="replace").decode()
    if isinstance(value, bool | int | float | np.ndarray | np.generic):
        return value
    return json.dumps(value, default=str)
