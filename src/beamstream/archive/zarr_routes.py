"""The archive for Zarr clients: ``/zarr/v2`` and ``/zarr/v3``, instead of the routes that tiled 0.2.20 adds.

Those ask for no key, answer 500 where an array has no pixels in memory, take memory for chunks far outside of an array,
and send big-endian pixels as little-endian ones.
"""

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from math import prod
from typing import Any

import anyio
import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from numpy.typing import NDArray
from tiled.adapters.utils import DataNotReadyError, ShapeMismatchError
from tiled.ndslice import NDSlice
from tiled.server.zarr import convert_chunks_for_zarr, zarr_codec
from tiled.structures.core import StructureFamily
from tiled.utils import ensure_awaitable, safe_json_dump

from beamstream.archive.asset_routes import READ, Finder

_NUMBER = r"[0-9]{1,12}"
_CHUNK_2 = re.compile(rf"{_NUMBER}(\.{_NUMBER})*", re.ASCII)
_CHUNK_3 = re.compile(rf"(.*)/c((?:/{_NUMBER})+)", re.ASCII)
_GROUPS = (StructureFamily.container, StructureFamily.table)
_SHUFFLES = ("no_shuffle", "shuffle", "bitshuffle")


class ZarrRoutes:
    """Answer Zarr clients; runs and tables are groups, pixels and columns are arrays.

    Parameters
    ----------
    largest : int
        Bytes of pixels that a chunk may have.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest

    @property
    def routes(self) -> APIRouter:
        """What an application includes: everything that begins like an address of tiled's."""
        router = APIRouter(dependencies=[READ])
        router.add_api_route("/zarr/v2{path:path}", self.v2, methods=["GET"])
        router.add_api_route("/zarr/v3{path:path}", self.v3, methods=["GET"])
        return router

    async def v2(self, request: Request, path: str, find: Finder) -> Response:
        """Return metadata, a chunk or a list of names, as Zarr v2 asks for them."""
        parent, name = _split(path)
        if name == ".zattrs":
            return _json((await find(parent)).metadata().get("attributes", {}))
        if name == ".zgroup":
            _expect(await find(parent), *_GROUPS)
            return _json({"zarr_format": 2})
        if name == ".zarray":
            return _json(_Grid.of(await find(parent)).document_2())
        if _CHUNK_2.fullmatch(name) and (entry := await _array(find(parent))) is not None:
            grid = _Grid.of(entry)
            return await self._chunk(entry, grid, name.split("."), grid.dtype)
        return await self._names(request, path, name, find)

    async def v3(self, request: Request, path: str, find: Finder) -> Response:
        """Return metadata, a chunk or a list of names, as Zarr v3 asks for them."""
        parent, name = _split(path)
        if name == "zarr.json":
            return _json(_document_3(await find(parent)))
        chunk = _CHUNK_3.fullmatch(path)
        if chunk and (entry := await _array(find(chunk[1]))) is not None:
            grid = _Grid.of(entry)
            return await self._chunk(entry, grid, chunk[2].split("/")[1:], grid.dtype.newbyteorder("<"))
        return await self._names(request, path, name, find)

    async def _names(self, request: Request, path: str, name: str, find: Finder) -> Response:
        """Return the addresses of what is in a group."""
        if name.startswith(".") or name == "zarr.json" or not f"{path}/".startswith("/"):
            raise HTTPException(404, f"archive: {path} is no address of a Zarr store")
        entry = await find(path)
        if entry.structure_family == StructureFamily.table:
            names = entry.structure().columns
        elif entry.structure_family == StructureFamily.container:
            names = await entry.keys_range() if hasattr(entry, "keys_range") else list(entry.keys())
        else:
            return _json({})
        url = str(request.url).split("?")[0].rstrip("/")
        return _json([f"{url}/{name}" for name in names])

    async def _chunk(self, entry: Any, grid: "_Grid", chunk: list[str], dtype: np.dtype[Any]) -> Response:
        """Return the pixels of one chunk; 404 outside of the array."""
        numbers = list(map(int, chunk)) if grid.shape else []
        if len(numbers) != len(grid.shape):
            raise HTTPException(404, f"archive: chunk {chunk} asked for, the array has {len(grid.shape)} dimensions")
        starts = [number * size for number, size in zip(numbers, grid.chunk, strict=True)]
        if any(start >= length for start, length in zip(starts, grid.shape, strict=True)):
            raise HTTPException(404, f"archive: chunk {chunk} asked for, it is outside of an array of {grid.shape}")
        if prod(grid.chunk) * dtype.itemsize > self._largest:
            raise HTTPException(400, f"archive: chunks of {grid.chunk} are too large; ask for slices, /api/v1/array")
        where = NDSlice(*(slice(a, min(a + n, m)) for a, n, m in zip(starts, grid.chunk, grid.shape, strict=True)))
        try:
            array = await ensure_awaitable(entry.read, where)
        except DataNotReadyError as error:
            raise HTTPException(503, str(error), headers={"Retry-After": "1"}) from error
        except (ShapeMismatchError, IndexError) as error:
            raise HTTPException(422, str(error)) from error
        data = await anyio.to_thread.run_sync(_encoded, array, grid.chunk, dtype)
        return Response(data, media_type="application/octet-stream")


