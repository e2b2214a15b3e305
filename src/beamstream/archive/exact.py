"""Numbers in metadata reach the archive as they are.

bluesky-tiled-plugins 2.0 (`truncate_json_overflow`) replaces integers beyond 2**53, and whole floats as large, by
2**53 - 1, without a word, for readers in JavaScript; tiled's JSON carries integers of 64 bits.
"""

import math
from collections.abc import Mapping
from typing import Any

from bluesky_tiled_plugins.writing import tiled_writer


def exact(value: Any) -> Any:
    """Copy metadata; what JSON does not know becomes text: ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    if isinstance(value, Mapping):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def register() -> None:
    """Have TiledWriter use `exact` in this process."""
    tiled_writer.truncate_json_overflow = exact
