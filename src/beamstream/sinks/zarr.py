"""Keep frames in a sharded Zarr v3 group that everybody can read while it grows, and after a kill of its writer."""

import contextlib
import os
import shutil
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.errors import SinkError
from beamstream.file_uri import uri_of
from beamstream.frames import Frame, Geometry
from beamstream.sinks.axes import TIME as TIME_OF_SPECTRA
from beamstream.sinks.axes import Axes, times
from beamstream.sinks.base import StoredArray
from beamstream.sinks.description import NO_DESCRIPTION, Description
from beamstream.sinks.direct import Bytes, as_bytes
from beamstream.sinks.disk import sync_file
from beamstream.sinks.hdf5_layout import SCALARS, Column
from beamstream.sinks.ome_zarr import multiscales
from beamstream.sinks.one_run import OneRun
from beamstream.sinks.zarr_changes import ZarrAttributes
from beamstream.sinks.zarr_layout import (
    BLOSC,
    DTYPES,
    PER_CHUNK,
    TIME,
    ZSTD,
    Compression,
    GrowingDocument,
    column_document,
    dimensions,
    group_document,
    pixels_document,
    put,
    put_coordinate,
)
from beamstream.sinks.zarr_shards import Column as Numbers
from beamstream.sinks.zarr_shards import Shards

MIMETYPE = "application/x-zarr"
"""What a stream_resource document calls this format."""

_SHARD = 256 << 20  # bytes
_MOST_PER_SHARD = 1024
_SINCE_1970 = ("timestamp", "received", TIME_OF_SPECTRA)
_LAST_BLOSC1 = 2  # the format version in the first byte of a chunk; Zarr's codec does not know Blosc2's


