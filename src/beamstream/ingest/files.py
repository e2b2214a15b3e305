"""What lies on the disk of one stream: a Zarr v3 group that grows by the shards that came in."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.ingest.tokens import Chunk
from beamstream.private import make_directories
from beamstream.sinks.disk import sync_directory

_ENCODING = {"name": "default", "configuration": {"separator": "."}}  # one directory for all: fewer to make durable
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


class StreamFiles:
    """Keep the chunks of one stream; what a method has written survives a power cut when it returns.

    ::

        <path>/frames/c.<chunk>.0.0   the shards; uint8, shape (rows, height, width)
        <path>/timestamp/c.<chunk>    capture times, float64, s since 1970-01-01 UTC; NaN where no frame came

    Parameters
    ----------
    path : Path
        Of the Zarr group.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = path / "frames"
        self.timestamp = path / "timestamp"

    def make(self, first: Chunk, attributes: Mapping[str, Any]) -> None:
        """Make the group, with no frames; what is there already stays."""
        for directory in (self.path, self.frames, self.timestamp):
            make_directories(directory)
        place(self.path / "zarr.json", _json({"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}))
        self.publish(first, 0)
        sync_directory(self.path)
        sync_directory(self.path.parent)

    def shard(self, number: int) -> Path:
        """Return where a chunk lies."""
        return self.frames / f"c.{number}.0.0"

    def put(self, part: Path, chunk: Chunk) -> None:
        """Put a chunk in its place: a file that is durable and complete, and its capture times."""
        times = np.full(chunk.chunk_size, np.nan, "<f8")
        times[: chunk.frames] = chunk.start_ms / 1000 + np.arange(chunk.frames) / chunk.rate
        place(self.timestamp / f"c.{chunk.number}", times.tobytes())
        part.rename(self.shard(chunk.number))
        sync_directory(self.frames)

    def publish(self, first: Chunk, rows: int, *, durable: bool = False) -> None:
        """Make the first `rows` rows the arrays'; `frames`, whose length counts, comes last.

        Without `durable`, a power cut may take it back: the catalogue knows better, and it is done again.
        """
        place(self.timestamp / "zarr.json", _json(_timestamp_document(first.chunk_size, rows)), durable=durable)
        place(self.frames / "zarr.json", _json(_frames_document(first, rows)), durable=durable)


def place(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put bytes into a file that readers find old or new, whole.

    Raises
    ------
    OSError
        The system refuses it; an old one stays.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def _frames_document(first: Chunk, rows: int) -> dict[str, Any]:
    """Return the ``zarr.json`` of the pixels; the codecs are those of the shards that come."""
    sharding = {
        "chunk_shape": [1, first.rows, first.columns],
        "codecs": [_BYTES, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
        "index_codecs": [_BYTES, {"name": "crc32c"}],
        "index_location": "end",
    }
    document = _document("uint8", (rows, first.rows, first.columns), first.chunk_size, 0, {"units": "counts"})
    names = {"dimension_names": ["frame", "row", "column"]}
    return document | names | {"codecs": [{"name": "sharding_indexed", "configuration": sharding}]}


def _timestamp_document(chunk_size: int, rows: int) -> dict[str, Any]:
    since = {"units": "s", "start": "1970-01-01T00:00:00Z"}
    return _document("float64", (rows,), chunk_size, "NaN", since) | {"codecs": [_BYTES], "dimension_names": ["frame"]}


def _document(
    dtype: str, shape: tuple[int, ...], chunk_size: int, fill: int | str, attributes: dict[str, str]
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk_size, *shape[1:]]}},
        "chunk_key_encoding": _ENCODING,
        "fill_value": fill,
        "attributes": attributes,
    }


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode()
