"""What frames carry beside their pixels, as JSON: in the memory of a ring, and in recorded files."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

DIMENSION = "dimension"
"""The attribute for the part of the sensor that an image is, see `sensor_part`."""

_PART = ("offset", "binning", "reverse", "full_size")


def sensor_part(attributes: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return which part of the sensor an image is, by its attributes; nothing without them.

    ``offset``, ``binning``, ``reverse`` (whether it is mirrored), ``full_size``: a value for each axis, slowest first.
    """
    part = attributes.get(DIMENSION)
    if not isinstance(part, Mapping) or part.keys() != set(_PART):
        return {}
    whole = all(isinstance(part[key], list) and all(isinstance(n, int) for n in part[key]) for key in _PART)
    return dict(part) if whole else {}


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