@dataclass(frozen=True, slots=True)
class _Grid:
    """How an array is divided into chunks of one size, the last ones filled up."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    dims: tuple[str, ...] | None
    descr: Any

    @classmethod
    def of(cls, entry: Any) -> "_Grid":
        """Return that of an array; 404 for everything else."""
        _expect(entry, StructureFamily.array)
        structure = entry.structure()
        chunks: Any = [part or (0,) for part in structure.chunks]
        chunk = tuple(convert_chunks_for_zarr(chunks))
        about = structure.data_type.to_numpy_dtype(), structure.dims, structure.data_type.to_numpy_descr()
        return cls(tuple(structure.shape), chunk, *about)

    def document_2(self) -> dict[str, Any]:
        """Return the metadata of Zarr v2, ``.zarray``."""
        about = {"zarr_format": 2, "shape": self.shape, "chunks": self.chunk, "dtype": self.descr}
        return about | {"compressor": zarr_codec.get_config(), "fill_value": None, "filters": None, "order": "C"}


def _document_3(entry: Any) -> dict[str, Any]:
    """Return the metadata of a node for Zarr v3, ``zarr.json``."""
    if entry.structure_family in _GROUPS:
        return {"zarr_format": 3, "node_type": "group", "attributes": entry.metadata()}
    from zarr.core.dtype import parse_data_type

    grid = _Grid.of(entry)
    dtype = parse_data_type(grid.dtype.newbyteorder("<"), zarr_format=3)
    blosc: dict[str, Any] = {key: value for key, value in zarr_codec.get_config().items() if key != "id"}
    blosc |= {"shuffle": _SHUFFLES[blosc["shuffle"]], "typesize": max(1, grid.dtype.itemsize)}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": grid.shape,
        "data_type": dtype.to_json(zarr_format=3),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid.chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": dtype.to_json_scalar(dtype.default_scalar(), zarr_format=3),
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": blosc},
        ],
        "dimension_names": grid.dims,
        "attributes": entry.metadata(),
    }


def _encoded(array: Any, chunk: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return pixels as a chunk, zeros where the array ends."""
    pixels: NDArray[Any] = np.asarray(array)
    if pixels.shape != chunk:
        whole = np.zeros(chunk, dtype)
        whole[tuple(slice(size) for size in pixels.shape)] = pixels
        pixels = whole
    encoded: Any = zarr_codec.encode(np.ascontiguousarray(pixels, dtype).reshape(-1))
    return bytes(encoded)


async def _array(finding: Awaitable[Any]) -> Any | None:
    """Return an array, or None: a number, or ``c``, may be a name as well."""
    try:
        entry = await finding
    except HTTPException as error:
        if error.status_code != 404:
            raise
        return None
    return entry if entry.structure_family == StructureFamily.array else None


def _expect(entry: Any, *families: StructureFamily) -> None:
    if entry.structure_family not in families:
        raise HTTPException(404, f"archive: this is of the kind {entry.structure_family}, not what was asked for")


def _split(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent, name


def _json(content: Any) -> Response:
    return Response(safe_json_dump(content), media_type="application/json")
