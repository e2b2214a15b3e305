"""What is in recorded HDF5 files whose writer died; h5py is imported where used."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beamstream.sinks.documents import key_dtype

_PIECE = 1 << 20  # rows


def stored_elements(path: Path, dataset: str) -> int:
    """Return how many numbers a dataset has.

    Raises
    ------
    OSError, KeyError
        It cannot be read.
    """
    with _opened(path) as file:
        return math.prod(file[dataset].shape)


def stored_ids(path: Path, dataset: str, stop: int) -> Iterator[Any]:
    """Yield the ``unique_id`` of the first `stop` rows, a million at a time.

    Raises
    ------
    OSError, KeyError
        It cannot be read.
    """
    with _opened(path) as file:
        for start in range(0, stop, _PIECE):
            yield file[dataset][start : min(start + _PIECE, stop)]


def array_parameters(path: Path, dataset: str) -> dict[str, Any]:
    """Return the ``parameters`` of a stream_resource document."""
    with _opened(path) as file:
        chunks = file[dataset].chunks
    return {"dataset": dataset, "chunk_shape": list(chunks or ()), "swmr": True}


def array_data_key(path: Path, dataset: str, source: str) -> dict[str, Any]:
    """Return the data key of a dataset, as far as the file says what it is."""
    with _opened(path) as file:
        array = file[dataset]
        key = {
            "source": source,
            "dtype": key_dtype(array.shape[1:], array.dtype.str),
            "shape": list(array.shape[1:]),
            "dtype_numpy": array.dtype.str,
            "external": "STREAM:",
        }
        names = ("units", "color_mode", "attribute")
        about = {name: str(array.attrs[name]) for name in names if name in array.attrs}
    return key | about


def _opened(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r", swmr=True)  # the flags of a writer that died are still set
