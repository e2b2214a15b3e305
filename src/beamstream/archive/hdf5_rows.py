"""Serve slices of recorded files at once: tiled's own reader opens the file anew for each frame of a slice.

A thousand spectra are read in milliseconds instead of seconds. Used by our server; the documents and the files are
such that any other tiled server reads them as well, but for files that several streams have rows of: see `shares`.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
import tiled.adapters.hdf5
from fastapi import HTTPException
from numpy.typing import NDArray
from tiled.adapters.array import ArrayAdapter
from tiled.adapters.hdf5 import HDF5Adapter, get_hdf5_attrs
from tiled.ndslice import NDBlock, NDSlice
from tiled.structures.array import ArrayStructure

from beamstream.errors import CodecError
from beamstream.file_uri import path_of
from beamstream.sinks.hdf5_checked import CheckedDataset
from beamstream.sinks.hdf5_filters import codec_of

log = logging.getLogger(__name__)

ROWS = "rows"
"""Parameter of a data source: which rows it has, as pairs of start and stop; without it, the first ones."""
_EVERYTHING = NDSlice(...)
_OPENING = {"swmr", "locking", "libver"}


class ServedDataset(CheckedDataset):
    """Frames that were compressed elsewhere; one whose bytes are damaged is 0, NaN where there is one."""

    def frame(self, row: int) -> NDArray[Any]:
        """Return the pixels of one frame, whatever its bytes are."""
        try:
            return super().frame(row)
        except CodecError:
            _warn_once(self.file.filename)
            return np.full(self.shape[1:], np.nan if self.dtype.kind in "fc" else 0, self.dtype)


@lru_cache(1000)
def _warn_once(path: str) -> None:
    log.warning("archive: %s: frames that do not decode are served as 0 or NaN; `beamstream export` names them", path)


class h5open(tiled.adapters.hdf5.h5open):  # noqa: N801  # as tiled's
    """Open a file as tiled does; a dataset of compressed frames is read by us."""

    def __enter__(self) -> Any:
        node = super().__enter__()
        return ServedDataset(node.id) if isinstance(node, h5py.Dataset) and codec_of(node) else node


def check_frames() -> None:
    """Have tiled in this process read the compressed frames of any HDF5 file the same way."""
    module: Any = tiled.adapters.hdf5
    module.h5open = h5open


class RecordedHdf5(HDF5Adapter):
    """What tiled makes of an HDF5 file, but arrays of a single file are `Rows`."""

    @classmethod
    def from_catalog(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, data_source: Any, node: Any, /, dataset: Any = "/", **options: Any
    ) -> Any:
        """Return the adapter of an array or of a whole file, as the catalogue describes it."""
        uris, rows = {asset.data_uri for asset in data_source.assets}, options.pop(ROWS, None)
        if data_source.structure_family == "array" and len(uris) == 1 and options.keys() <= _OPENING:
            uri = uris.pop()
            with h5open(path_of(uri), dataset, **options) as data:
                plain = _is_plain(data, data_source.structure)
                if rows is not None:
                    _expect_rows(rows, data.shape[0])
            if plain or rows is not None:
                metadata = {**node.metadata_, **get_hdf5_attrs(uri, dataset, **options)}
                about = {"metadata": metadata, "specs": node.specs}
                return Rows(uri, dataset, options, data_source.structure, rows, **about)
        return super().from_catalog(data_source, node, dataset=dataset, **options)


class Rows(ArrayAdapter):
    """The first rows of a dataset that may be longer by now, read slice by slice.

    Parameters
    ----------
    uri : str
        Of the file.
    dataset : str
        Path of the dataset inside.
    opening : Mapping
        How the file is opened: ``swmr``, ``locking``, ``libver``.
    structure : ArrayStructure
        What the catalogue promises.
    rows : sequence of (int, int), optional
        Which rows, by start and stop, where these are not the first ones.
    """

    def __init__(
        self,
        uri: str,
        dataset: str,
        opening: dict[str, Any],
        structure: ArrayStructure,
        rows: Sequence[tuple[int, int]] | None = None,
        **about: Any,
    ) -> None:
        nothing: Any = np.empty(0)  # what tiled's own adapter would read from; both ways to read are ours
        super().__init__(nothing, structure, **about)
        self._place = path_of(uri), dataset
        self._opening = opening
        self._rows = None if rows is None else np.concatenate([np.arange(*part) for part in rows])

    def read(self, slice: NDSlice = _EVERYTHING) -> NDArray[Any]:
        """Return a slice of the rows that the catalogue knows."""
        shape = tuple(self._structure.shape)
        index = tuple((NDSlice(*slice) if slice else _EVERYTHING).expand_for_shape(shape))
        forward = [_forward(part, size) for part, size in zip(index, shape, strict=True)]
        data: Any
        with h5open(*self._place, **self._opening) as data:
            read = self._read(data, tuple(part for part, _ in forward))
        return read[tuple(flip for part, flip in forward if not isinstance(part, int))]

    def _read(self, data: Any, index: tuple[Any, ...]) -> NDArray[Any]:
        """Return what an index means, in the order of the file."""
        if self._rows is None:
            return data[index]
        rows = self._rows[index[0]]
        if isinstance(index[0], int):
            return data[int(rows), *index[1:]]
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        parts = [data[int(run[0]) : int(run[-1]) + 1, *index[1:]] for run in runs if run.size]
        return np.concatenate(parts) if parts else data[(np.s_[0:0], *index[1:])]

    def read_block(self, block: NDBlock, slice: NDSlice = _EVERYTHING) -> NDArray[Any]:
        """Return a slice of a block."""
        whole = self.read(NDSlice(*block.slice_from_chunks(self._structure.chunks)))
        return whole[tuple(slice)] if slice else whole


def _expect_rows(rows: Sequence[tuple[int, int]], count: int) -> None:
    """Refuse numbers of rows that a dataset has not got: they came over HTTP."""
    if sum(stop - start for start, stop in rows) > count or any(not 0 <= a <= b <= count for a, b in rows):
        raise HTTPException(422, f"archive: the dataset has {count} rows, the array's parameter {ROWS!r} names others")


def _is_plain(data: Any, structure: ArrayStructure) -> bool:
    """Return whether a dataset has, row by row, what the catalogue says; tiled knows what to do about all others."""
    shape = tuple(structure.shape)
    same = (
        data.ndim == len(shape) and data.shape[1:] == shape[1:] and data.dtype == structure.data_type.to_numpy_dtype()
    )
    return bool(shape and same and data.shape[0] >= shape[0])


def _forward(part: Any, size: int) -> tuple[Any, Any]:
    """Return an index that HDF5 understands, and how what it finds has to be turned."""
    if isinstance(part, int):
        return part % size, None
    places = range(*part.indices(size))
    if not places:
        return np.s_[0:0], np.s_[:]
    if places.step > 0:
        return np.s_[places.start : places.stop : places.step], np.s_[:]
    return np.s_[places[-1] : places[0] + 1 : -places.step], np.s_[::-1]