class ZarrSink(OneRun):
    """Keep the frames of one run in one Zarr v3 group, as fast as the disk takes them.

    A `beamstream.sinks.base.Sink`. The group has the arrays ``data`` (the pixels; one chunk a frame, many chunks a
    shard file), ``unique_id``, ``timestamp`` and ``received`` (s since 1970-01-01 UTC). Whoever opens it finds
    all frames that were kept by then: ``zarr.open_group(path, mode="r")``, also after a kill; open again to
    see newer ones. Should the lengths differ, `data` has the right one. So that
    ``xarray.open_zarr(path, consolidated=False)`` knows where each value lies it has the times as ``t``, and ``y`` and
    ``x`` where the size of a pixel is known; of spectra ``time`` and ``frequency``.

    A group of grey images, or of colours that lie in planes, is OME-Zarr 0.5 of one resolution: napari and others find
    the scale, and, of a complete group whose frames follow each other regularly, the time from one to the next.

    Frames that a camera compressed with blosc stay as they are; other compressed frames are decoded. Pixels of
    big-endian types are stored as they came; the reader gets them in its own byte order.

    Parameters
    ----------
    path : path-like
        The directory to create; one that exists is never touched.
    geometry : Geometry
        Of every frame of the run.
    name : str
        The detector's, for errors and as an attribute.
    attributes : Mapping, optional
        Attributes of the group; what JSON cannot carry goes there as text.
    frames_per_shard : int, optional
        Frames in one file; by default as many as make 256 MiB, 1 to 1024.
    compression : {"", "zstd", "blosc"}
        Lossless; zstd packs tighter, blosc (lz4 after a bit shuffle) is faster. Without it, pixels go to the disk
        from the frame's own memory.
    axes : Axes, optional
        Of spectra.
    columns : sequence of Column
        What else is kept of each frame, from its attributes; one called like an array of ours ends with ``_value``.
    frame_attributes : Mapping, optional
        Attributes of a frame like those that will come; with them, also with none, all that frames have are kept:
        numbers as arrays, the rest in ``attribute_changes``, see `beamstream.sinks.zarr_changes.ZarrAttributes`.
    description : Description
        The scale of the pixels.

    Attributes
    ----------
    uri : str
        Of the array ``data``, because that is what a reader of `arrays` has to open.
    arrays : dict of str to StoredArray
        ``data`` alone: one URI stands for one array of this format.
    kept : int
        Frames kept so far.

    Raises
    ------
    ValueError
        `frames_per_shard` is less than 1, or there is no such compression.
    """

    mimetype = MIMETYPE

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        frames_per_shard: int | None = None,
        compression: Compression = "",
        axes: Axes | None = None,
        columns: Sequence[Column] = (),
        frame_attributes: Mapping[str, Any] | None = None,
        description: Description = NO_DESCRIPTION,
    ) -> None:
        if frames_per_shard is not None and frames_per_shard < 1:
            raise ValueError(f"{name}: {frames_per_shard} frames per shard asked for; give at least 1, or none")
        if compression not in ("", "zstd", "blosc"):
            raise ValueError(f"{name}: compression {compression!r} asked for, known are zstd, blosc and none ('')")
        super().__init__(path, geometry, name=name, attributes=attributes)
        self.frames_per_shard = frames_per_shard or min(max(_SHARD // geometry.nbytes, 1), _MOST_PER_SHARD)
        self.compression: Compression = "blosc" if geometry.codec == "blosc" else compression
        stored_dtype = np.dtype(geometry.dtype).newbyteorder("<").str
        self._axes = axes
        self._description = description
        self._timestamps = array("d")
        self._dims = dimensions(geometry, axes)
        self._beside = ZarrAttributes(self.path, frame_attributes, name, columns)
        self._kept_of_each = (*SCALARS, *columns, *self._beside.columns)
        chunk = {"chunk_shape": [1, *geometry.shape]}
        units, dims = ("counts", ()) if axes is None else (axes.units, axes.dims)
        mode = str(geometry.color_mode)
        pixels = StoredArray(stored_dtype, geometry.shape, units, chunk, color_mode=mode, dims=dims)
        self.arrays = {"data": pixels} | {column.name: self._column(column) for column in self._kept_of_each}

    def _column(self, column: Column) -> StoredArray:
        uri = uri_of(self.path / self._directory(column))
        return StoredArray(column.dtype_numpy, (), column.units, {"chunk_shape": [PER_CHUNK]}, uri=uri)

    def _directory(self, column: Column) -> str:
        return f"{column.name}_value" if column.name in ("data", *self._dims) else column.name

    @property
    def uri(self) -> str:
        """Where the pixels are, as a stream_resource document says it."""
        return uri_of(self.path / "data")

    def _open(self) -> None:
        if np.dtype(self.geometry.dtype).name not in DTYPES:
            raise SinkError(f"{self.name}: to keep {self.geometry} in {self.path}, Zarr has no such type; use HDF5")
        self.path.mkdir()
        try:
            self._create()
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def _create(self) -> None:
        kept = {self._directory(column): column for column in self._kept_of_each}
        documents = {key: column_document(c.dtype_numpy, _about(c), self._axes) for key, c in kept.items()}
        self._names = {key: column.name for key, column in kept.items()}
        dtypes = {key: column.dtype_numpy for key, column in kept.items()} | {self._dims[0]: "<i8"}
        documents[self._dims[0]] = column_document("<i8", TIME, self._axes)
        self._put_coordinates()
        documents["data"] = pixels_document(self.geometry, self.frames_per_shard, self.compression, self._axes)
        self._group = group_document(self.name, self._attributes)
        self._describe()
        self._documents: list[GrowingDocument] = []
        self._shards = Shards(self.path / "data", 1 + len(self.geometry.shape), self.frames_per_shard)
        self._columns = {key: Numbers(self.path / key, dtype, PER_CHUNK) for key, dtype in dtypes.items()}
        try:
            for key, document in documents.items():
                (self.path / key).mkdir()
                self._documents.append(GrowingDocument(self.path / key, document))
            put(self.path, self._group)
        except BaseException:
            self._close_files()
            raise

    def _put_coordinates(self) -> None:
        if self._axes is not None:
            put_coordinate(self.path / "frequency", self._axes.frequency, "MHz")
        elif (size := self._description.pixel_size) is not None:
            unit = self._description.length
            for dim, step in zip("yx", size, strict=True):
                if dim in self._dims:
                    places = np.arange(self.geometry.shape[self._dims.index(dim) - 1], dtype=np.float64) * step
                    put_coordinate(
                        self.path / dim, places, self._description.pixel_units if unit is None else unit.name
                    )

    def _describe(self) -> None:
        """Put into the group's attributes what image viewers look for."""
        ome = multiscales(self.name, self._dims, self._description, self._timestamps)
        if ome is not None:
            self._group["attributes"]["ome"] = ome

    def _keeps_bytes(self, frame: Frame) -> bool:
        return self.geometry.codec == "blosc" and bool(frame.payload.size) and frame.payload[0] <= _LAST_BLOSC1

    def _changed(self, start: int, stop: int) -> Iterator[Path]:
        if stop > start:
            yield from self._shards.files(start, stop)
            for column in self._columns.values():
                yield from column.files(start, stop)
        yield from self._beside.files()
        for document in self._documents:
            yield from document.files()
        yield self.path / "zarr.json"

    def _append(self, frames: Sequence[Frame]) -> None:
        self._shards.append([_chunk(frame, self.compression) for frame in frames], self.kept)
        beside = self._beside.append(frames, self.kept)
        for key, column in self._columns.items():
            name = self._names.get(key, key)
            column.append(beside[name] if name in beside else self._numbers(key, frames), self.kept)
        self._publish(self.kept + len(frames))
        self._timestamps.extend(frame.timestamp for frame in frames)

    def _numbers(self, key: str, frames: Sequence[Frame]) -> Sequence[float]:
        if key == self._dims[0]:
            return times(frames).view("<i8").tolist()
        name = self._names[key]
        if any(name == column.name for column in SCALARS):
            return [getattr(frame, name) for frame in frames]
        return [frame.attributes.get(name, 0) for frame in frames]

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):  # the disk is gone: `data` has the right length anyway
            self._publish(self.kept)

    def _publish(self, count: int) -> None:
        """Make the first `count` frames the group's; `data`, which tells how many count, comes last."""
        for document in self._documents:
            document.publish(count)

    def _close(self, *, complete: bool) -> None:
        self._close_files()
        if complete:
            self._group["attributes"]["complete"] = True
            self._describe()
            put(self.path, self._group)
            sync_file(self.path / "zarr.json")

    def _close_files(self) -> None:
        for file in (self._shards, self._beside, *self._columns.values(), *self._documents):
            file.close()


def _chunk(frame: Frame, compression: Compression) -> Bytes:
    """Return what is stored of a frame; its own memory where that is possible."""
    pixels: Any = as_bytes(frame.payload)
    if frame.geometry.codec or not compression:
        return pixels
    import imagecodecs

    if compression == "zstd":
        return np.frombuffer(imagecodecs.zstd_encode(pixels, ZSTD["level"]), np.uint8)
    options = {"compressor": BLOSC["cname"], "shuffle": BLOSC["shuffle"]}
    itemsize = np.dtype(frame.geometry.dtype).itemsize
    return np.frombuffer(imagecodecs.blosc_encode(pixels, BLOSC["clevel"], typesize=itemsize, **options), np.uint8)


def _about(column: Column) -> dict[str, Any]:
    """Return the attributes of a column: its unit, what it is of, and since when seconds are counted."""
    since = {"start": "1970-01-01T00:00:00Z"} if column.name in _SINCE_1970 else {}
    about = {"units": column.units, "attribute": column.attribute}
    return {key: value for key, value in about.items() if value not in ("", None)} | since
