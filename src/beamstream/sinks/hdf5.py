"""Keep frames in an HDF5 file that everybody can read while it grows, and after a kill of its writer."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import Frame, Geometry
from beamstream.sinks.direct import PlacedWriter
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5_attributes import GROUP, AttributeWriter
from beamstream.sinks.hdf5_filters import keeps_bytes
from beamstream.sinks.hdf5_growing import GrowingDataset
from beamstream.sinks.hdf5_layout import NEXUS, SCALARS, Layout, create_file, stored_arrays
from beamstream.sinks.hdf5_pixels import Pixels, pixels_for
from beamstream.sinks.hdf5_unshared import close_unshared, open_unshared
from beamstream.sinks.one_run import OneRun

if TYPE_CHECKING:
    import h5py

MIMETYPE = "application/x-hdf5"
"""What a stream_resource document calls this format."""


class Hdf5Sink(OneRun):
    """Keep the frames of one run in one HDF5 file, as fast as the disk takes them.

    A `beamstream.sinks.base.Sink`. The file is NeXus: pixels in ``/entry/data/data``, one chunk a frame, and
    beside them ``unique_id``, ``timestamp`` and ``received`` (s since 1970-01-01 UTC). It is in
    single-writer-multiple-readers mode from the start, so it can be read while it grows and after its writer
    was killed: ``h5py.File(path, swmr=True)``. A frame is kept when it is in all four datasets;
    `frames_kept` counts them.

    Compressed frames stay compressed, and h5py with hdf5plugin decodes them (``blosc``, ``lz4``, ``bslz4``,
    ``zlib``). Those of ``jpeg`` and ``lz4hdf5`` are decoded and stored as pixels, as an attribute of the dataset
    notes: HDF5 has no filter for the one, and plain h5py reads the other.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched.
    geometry : Geometry
        Of every frame of the run.
    name : str
        The detector's, for errors and as an attribute.
    attributes : Mapping, optional
        Put at ``/entry/data``; numbers and text as they are, the rest as JSON.
    direct : bool, optional
        Whether pixels go around the page cache (O_DIRECT); by default where it works and pays.
    layout : Layout
        Where the file keeps what, for other conventions than NeXus.
    frame_attributes : Mapping, optional
        Attributes of a frame like those that will come. With it, also an empty one, all that frames have are kept: its
        numbers and short texts as columns, see `beamstream.sinks.hdf5_attributes.AttributeWriter`, the others beside
        them. Without it, only those that are columns of the layout.
    describe_attributes : bool
        Whether `arrays`, and so documents, have these columns.

    Attributes
    ----------
    arrays : dict of str to StoredArray
        What the file holds of each frame, by name; known before the file is opened.
    kept : int
        Frames kept so far.
    """

    mimetype = MIMETYPE

    def __init__(
        self,
        path: str | os.PathLike[str],
        geometry: Geometry,
        *,
        name: str = "image",
        attributes: Mapping[str, Any] | None = None,
        direct: bool | None = None,
        layout: Layout = NEXUS,
        frame_attributes: Mapping[str, Any] | None = None,
        describe_attributes: bool = True,
    ) -> None:
        super().__init__(path, geometry, name=name, attributes=attributes)
        self.arrays = stored_arrays(geometry, layout)
        self._direct = direct
        self._layout = layout
        self._beside: AttributeWriter | None = None
        if frame_attributes is not None:
            self._beside = AttributeWriter(frame_attributes, layout.columns, name, layout.attributes)
            self.arrays |= self._beside.arrays if describe_attributes else {}

    def _keeps_bytes(self, frame: Frame) -> bool:
        return keeps_bytes(frame)

    def _open(self) -> None:
        """Create the file, with everything in it but the frames."""
        about = (self.name, self.geometry, self._attributes, self._layout, self.ring, self._create_beside)
        file = open_unshared(lambda: create_file(self.path, *about))
        try:
            self._start(file)
        except BaseException:
            _close_anyhow(file)
            self.path.unlink()
            raise
        self._file = file

    def _create_beside(self, file: Any) -> None:
        if self._beside is not None:
            file[self._layout.scalars].attrs[GROUP] = self._beside.group
            file[self._layout.pixels].attrs.update(self._beside.dimension)
            self._beside.create(file)

    def _start(self, file: Any) -> None:
        """Let readers in, and reserve the room on the disk that HDF5's metadata needs while there is some."""
        import h5py

        file.swmr_mode = True
        data = file[self._layout.pixels]
        self._ids, self._data = file.id, data.id
        columns = (*self._layout.fields(self.ring), *self._layout.columns)
        self._scalars = [GrowingDataset(file[self._layout.where(column.name)]) for column in columns]
        if self._beside is not None:
            self._beside.open(file)
        self._complete = h5py.h5a.open(file[self._layout.root].id, b"complete")
        self._writer = PlacedWriter(self.path, direct=self._direct)  # locks: possible now that HDF5 let go
        try:
            self._writer.reserve(0, file.id.get_filesize())
            self._pixels: Pixels = pixels_for(file, data, self.geometry, self._writer)
        except BaseException:
            self._writer.close()
            raise

    def _append(self, frames: Sequence[Frame]) -> None:
        self._pixels.append(frames, self.kept)
        self._data.flush()
        self._append_scalars(frames)

    def _append_scalars(self, frames: Sequence[Frame]) -> None:
        """Write what makes the frames count, after their pixels."""
        import h5py

        pieces = [] if self._beside is None else list(self._beside.pieces(frames, self.kept))
        pieces += [(dataset, self.kept, n) for n, dataset in zip(self._numbers(frames), self._scalars, strict=True)]
        before = self._ids.get_filesize()
        for dataset, start, values in pieces:
            dataset.id.set_extent((start + len(values),))
        self._writer.reserve(before, self._ids.get_filesize())
        spaces = {count: h5py.h5s.create_simple((count,)) for count in {len(values) for _, _, values in pieces}}
        for dataset, start, values in pieces:
            dataset.write(spaces[len(values)], start, values)

    def _numbers(self, frames: Sequence[Frame]) -> Iterator[NDArray[Any]]:
        """Yield what is kept of some frames beside their pixels: the ring's index before what makes them count."""
        for column in self._layout.fields(self.ring):
            yield np.array([getattr(frame, column.name) for frame in frames], column.dtype_numpy)
        for column in self._layout.columns:
            yield np.array([frame.attributes.get(column.source, 0) for frame in frames], column.dtype_numpy)

    def _take_back(self) -> None:
        """Take frames that do not count off the datasets, so that all are of one length again."""
        columns = [*self._scalars, *(self._beside.datasets if self._beside is not None else ())]
        for dataset, shape in [(self._data, self.geometry.shape), *((column.id, ()) for column in columns)]:
            with contextlib.suppress(Exception):  # the disk is full or gone: readers take the shortest
                dataset.set_extent((self.kept, *shape))
                dataset.flush()

    def _close(self, *, complete: bool) -> None:
        """Close; the attribute ``complete`` becomes 1 if nothing went wrong."""
        try:
            if complete:
                self._complete.write(np.array(1, np.int8))
                close_unshared(self._file)
        finally:
            _close_anyhow(self._file)
            self._writer.close()


def frames_kept(path: str | os.PathLike[str]) -> int:
    """Count the complete frames of a file, also while it grows and after its writer was killed.

    Raises
    ------
    SinkError
        There is no such file, or it is not one of `Hdf5Sink`.
    """
    import h5py

    with explained("frames kept", "read", Path(path)), h5py.File(path, "r", swmr=True) as file:
        datasets: list[Any] = [file[NEXUS.where(key)] for key in ("data", *(c.name for c in SCALARS))]
        return min(dataset.shape[0] for dataset in datasets)


def _close_anyhow(file: "h5py.File") -> None:
    with contextlib.suppress(Exception):  # an error is on its way already, and the frames are in the file
        close_unshared(file)
