"""The accounts of a run's callbacks as documents: plain values, whatever a callback reports."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from beamstream.callbacks.derived import descriptor_of, event_of

STREAM = "callbacks"
_INT64 = 2**63
_LONGEST = 2000  # characters


def accounts_of(
    start: Mapping[str, Any], accounts: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    """Return descriptor and event of a run's stream ``callbacks``; nothing where no callback has an account.

    Parameters
    ----------
    start : dict
    accounts : dict
        By the name of the callback. Numbers and text are kept; anything else becomes text.
    """
    data = {
        _text(f"{name}_{key}"): plain_value(value)
        for name, account in accounts.items()
        for key, value in account.items()
    }
    if not data:
        return []
    keys = {key: {"source": "beamstream", "dtype": _dtype(value), "shape": []} for key, value in data.items()}
    descriptor = descriptor_of(start, STREAM, {STREAM: keys}, {})
    return [("descriptor", descriptor), ("event", event_of(descriptor, 1, data))]


def missing_frames(progress: tuple[int, int], account: Mapping[str, Any]) -> str:
    """Return in words how many of how many frames are undone or failed; ``""`` when none is."""
    done, announced = progress
    undone, failed = max(account.get("undone", 0), announced - done), account.get("failed", 0)
    return f"{undone} of {announced} frames undone, {failed} failed; they are recorded" if undone or failed else ""


def plain_value(value: Any) -> bool | int | float | str:
    """Return a value that JSON, arrow and a database can carry."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral) and -_INT64 <= int(value) < _INT64:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral) and math.isfinite(value):
        return float(value)
    return _text(value)


def _text(value: Any) -> str:
    """Return a text without what UTF-8 or a database refuses: lone surrogates, NUL."""
    try:
        text = str(value)
    except Exception:  # of somebody's own class
        text = f"a {type(value).__name__}"
    return text[:_LONGEST].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _dtype(value: bool | int | float | str) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return kinds[type(value)]
