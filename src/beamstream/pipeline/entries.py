"""Entries of a pipeline's file, in either of Pystream's two schemas, checked as far as the text alone allows.

``{"processors": [{"name", "module", "class", "kwargs"}]}`` names classes with ``apply(img, meta)``;
``{"processors_dir", "hot_reload", "pipeline": [{"name", "module", "enabled", "params"}]}`` names modules with
``process(img, meta=None, **params)``. In both, an entry may name one of the known processors instead of a module.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from beamstream.path_names import control_fault
from beamstream.pipeline.document import Document, Location

T = TypeVar("T")

_TOP = ("processors", "pipeline", "processors_dir", "hot_reload")
_REMARKS = ("comment", "description")


@dataclass(frozen=True)
class Schema:
    """How one of the two schemas calls its things."""

    list_key: str
    options_key: str
    entry_keys: tuple[str, ...]


CLASSES = Schema("processors", "kwargs", ("name", "module", "class", "kwargs", "enabled"))
FUNCTIONS = Schema("pipeline", "params", ("name", "module", "params", "enabled"))


@dataclass(frozen=True)
class Entry:
    """What a file says about one processor.

    Parameters
    ----------
    module, class_name : str
        ``""`` where it does not say.
    where : tuple
        Its place in the file.
    """

    name: str
    module: str
    class_name: str
    options: dict[str, Any]
    schema: Schema
    where: Location = field(compare=False)


@dataclass(frozen=True)
class Entries:
    """All that a file says."""

    entries: list[Entry]
    processors_dir: str
    hot_reload: bool


def entries_of(document: Document) -> Entries:
    """Return the enabled entries; what is wrong goes to the document's complaints, and such an entry is left out."""
    top = document.value
    if not isinstance(top, dict) or not (keys := [s for s in (CLASSES, FUNCTIONS) if s.list_key in top]):
        if not document.complaints:
            document.complain((), 'no processors; write {"processors": [{"name": …, "module": …, "class": …}]}')
        return Entries([], "processors", False)
    _unknown(document, (), top, _TOP)
    if len(keys) == 2:
        document.complain(("pipeline",), "processors and pipeline are both there; keep one of them")
    schema = keys[0]
    directory = _typed(document, (), top, "processors_dir", str, "processors")
    if fault := control_fault(directory):
        document.complain(("processors_dir",), f"processors_dir = {directory!r}: {fault}; write / or twice \\\\")
    hot_reload = _typed(document, (), top, "hot_reload", bool, True)
    items = _typed(document, (), top, schema.list_key, list, [])
    entries = [_entry(document, (schema.list_key, number), item, schema) for number, item in enumerate(items)]
    found = [entry for entry in entries if entry is not None]
    _duplicates(document, found)
    return Entries([e for e in found if items[int(e.where[1])].get("enabled", True)], directory, hot_reload)


def _entry(document: Document, where: Location, item: object, schema: Schema) -> Entry | None:
    if not isinstance(item, dict):
        document.complain(where, f'{item!r} is no processor; write {{"name": …, "module": …}}')
        return None
    _unknown(document, where, item, schema.entry_keys)
    before = len(document.complaints)
    module = _typed(document, where, item, "module", str, "")
    class_name = _typed(document, where, item, "class", str, "") if schema is CLASSES else ""
    name = _typed(document, where, item, "name", str, class_name or module)
    _typed(document, where, item, "enabled", bool, True)
    options = _typed(document, where, item, schema.options_key, dict, {})
    if schema is FUNCTIONS and not module and len(document.complaints) == before:
        document.complain(where, f'{name or "a processor"} has no module; add "module"')
    elif not name and len(document.complaints) == before:
        document.complain(where, 'a processor has neither name nor module; add "name", "module" and "class"')
    return Entry(name, module, class_name, options, schema, where) if len(document.complaints) == before else None


def _typed(document: Document, where: Location, table: dict[str, Any], key: str, kind: type[T], default: T) -> T:
    """Return a value of the right type; complain and return the default for another."""
    value = table.get(key, default)
    if isinstance(value, kind):
        return value
    words = {str: "a text in quotes", bool: "true or false", list: "a list: […]", dict: "an object: {…}"}
    document.complain((*where, key), f"{key} = {value!r} is not known here; give {words[kind]}")
    return default


def _unknown(document: Document, where: Location, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known and key not in _REMARKS and not key.startswith("_"):
            document.complain((*where, key), f"{key} is not a known key; {nearest(key, known)}")


def _duplicates(document: Document, entries: list[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.name, entry)
        if other is not entry:
            words = f"two processors are named {entry.name}, here and in line {document.line(other.where)}"
            document.complain((*entry.where, "name"), f"{words}; give one another name")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return advice: the nearest of the known words, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
