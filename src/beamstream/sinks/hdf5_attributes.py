"""The attributes of frames in a recorded HDF5 file: written beside the pixels, and read back by row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import SinkError
from beamstream.frame_attributes import from_json, sensor_part
from beamstream.frames import Frame
from beamstream.sinks.attribute_columns import AttributePacker, attribute_columns
from beamstream.sinks.base import StoredArray
from beamstream.sinks.hdf5_growing import GrowingDataset
from beamstream.sinks.hdf5_layout import Column, create_growing

if TYPE_CHECKING:
    import h5py

GROUP = "frame_attributes"
"""Attribute of the group of ``unique_id``: the path of the group with the columns of attributes."""

_KEY = "attr_"  # begins their names in documents, where they must not be those of a detector's own readings
_ATTRIBUTE = "attribute"  # of a dataset: the name of what it holds, as the detector wrote it
_CHANGES, _CHANGE_OF = "changes", "changes_at"
_CHUNK_BYTES = 1 << 14
_BLOCK = 1024  # rows that are read at once
_PIECE = 1 << 16  # bytes


class AttributeWriter:
    """Keep the attributes of the frames of one run in datasets of their own, by name.

    Beside a dataset for each number and short text there are ``changes``, lines of JSON with all that fits into none of
    them, and ``changes_at``: for each row, the byte where the line begins that holds for it, -1 for none. See
    `beamstream.sinks.attribute_columns.AttributePacker`.

    Parameters
    ----------
    attributes : Mapping
        Of a first frame: which columns there are.
    columns : sequence of Column
        What is kept elsewhere.
    name : str
        The detector's.
    group : str
        Path of the group.

    Attributes
    ----------
    arrays : dict of str to StoredArray
        The columns, as documents name them.
    dimension : dict
        Which part of the sensor the image of that first frame is.
    """

    def __init__(self, attributes: Mapping[str, Any], columns: Sequence[Column], name: str, group: str) -> None:
        elsewhere = {column.source for column in columns}
        own = {key: value for key, value in attributes.items() if key not in elsewhere}
        self.group = group
        self.dimension = sensor_part(own)
        self._packer = AttributePacker(own, attribute_columns(own), name, elsewhere)
        self.arrays = {f"{_KEY}{column.name}": self._stored(column) for column in self._packer.columns}
        self._changes = self._stored(Column(_CHANGES, "|u1"))
        self._change_of = self._stored(Column(_CHANGE_OF, "<i8"))
        self._end = 0  # of the changes, bytes

    def _stored(self, column: Column) -> StoredArray:
        rows = _CHUNK_BYTES // np.dtype(column.dtype_numpy).itemsize
        place = {"dataset": f"{self.group}/{column.name}", "chunk_shape": [rows], "swmr": True}
        return StoredArray(column.dtype_numpy, (), column.units, place, attribute=column.attribute)

    def create(self, file: "h5py.File") -> None:
        """Create the datasets."""
        file.require_group(self.group).attrs["NX_class"] = "NXcollection"
        for array in self.arrays.values():
            create_growing(file, array).attrs[_ATTRIBUTE] = array.attribute
        for array in (self._changes, self._change_of):
            create_growing(file, array)

    def open(self, file: "h5py.File") -> None:
        """Take hold of the datasets, to write to them."""
        self._columns = [self._growing(file, array) for array in self.arrays.values()]
        self._lines, self._places = (self._growing(file, array) for array in (self._changes, self._change_of))

    def _growing(self, file: Any, array: StoredArray) -> GrowingDataset:
        return GrowingDataset(file[array.parameters["dataset"]])

    @property
    def datasets(self) -> list[GrowingDataset]:
        """Those that have a value a row."""
        return [self._places, *self._columns]

    def pieces(self, frames: Sequence[Frame], first: int) -> Iterator[tuple[GrowingDataset, int, NDArray[Any]]]:
        """Yield what is to be written: dataset, from where on, values; in this order, before the frames count."""
        packed = self._packer.pack(frames, first)
        if packed.changes:
            yield self._lines, self._end, np.frombuffer(packed.changes, np.uint8)
            self._end += len(packed.changes)
        yield self._places, first, packed.change_of
        for dataset, values in zip(self._columns, packed.arrays, strict=True):
            yield dataset, first, values


class AttributeReader:
    """Read the attributes of recorded frames by row, also while the file grows; from one thread.

    Parameters
    ----------
    file : h5py.File
    group : str
        Path of the group that `AttributeWriter` made.
    """

    def __init__(self, file: Any, group: str) -> None:
        datasets: Any = file[group]
        self._columns = {str(data.attrs[_ATTRIBUTE]): data for data in datasets.values() if _ATTRIBUTE in data.attrs}
        self._changes, self._change_of = datasets[_CHANGES], datasets[_CHANGE_OF]
        self._path = file.filename
        self._first, self._rows = 0, list[dict[str, Any]]()
        self._text, self._text_at = b"", 0  # some of the changes, and where they begin
        self._states: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def read(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Return the attributes of the frames of some rows, which the file has."""
        if not self._first <= start <= stop <= self._first + len(self._rows):
            self._first, self._rows = start, self._read(start, stop)
        return self._rows[start - self._first : stop - self._first]

    def _read(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Return the attributes of the rows from `start` on, to `stop` at least."""
        change_of = _rows(self._change_of, start, stop)
        known = min(dataset.shape[0] for dataset in (self._change_of, *self._columns.values()))
        end = max(stop, min(known, start + _BLOCK))
        if len(change_of) < end - start:
            change_of = _rows(self._change_of, start, end)
        columns = {key: _plain(_rows(data, start, end)) for key, data in self._columns.items()}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        rows = rows or [{} for _ in change_of]
        for row, place in zip(rows, change_of.tolist(), strict=True):
            if place >= 0:
                others, missing = self._state(place)
                row.update(others)
                for key in missing:
                    row.pop(key, None)
        return rows

    def _state(self, place: int) -> tuple[dict[str, Any], list[str]]:
        """Return the line that begins at a byte of the changes: attributes, and which are missing."""
        if place not in self._states:
            line = from_json(self._line(place))
            if len(self._states) > _BLOCK:
                self._states.clear()
            self._states[place] = line["attributes"], line["missing"]
        return self._states[place]

    def _line(self, place: int) -> bytes:
        begin = place - self._text_at
        end = self._text.find(b"\n", begin) if 0 <= begin < len(self._text) else -1
        nbytes = _PIECE
        while end < 0:
            if place >= self._changes.shape[0] or nbytes > _PIECE:
                self._changes.refresh()
            self._text = self._changes[place : place + nbytes].tobytes()
            self._text_at, begin, end = place, 0, self._text.find(b"\n")
            if end < 0 and place + nbytes >= self._changes.shape[0]:
                raise SinkError(f"{self._path}: the attributes of its frames end in the middle; was the file cut off?")
            nbytes *= 4
        return self._text[begin:end]


def _rows(dataset: Any, start: int, stop: int) -> NDArray[Any]:
    if dataset.shape[0] < stop:
        dataset.refresh()
    return dataset[start:stop]


def _plain(values: NDArray[Any]) -> list[Any]:
    """Return values as the frames had them."""
    if values.dtype.kind != "S":
        return values.tolist()
    if values.size and (values == values[0]).all():
        return [values[0].decode("utf-8", "surrogatepass")] * values.size
    return [value.decode("utf-8", "surrogatepass") for value in values.tolist()]
