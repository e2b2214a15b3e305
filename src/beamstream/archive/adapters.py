"""tiled's readers of files: the files are checked before they are opened, the answer is bounded before it is read."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import prod
from typing import Any

from fastapi import HTTPException
from tiled.mimetypes import ZARR_MIMETYPE
from tiled.ndslice import NDBlock, NDSlice
from tiled.storage import DirectoryContainer
from tiled.structures.array import ArrayStructure

from beamstream.archive.served_files import ServedFiles
from beamstream.errors import CodecError

_EVERYTHING = NDSlice(...)
_MOST_CHUNKS = 1_000_000  # of an array along one axis: tiled lists all of them in its catalogue


class ServedAdapters(Mapping[str, Any]):
    """The readers by media type, as the catalogue asks for them.

    Parameters
    ----------
    adapters : Mapping
        Classes of tiled, or ours.
    files : ServedFiles
    largest : int
        Bytes of pixels that a request may ask for.
    """

    def __init__(self, adapters: Mapping[str, Any], files: ServedFiles, largest: int) -> None:
        self._adapters, self._files, self._largest = adapters, files, largest

    def __getitem__(self, mimetype: str) -> Any:
        if mimetype == ZARR_MIMETYPE:  # importing zarr-python takes half a second
            from beamstream.archive.zarr_checked import check_zstd

            check_zstd()
        return _Guarded(self._adapters[mimetype], self._files, self._largest)

    def __contains__(self, mimetype: object) -> bool:
        return mimetype in self._adapters

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters)

    def __len__(self) -> int:
        return len(self._adapters)


class _Guarded:
    """A class of readers; everything but how one is made is the class's own."""

    def __init__(self, adapter: Any, files: ServedFiles, largest: int) -> None:
        self._adapter, self._files, self._largest = adapter, files, largest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def from_catalog(self, data_source: Any, node: Any, /, **parameters: Any) -> Any:
        self._files.check(data_source, parameters)
        reader = self._adapter.from_catalog(data_source, node, **parameters)
        if isinstance(getattr(reader, "_container", None), DirectoryContainer):
            reader._container = _OwnFiles(reader._container.directory)
        if isinstance(data_source.structure, ArrayStructure):
            _bound(reader, data_source.structure, self._largest)
        return reader


class _OwnFiles(DirectoryContainer):
    """The buffers of an awkward array: tiled 0.2.20 takes their names from clients, and paths with them."""

    def __getitem__(self, key: str) -> bytes:
        return super().__getitem__(_checked(key))

    def __setitem__(self, key: str, value: bytes) -> None:
        super().__setitem__(_checked(key), value)


def _checked(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise HTTPException(422, f"archive: a buffer of the name {name!r} asked for; names of buffers are no paths")
    return name


def _bound(reader: Any, structure: ArrayStructure, largest: int) -> None:
    """Have a reader refuse what does not fit an answer before it reads it: tiled 0.2.20 reads first."""
    shape, itemsize = tuple(structure.shape), structure.data_type.to_numpy_dtype().itemsize
    read, read_block, patch = reader.read, reader.read_block, getattr(reader, "patch", None)

    def bounded_read(slice: Any = _EVERYTHING) -> Any:
        asked = NDSlice(*slice) if isinstance(slice, tuple) else NDSlice(slice)  # some readers call `read` again
        return answer(asked.shape_after_slice(shape), read, slice)

    def bounded_read_block(block: NDBlock, slice: Any = _EVERYTHING) -> Any:
        return answer(block.shape_from_chunks(structure.chunks), read_block, block, slice)

    def answer(asked: tuple[int, ...], reading: Callable[..., Any], *what: Any) -> Any:
        if prod(asked) * itemsize > largest:
            raise HTTPException(
                400,
                f"archive: {' × '.join(map(str, asked))} of {itemsize} bytes asked for, an answer has at most "
                f"{largest} bytes; ask for a smaller slice, ?slice=0:10",
            )
        try:
            return reading(*what)
        except CodecError as error:
            raise HTTPException(422, f"archive: {error}; fetch the file itself for its bytes") from error

    def bounded_patch(patch: Callable[..., Any], data: Any, offset: tuple[int, ...], extend: bool = False) -> Any:
        for start, count, chunks in zip(offset, data.shape, structure.chunks, strict=False):
            if (start + count) // max(1, *chunks, 1) > _MOST_CHUNKS:
                raise HTTPException(422, f"archive: {count} rows at {start} to be written, that is too far outside")
        return patch(data, offset, extend)

    reader.read, reader.read_block = bounded_read, bounded_read_block
    if not hasattr(reader, "get"):
        reader.get = lambda _: None  # the catalogue asks for what is below an array: nothing
    if patch is not None:
        reader.patch = partial(bounded_patch, patch)
