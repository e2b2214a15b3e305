"""Keep numbers and lines of each frame, without its pixels, in an HDF5 file that can be read while it grows."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from beamstream.errors import SinkError
from beamstream.file_uri import uri_of
from beamstream.sinks.base import StoredArray
from beamstream.sinks.disk import explained, sync_file
from beamstream.sinks.durable import Durable
from beamstream.sinks.hdf5 import MIMETYPE
from beamstream.sinks.hdf5_layout import create_growing, now, storable
from beamstream.sinks.hdf5_unshared import close_unshared, open_unshared

_GROUP = "/entry/data"
_CHUNK_BYTES = 1 << 15


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A number or a line of numbers of each frame; `shape` is ``()`` or ``(n,)``."""

    dtype_numpy: str = "<f8"
    units: str = ""
    shape: tuple[int, ...] = ()

    @property
    def chunk_shape(self) -> list[int]:
        """How many rows lie together in the file, and the shape of one."""
        row = np.dtype(self.dtype_numpy).itemsize * int(np.prod(self.shape, dtype=int))
        return [max(1, _CHUNK_BYTES // row), *self.shape]


class Hdf5Table:
    """Keep columns that grow by a row a frame: 8 bytes a number, where `Hdf5Sink` would use a page.

    The file is NeXus, in single-writer-multiple-readers mode from the start: it can be read while it grows, and after
    a kill of its writer. A `beamstream.sinks.base.Stored`; to be used from one thread, by ``with`` or `open` and
    `close`.

    Parameters
    ----------
    path : path-like
        The file to create; one that exists is never touched.
    columns : Mapping of str to TableColumn
    time : str
        Which column says when the rows are.
    name : str
        For errors.
    attributes : Mapping, optional
        Put at ``/entry/data``.

    Attributes
    ----------
    kept : int
        Rows kept so far.
    """

    mimetype = MIMETYPE

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Mapping[str, TableColumn],
        *,
        time: str,
        name: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self.name = name
        self.kept = 0
        self.columns = dict(columns)
        self.arrays = {key: _stored(key, column) for key, column in self.columns.items()}
        self._time = time
        self._attributes = dict(attributes or {})
        self._file: Any = None
        self._datasets: dict[str, Any] = {}
        self._durable: Durable | None = None

    @property
    def uri(self) -> str:
        """Where the file is, as a stream_resource document says it."""
        return uri_of(self.path)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close(complete=kind is None)

    def open(self) -> None:
        """Create the file.

        Raises
        ------
        DiskFull, SinkError
            There is no place for it, or something is there already.
        """
        import h5py

        with explained(self.name, "create", self.path):
            file = open_unshared(lambda: h5py.File(self.path, "x", libver=("v110", "v110")))
            try:
                self._datasets = {key: create_growing(file, array) for key, array in self.arrays.items()}
                self._furnish(file)
                file.swmr_mode = True
                self._durable = Durable(self.name, self.path, lambda: self.kept, lambda start, stop: ())
            except BaseException:
                close_unshared(file)
                self.path.unlink()
                raise
            self._file = file

    def _furnish(self, file: Any) -> None:
        entry, group = file["entry"], file[_GROUP]
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "beamstream"})
        entry.attrs.update({"NX_class": "NXentry", "default": "data", "start_time": now(), "complete": np.int8(0)})
        signals = [key for key in self.columns if key != self._time]
        axes = [self._time, *["."] * len(self.columns[signals[0]].shape)]
        group.attrs.update({"NX_class": "NXdata", "signal": signals[0], "axes": axes, f"{self._time}_indices": 0})
        if len(signals) > 1:
            group.attrs["auxiliary_signals"] = signals[1:]
        group[self._time].attrs["start"] = "1970-01-01T00:00:00Z"
        group.attrs.update({key: storable(value) for key, value in self._attributes.items()})

    def append(self, rows: Mapping[str, ArrayLike]) -> int:
        """Append as many rows to each column; return the number kept so far.

        Raises
        ------
        DiskFull, SinkError
            The rows do not count; all before stay readable.
        """
        arrays = {key: np.asarray(rows[key], column.dtype_numpy) for key, column in self.columns.items()}
        stop = self.kept + len(arrays[self._time])
        for key, column in self.columns.items():
            if arrays[key].shape != (stop - self.kept, *column.shape):
                raise SinkError(
                    f"{self.name}: {key} of shape {arrays[key].shape} to append, {self.path} takes "
                    f"{(stop - self.kept, *column.shape)}; correct what makes it"
                )
        if self._durable is not None:
            self._durable.check()
        with explained(self.name, f"keep rows {self.kept}:{stop} in", self.path):
            for key, dataset in self._datasets.items():
                dataset.resize(stop, axis=0)
                dataset[self.kept : stop] = arrays[key]
                dataset.flush()
        self.kept = stop
        return stop

    def close(self, *, complete: bool = True) -> None:
        """Close the file; its attribute ``complete`` becomes 1 if it is, and the disk has all of it.

        Raises
        ------
        DiskFull, SinkError
            What was not written yet cannot be, or the disk cannot keep what it took.
        """
        file, self._file = self._file, None
        durable, self._durable = self._durable, None
        self._datasets = {}
        if file is None or durable is None:
            return
        with explained(self.name, "close", self.path):
            try:
                if complete:
                    durable.sync()
                    file["entry"].attrs.modify("complete", np.int8(1))
            finally:
                durable.close()
                close_unshared(file)
            if complete:
                sync_file(self.path)


def _stored(key: str, column: TableColumn) -> StoredArray:
    where = {"dataset": f"{_GROUP}/{key}", "chunk_shape": column.chunk_shape, "swmr": True}
    return StoredArray(column.dtype_numpy, column.shape, column.units, where)
