"""Tables of events as JSON: arrays in a column are lists, NaN and infinities are null; tiled 0.2.20 answers 500."""

from collections.abc import Iterator
from typing import Any

import orjson
from tiled.media_type_registration import SerializationRegistry
from tiled.serialization.table import _series_to_json_safe  # pyright: ignore[reportPrivateUsage]


def register(formats: SerializationRegistry) -> None:
    """Have a registry of formats write tables so."""
    formats.register("table", "application/json", _document)
    formats.register("table", "application/json-seq", _sequence)


def _document(mimetype: str, table: Any, metadata: Any) -> bytes:
    return _json({column: _series_to_json_safe(table[column]) for column in table})


def _sequence(mimetype: str, table: Any, metadata: Any) -> Iterator[bytes]:
    columns = {column: _series_to_json_safe(table[column]) for column in table}
    for row in zip(*columns.values(), strict=True):
        yield b"\x1e" + _json(dict(zip(columns, row, strict=True))) + b"\n"
    if not len(table):
        yield b""


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    return value.tolist()
