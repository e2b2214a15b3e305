"""The documents of a growing Zarr v3 group: what its arrays are, and how many frames of them count."""

import contextlib
import ctypes
import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode, Geometry
from beamstream.sinks.axes import Axes

Compression = Literal["", "zstd", "blosc"]

DTYPES = frozenset(
    {"bool", "float16", "float32", "float64", "complex64", "complex128"}
    | {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
)
"""Pixel types that Zarr v3 knows, by numpy's name."""
TIME = {"units": "microseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
"""Attributes of times that are whole numbers; xarray knows them."""
PER_CHUNK = 4096
"""Numbers in one file of a column."""
ZSTD = {"level": 1, "checksum": False}
BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}

_AXES = {  # as OME-Zarr calls them
    ColorMode.MONO: ("y", "x"),
    ColorMode.BAYER: ("y", "x"),
    ColorMode.RGB1: ("y", "x", "c"),
    ColorMode.RGB2: ("y", "c", "x"),
    ColorMode.RGB3: ("c", "y", "x"),
}
_FILL = {"b": False, "f": 0.0, "c": [0.0, 0.0]}  # by kind; 0 for integers
_NO_FRAMES = b'"shape": [0'
_ROOM = 20  # bytes, for the digits of the count
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # not every C library has it


def put(directory: Path, document: Mapping[str, Any]) -> None:
    """Put a ``zarr.json`` into a directory; readers find the old or the new one, whole.

    Raises
    ------
    OSError
        The system refuses it; an old one stays.
    """
    _replace(directory, json.dumps(document, allow_nan=False).encode())


def _replace(directory: Path, text: bytes) -> None:
    new = directory / "zarr.json.new"
    try:
        new.write_bytes(text)
        new.replace(directory / "zarr.json")
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


class GrowingDocument:
    """The ``zarr.json`` of an array that grows: readers find the old or the new count.

    Two files take turns under the name. The one that is not seen is written and then changes names with the
    other, which costs microseconds and no room on the disk; to replace a file by a new one, ext4 waits for
    the disk. Where names cannot be exchanged (NFS), it is replaced.

    Parameters
    ----------
    directory : Path
        The array's; it exists.
    document : Mapping
        With no frames; see `pixels_document`.
    """

    def __init__(self, directory: Path, document: Mapping[str, Any]) -> None:
        self._directory = directory
        self._names = [os.fsencode(directory / name) for name in ("zarr.json", "zarr.json.before")]
        text = json.dumps(document, allow_nan=False).encode()
        self._head, self._tail = text.split(_NO_FRAMES, 1)
        self._size = len(text) + _ROOM
        self._fds: list[int] = []  # of the file that is seen, and of the other
        self._exchanges = _renameat2 is not None
        try:
            for name in self._names:
                self._fds.append(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
                os.pwrite(self._fds[-1], text.ljust(self._size), 0)
        except BaseException:
            self.close()
            raise

    def publish(self, count: int) -> None:
        """Make the first `count` frames the array's.

        Raises
        ------
        OSError
            The system refuses it; the count is the one before.
        """
        text = b'%s"shape": [%d%s' % (self._head, count, self._tail)
        if self._exchanges:
            os.pwrite(self._fds[1], text.ljust(self._size), 0)  # less than a page: all of it or nothing
            self._exchanges = _exchange(*self._names)
            self._fds.reverse()
        if not self._exchanges:
            _replace(self._directory, text)

    def files(self) -> tuple[Path, ...]:
        """Return what a sync is needed of: after a power cut, either of both files may be the one that is seen."""
        return (*(Path(os.fsdecode(name)) for name in self._names), self._directory)

    def close(self) -> None:
        """Close, and remove the file that is not seen."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
        with contextlib.suppress(OSError):  # an error may be on its way, and nobody looks at this file
            os.unlink(self._names[1])  # noqa: PTH108  bytes


def _exchange(first: bytes, second: bytes) -> bool:
    """Let two files change names at once; return whether the filesystem can."""
    assert _renameat2 is not None
    if _renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), os.fsdecode(first))


def group_document(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``zarr.json`` of a group, not yet complete."""
    ours = {"creator": "beamstream", "detector": name, "complete": False}
    given = {str(key): jsonable(value) for key, value in attributes.items()}
    return {"zarr_format": 3, "node_type": "group", "attributes": {**given, **ours}}


def pixels_document(
    geometry: Geometry, per_shard: int, compression: Compression, axes: Axes | None = None
) -> dict[str, Any]:
    """Return the ``zarr.json`` of the pixels: one chunk a frame, `per_shard` of them a file."""
    dtype = np.dtype(geometry.dtype)
    sharding = {
        "chunk_shape": [1, *geometry.shape],
        "codecs": [_bytes_codec(dtype), *_compressor(compression, dtype)],
        "index_codecs": [_bytes_codec(np.dtype("<u8"))],
        "index_location": "start",
    }
    attributes: dict[str, Any] = {"color_mode": str(geometry.color_mode), "received_codec": geometry.codec}
    attributes["units"] = "counts" if axes is None else axes.units
    if axes is not None and axes.polarizations:
        attributes["polarizations"] = list(axes.polarizations)
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return _array(dtype, (per_shard, *geometry.shape), codecs, dimensions(geometry, axes), attributes)


def column_document(dtype_numpy: str, attributes: Mapping[str, Any], axes: Axes | None = None) -> dict[str, Any]:
    """Return the ``zarr.json`` of one number a frame."""
    dtype = np.dtype(dtype_numpy)
    return _array(dtype, (PER_CHUNK,), [_bytes_codec(dtype)], (time_dimension(axes),), dict(attributes))


def bytes_document(per_chunk: int) -> dict[str, Any]:
    """Return the ``zarr.json`` of bytes that grow by themselves, `per_chunk` of them a file."""
    dtype = np.dtype("|u1")
    return _array(dtype, (per_chunk,), [_bytes_codec(dtype)], ("byte",), {})


def put_coordinate(directory: Path, values: NDArray[np.float64], units: str) -> None:
    """Put where the values along a dimension lie, as xarray and others look for it; the directory is called like it.

    Raises
    ------
    OSError
        The system refuses it.
    """
    places = values.astype("<f8")
    about = {"units": units} if units else {}
    document = _array(places.dtype, places.shape, [_bytes_codec(places.dtype)], (directory.name,), about)
    (directory / "c").mkdir(parents=True)
    (directory / "c" / "0").write_bytes(places.tobytes())
    put(directory, document | {"shape": list(places.shape)})


def dimensions(geometry: Geometry, axes: Axes | None = None) -> tuple[str, ...]:
    """Return what the dimensions of the pixels are called, first the one along which frames follow each other."""
    dims, ndim = _AXES[geometry.color_mode] if axes is None else axes.dims, len(geometry.shape)
    if len(dims) != ndim:
        dims = ("z", "y", "x")[-ndim:] if 0 < ndim <= 3 else tuple(f"axis_{number}" for number in range(ndim))
    return (time_dimension(axes), *dims)


def time_dimension(axes: Axes | None) -> str:
    """Return what the dimension is called along which frames follow each other."""
    return "t" if axes is None else "time"


def _array(
    dtype: np.dtype[Any],
    chunk: tuple[int, ...],
    codecs: list[dict[str, Any]],
    dims: tuple[str, ...],
    attributes: dict[str, Any],
) -> dict[str, Any]:
    """Return the ``zarr.json`` of an array that grows along its first dimension, the frames."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [0, *chunk[1:]],
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _FILL.get(dtype.kind, 0),
        "codecs": codecs,
        "dimension_names": list(dims),
        "attributes": attributes,
    }


def _bytes_codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    endian = "big" if dtype.str.startswith(">") else "little"
    return {"name": "bytes", "configuration": {"endian": endian}}


def _compressor(compression: Compression, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    if compression == "zstd":
        return [{"name": "zstd", "configuration": ZSTD}]
    if compression == "blosc":
        return [{"name": "blosc", "configuration": {"typesize": dtype.itemsize, **BLOSC}}]
    return []


def jsonable(value: Any) -> Any:
    """Return what JSON can carry: NaN and infinity, and whatever it does not know, as text."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
