"""What frames carry beside their pixels, as JSON: in the memory of a ring, and in recorded files."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson


class SomeAttributes(dict[str, Any]):
    """The attributes of a frame without those that a ring has no room for."""


def to_json(attributes: Mapping[str, Any]) -> bytes:
    """Return attributes as JSON in which NaN and infinity are written as Python's ``json`` does."""
    try:
        encoded = orjson.dumps(attributes)  # ten times as fast as json
    except TypeError:
        return _to_json(attributes)
    return _to_json(attributes) if b"null" in encoded else encoded  # NaN would become null


def _to_json(attributes: Mapping[str, Any]) -> bytes:
    return json.dumps(attributes, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def from_json(encoded: bytes) -> dict[str, Any]:
    """Return what `to_json` was given."""
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:  # NaN
        return json.loads(encoded)
