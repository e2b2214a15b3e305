"""A document as a line of a journal, and what in a document an archive could not return as it was."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from beamstream.errors import ArchiveError

_DEEPEST = 100  # levels; tiled and its parts end between 120 and 300
_LONG = re.compile(r"\d{20}")  # so many digits has 2**64 - 1
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1  # what JSON of the archive (orjson) carries exactly


def encode(name: str, doc: Mapping[str, Any]) -> bytes:
    """Return a document's line in the journal.

    Text that is no Unicode, such as a file name in another encoding, becomes text that shows its bytes
    (``\\udcff``); an integer beyond 64 bits becomes the nearest float: no frame is given up for either.

    Raises
    ------
    ArchiveError
        Something in the document is no JSON: it names the place.
    """
    try:
        text = json.dumps({"name": name, "doc": doc}, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # rare: something non-finite or foreign, so look at every value
        text = json.dumps({"name": name, "doc": _portable(doc, name)}, allow_nan=False)
    if "\\ud" in text or _LONG.search(text):
        text = json.dumps({"name": name, "doc": _portable(doc, name)}, allow_nan=False)
    return text.encode() + b"\n"


def require_archivable(doc: Mapping[str, Any]) -> None:
    """Refuse a start document that the archive could not return as it is, before anything has moved.

    Raises
    ------
    ArchiveError
        It names the place, and what to write instead.
    """
    _check(doc, "start", 0)


def _check(value: Any, where: str, depth: int) -> None:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    problem = _problem(value, depth)
    if problem:
        raise ArchiveError(f"journal: {where if depth < _DEEPEST else where[:60] + '…'} {problem}")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_key(key, where)
            _check(item, f"{where}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check(item, f"{where}[{number}]", depth + 1)


def _problem(value: Any, depth: int) -> str:
    """Return what the archive could not keep about one value, and what to do; empty if there is nothing."""
    if depth > _DEEPEST:
        return f"is nested deeper than {_DEEPEST} levels, or contains itself; make it flatter"
    if isinstance(value, str) and not _is_unicode(value):
        return f"is {value!r}, which is no Unicode text; decode it with the encoding that it has"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {_name_of(value)}, which the archive cannot keep; leave it out, or write it as text"
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return f"is {_short(value)}, an integer beyond 64 bits; write it as text"
    if value is None or isinstance(value, (str, bool, int, float, Mapping, list, tuple)):
        return ""
    return _foreign(value)


def _check_key(key: object, where: str) -> None:
    if not isinstance(key, str):
        raise ArchiveError(f"journal: {where} has the key {key!r}, of type {type(key).__name__}; use text for keys")
    if not _is_unicode(key):
        raise ArchiveError(f"journal: {where} has the key {key!r}, which is no Unicode text; use another key")
    if key == "$float":
        raise ArchiveError(f"journal: {where} has the key '$float', with which journals write NaN; use another key")
    if not key or "." in key or "/" in key:
        raise ArchiveError(
            f"journal: {where} has the key {key!r}; keys of metadata cannot be empty, and have no '.' and no '/'"
        )


def _plain(value: object) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError


def _portable(value: Any, where: str, depth: int = 0) -> Any:
    """Copy a value into what standard JSON can carry."""
    if depth > _DEEPEST:
        raise ArchiveError(f"journal: {where[:60]}… is nested deeper than {_DEEPEST} levels, or contains itself")
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        value = _nearest(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": _name_of(value)}
    if isinstance(value, Mapping):
        return {_text(str(k)): _portable(v, f"{where}[{k!r}]", depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise ArchiveError(f"journal: {where} {_foreign(value)}")


def _foreign(value: object) -> str:
    return (
        f"is a {type(value).__name__}, which JSON cannot carry; put text, numbers, lists or dictionaries into documents"
    )


def _text(value: str) -> str:
    return value if _is_unicode(value) else value.encode("utf-8", "backslashreplace").decode()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a half of a surrogate pair: os.fsdecode of a name that is not UTF-8, for example
        return False
    return True


def _nearest(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _short(value: int) -> str:
    return f"{value}" if value.bit_length() < 128 else f"about 2**{value.bit_length() - 1}"


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
