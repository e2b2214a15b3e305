"""What is wrong in a configuration file, in words for the person who wrote it, with the line where it stands."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from beamstream.config.devices import KINDS
from beamstream.config.model import SECTIONS, Config
from beamstream.plain_text import Report

KEY_VARIABLE = "BEAMSTREAM_API_KEY"
_SECRET = re.compile(r"api_?key|password|passwd|secret|token|credential", re.IGNORECASE)
_SECRET_ADVICE = (
    "is a secret, and this file is not kept secret; delete it here and put it into the environment "
    f"variable {KEY_VARIABLE}, or into the file api_key with mode 600 in the archive's directory"
)
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")

Location = tuple[str, ...]
"""The path of a key or a table in the file: ``("archive", "port")``."""
Complaint = tuple[Location, str]


def report(file: Path, text: str, complaints: Iterable[Complaint]) -> Report:
    """Write a line for each complaint, in the file's order, with the line where it is or belongs."""
    lines = dict(_lines(text))
    rows: list[tuple[int, str]] = []
    for where, words in complaints:
        number = next((lines[where[:n]] for n in range(len(where), 0, -1) if where[:n] in lines), 0)
        section = f" [{'.'.join(where[:-1])}]" if len(where) > 1 else ""
        rows.append((number, f"{file}{f':{number}' if number else ''}:{section} {words}"))
    return Report.of(row for _, row in sorted(rows))


def secrets(table: Mapping[str, Any], above: Location = ()) -> Iterator[Complaint]:
    """Complain of each key that is named like a secret, without its value."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from secrets(value, (*above, key))
        elif _SECRET.search(key):
            yield (*above, key), f"{key} {_SECRET_ADVICE}"


def complaint(error: Mapping[str, Any]) -> Complaint:
    """Turn one of pydantic's errors into the path in the file and words for the person who wrote it."""
    where, tag = _place(error["loc"])
    key, value = str(where[-1]), error["input"]
    match error["type"]:
        case "extra_forbidden":
            return where, _unknown(where, tag)
        case "missing":
            return where, f"{key} is missing; add it"
        case "union_tag_not_found":
            return (*where, "kind"), f"kind is missing; add one of {', '.join(KINDS)}"
        case "union_tag_invalid":
            words = f"kind = {value['kind']!r} is not known; {_nearest(error['ctx']['tag'], KINDS)}"
            return (*where, "kind"), words
        case "literal_error":
            known = re.findall(r"'([^']*)'", error["ctx"]["expected"])
            return where, f"{key} = {value!r} is not known; {_nearest(str(value), known)}"
        case "path_type":
            return where, f"{key} = {value!r}: a path is text in quotes"
        case "model_type" | "dict_type" | "model_attributes_type":
            return where, f"{key} is a value, a section was expected; write [{'.'.join(where)}]"
    words = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"].lower()
    if isinstance(value, dict):
        return where, f"[{key}] {words}"
    return where, f"{value!r} as a device's name: {words}" if tag == "[key]" else f"{key} = {value!r}: {words}"


def _place(steps: tuple[int | str, ...]) -> tuple[Location, str]:
    """Return the path in the file, and the step that pydantic adds to it: a kind, or "[key]" for a name."""
    where = tuple(step for step in steps if isinstance(step, str))  # a number counts the items of a list
    if where[:1] == ("devices",) and len(where) > 2:
        return where[:2] + where[3:], where[2]
    return where, ""


def _unknown(where: Location, tag: str) -> str:
    key = where[-1]
    for section, owner in SECTIONS.items():
        if key in owner.model_fields:
            return f"{key} is not known here; it belongs into [{section}]"
    model = KINDS[tag] if tag else _model(where[:-1])
    kind = "key" if len(where) > 1 else "section"
    return f"{key} is not a known {kind}; {_nearest(key, model.model_fields)}"


def _model(where: Location) -> type[BaseModel]:
    """Return the model of a section, by its path in the file."""
    model: type[BaseModel] = Config
    for step in where:
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        types = (annotation, *get_args(annotation))
        model = next((t for t in types if isinstance(t, type) and issubclass(t, BaseModel)), Config)
    return model


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _lines(text: str) -> Iterator[tuple[Location, int]]:
    """Yield where each table and key stands: path and line number, from 1."""
    table: Location = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _split(header[1])
            yield table, number
        elif key := _KEY.match(line):
            yield table + _split(key[1]), number


def _split(dotted: str) -> Location:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))
