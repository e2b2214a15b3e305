"""Keep frames in an HDF5 file that everybody can read while it grows, and after a kill of its writer."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from beamstream.errors import SinkError
from beamstream.frames import NO_ATTRIBUTES, Frame, Geometry
from beamstream.sinks.direct import PlacedWriter
from beamstream.sinks.disk import explained
from beamstream.sinks.hdf5_layout import SCALARS, StoredArray, create_file, stored_arrays
from beamstream.sinks.hdf5_pixels import Pixels, pixels_for

if TYPE_CHECKING:
    import h5py

MIMETYPE = "application/x-hdf5"
"""What a stream_resource document calls this format."""


class Hdf5Sink:
    """Keep the frames of one run in one HDF5 file, as fast as the disk takes them.

    A `beamstream.sinks.base.Sink`. The file is NeXus: pixels in ``/entry/data/data``, one chunk a frame, and
    beside them ``unique_id``, ``timestamp`` and ``received`` (s since 1970-01-01 UTC). It is in
    single-writer-multiple-readers mode from the start, so it can be read while it grows and after its writer
    was killed: ``h5py.File(path, swmr=True)``. A frame is kept when it is in all four datasets;
    `frames_kept` counts them.

    Compressed frames stay compressed, and h5py with hdf5plugin decodes them (``blosc``, ``lz4``, ``bslz4``,
    ``zlib``). HDF5 has no filter for ``jpeg``: these frames are decoded and stored as pixels; the
    dataset says so.

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
    ) -> None:
        self.path = Path(path).absolute()
        self.geometry = geometry
        self.name = name
        self.arrays: dict[str, StoredArray] = stored_arrays(geometry)
        self.kept = 0
        self._attributes = NO_ATTRIBUTES if attributes is None else attributes
        self._direct = direct
        self._file: h5py.File | None = None
        self._failed = False

    @property
    def uri(self) -> str:
        """Where the file is, as a stream_resource document says it."""
        return f"file://localhost{self.path.as_posix()}"

    def __enter__(self) -> Self:
        """Create the file, with everything in it but the frames.

        Raises
        ------
        DiskFull, SinkError
            There is no place for it, or there is a file already.
        """
        if self._file is not None or self._failed or self.kept:
            raise SinkError(f"{self.name}: to be opened again, but {self.path} was one run's; make a new sink")
        with explained(self.name, "create", self.path):
            file = create_file(self.path, self.name, self.geometry, self._attributes)
            try:
                self._start(file)
            except BaseException:
                _close_anyhow(file)
                self.path.unlink()
                raise
        self._file = file
        return self

    def _start(self, file: Any) -> None:
        """Let readers in, and take the room that the books need from the disk while there is some."""
        import h5py

        file.swmr_mode = True
        group = file["entry/data"]
        self._ids, self._data = file.id, group["data"].id
        self._scalars = [group[key].id for key in SCALARS]
        self._complete = h5py.h5a.open(file["entry"].id, b"complete")
        self._writer = PlacedWriter(self.path, direct=self._direct)  # locks: possible now that HDF5 let go
        try:
            self._writer.reserve(0, file.id.get_filesize())
            self._pixels: Pixels = pixels_for(file, group["data"], self.geometry, self._writer)
        except BaseException:
            self._writer.close()
            raise

    def write(self, frames: Sequence[Frame]) -> int:
        """Append frames and publish them.

        The frames' memory is only read, and not needed any more afterwards. Larger batches cost less.

        Raises
        ------
        DiskFull, SinkError
            Nothing of this call counts as kept; everything kept before stays readable. The sink takes no
            more.
        CodecError
            A frame that has to be decoded cannot be; as above.
        """
        if self._file is None or self._failed:
            state = "failed before" if self._failed else "is not open"
            raise SinkError(f"{self.name}: {len(frames)} frames to write, but {self.path} {state}; open a new sink")
        self._check(frames)
        if not frames:
            return self.kept
        try:
            with explained(self.name, f"keep frames {self.kept}:{self.kept + len(frames)} in", self.path):
                self._pixels.append(frames, self.kept)
                self._data.flush()
                self._append_scalars(frames)
        except BaseException:
            self._failed = True
            self._take_back()
            raise
        self.kept += len(frames)
        return self.kept

    def _check(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.geometry != self.geometry:
                is_now, asked = f"frame {frame.unique_id} is {frame.geometry}", f"opened for {self.geometry}"
                raise SinkError(f"{self.name}: {self.path} is {asked}, {is_now}; open a new run for it")
            if not self.geometry.codec and frame.payload.nbytes != self.geometry.nbytes:
                raise SinkError(
                    f"{self.name}: frame {frame.unique_id} has {frame.payload.nbytes} bytes, its geometry "
                    f"{self.geometry} wants {self.geometry.nbytes}; correct the source that made it"
                )

    def _append_scalars(self, frames: Sequence[Frame]) -> None:
        """Write what makes the frames count, after their pixels."""
        import h5py

        start, count = self.kept, len(frames)
        memory = h5py.h5s.create_simple((count,))
        before = self._ids.get_filesize()
        for dataset in self._scalars:
            dataset.set_extent((start + count,))
        self._writer.reserve(before, self._ids.get_filesize())
        for key, dataset in zip(SCALARS, self._scalars, strict=True):
            values = np.array([getattr(frame, key) for frame in frames], self.arrays[key].dtype_numpy)
            place = dataset.get_space()
            place.select_hyperslab((start,), (count,))
            dataset.write(memory, place, values)
            dataset.flush()

    def _take_back(self) -> None:
        """Take frames that do not count off the datasets, so that all four are of one length again."""
        for dataset, shape in [
            (self._data, self.geometry.shape),
            *((scalar, ()) for scalar in self._scalars),
        ]:
            with contextlib.suppress(Exception):  # the disk is full or gone: readers take the shortest of the four
                dataset.set_extent((self.kept, *shape))
                dataset.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close; the attribute ``/entry.complete`` becomes 1 if nothing went wrong.

        Raises
        ------
        DiskFull, SinkError
            The file cannot be closed as it should; not raised after another error.
        """
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if kind is not None or self._failed:
                _close_anyhow(file)
                return
            with explained(self.name, "close", self.path):
                self._complete.write(np.array(1, np.int8))
                file.close()
        except BaseException:
            _close_anyhow(file)
            raise
        finally:
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
        group: Any = file["entry/data"]
        return min(group[key].shape[0] for key in ("data", *SCALARS))


def _close_anyhow(file: "h5py.File") -> None:
    with contextlib.suppress(Exception):  # an error is on its way already, and the frames are in the file
        file.close()
