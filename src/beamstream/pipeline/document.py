"""Read a pipeline's JSON and remember the line of every key, so that a complaint can point there."""

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from json.decoder import scanstring  # pyright: ignore[reportAttributeAccessIssue]
from pathlib import Path
from typing import Any

from beamstream.edited_text import ADVICE, NotUtf8, strange_sign, text_of
from beamstream.errors import UntrustedFile
from beamstream.plain_text import Report
from beamstream.trust import check_trusted

Location = tuple[str | int, ...]
"""The path of a value: ``("processors", 0, "kwargs", "sigma")``."""

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r"[^\s,\]}]+")
_MOST = 1 << 18  # bytes
_LONGEST = 1000  # characters of a complaint
_DEEPEST = 64  # levels; a processor's options are the fourth


@dataclass(frozen=True)
class Complaint:
    """Something that is wrong, and where.

    Parameters
    ----------
    line, column : int
        From 1; 0 where there is none to name.
    message : str
        ``what is; what to do``.
    """

    line: int
    message: str
    column: int = 0

    def at(self, file: Path) -> str:
        """Return the line that people read: ``FILE:LINE: what is; what to do``."""
        place = "".join(f":{number}" for number in (self.line, self.column) if number)
        return f"{file}{place}: {self.message}"


@dataclass
class Document:
    """What a file says, where it says it, and what is wrong with it so far."""

    file: Path
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)

    def line(self, where: Location) -> int:
        """Return the line of a value, or of the innermost one around it that the file has."""
        return next((self.lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in self.lines), 0)

    def complain(self, where: Location, message: str) -> None:
        """Note what is wrong; of a long message, which repeats a value of the file, its ends."""
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 4 :]}"
        self.complaints.append(Complaint(self.line(where), message))

    def report(self) -> Report:
        """Return all complaints in the file's order, a line each."""
        return Report.of(one.at(self.file) for one in self.sorted_complaints())

    def sorted_complaints(self) -> list[Complaint]:
        """Return all complaints in the file's order."""
        return sorted(self.complaints, key=lambda one: (one.line, one.column))


def read(file: Path) -> Document:
    """Read a file; what is wrong with it is among the document's complaints, its value is None then."""
    try:
        check_trusted(file, "pipeline")
        with file.open("rb") as opened:
            data = opened.read(_MOST + 1)
    except UntrustedFile as error:
        return _refused(file, str(error).removeprefix(f"{file}: "))
    except OSError as error:
        return _refused(file, f"cannot be read: {error.strerror}; give a pipeline's JSON file")
    return parsed(file, data)


def parsed(file: Path, data: bytes) -> Document:
    """Return what a file says whose bytes these are, as `read` does."""
    if len(data) > _MOST:
        return _refused(file, f"has more than {_MOST} bytes; give a pipeline's JSON file")
    document = Document(file)
    try:
        text = text_of(data)
        value = json.loads(text)
        _Walk(document, text).value(_end(_SPACE, text, 0), ())
    except json.JSONDecodeError as error:
        words = f"not JSON: {error.msg.lower()}; {_advice(error)}"
        return _refused(file, words, error.lineno, error.colno)
    except NotUtf8 as error:
        return _refused(file, f"{error}; {ADVICE}", error.line)
    except RecursionError:
        return _refused(file, f"is nested deeper than {_DEEPEST} levels; make it flatter")
    except ValueError as error:  # a number of thousands of digits
        return _refused(file, f"cannot be read: {error}; correct the number")
    document.value = value
    return document


def _refused(file: Path, message: str, line: int = 0, column: int = 0) -> Document:
    return Document(file, complaints=[Complaint(line, message, column)])


def _advice(error: json.JSONDecodeError) -> str:
    before = error.doc[: error.pos].rstrip()
    rest = error.doc[error.pos :].lstrip(" \t\r\n")
    if before.endswith(",") and rest[:1] in ("]", "}", ""):
        return "delete the comma before it"
    if rest.startswith(("//", "#", "/*")):
        return "JSON has no comments; use a key that begins with _"
    if rest.startswith("'"):
        return "use double quotes"
    if rest.startswith(("True", "False", "None")):
        return "write true, false or null"
    if error.msg.startswith("Invalid \\"):
        return "write each backslash of a path twice, or / in its place"
    if sign := strange_sign(rest[:1]):
        return sign
    return "a comma, quote or bracket is missing or too many" if rest else "the file ends too early"


class _Walk:
    """Note the line of each value of a text that is known to be JSON; a member of an object stands where its key does.

    Its functions take the index where something begins and return the index of what follows it.
    """

    def __init__(self, document: Document, text: str) -> None:
        self._document, self._text = document, text
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def value(self, index: int, where: Location) -> int:
        if len(where) > _DEEPEST:
            raise RecursionError
        self._document.lines.setdefault(where, self._line(index))
        match self._text[index]:
            case "{":
                return self._members(_end(_SPACE, self._text, index + 1), where)
            case "[":
                return self._items(_end(_SPACE, self._text, index + 1), where)
            case '"':
                return _end(_SPACE, self._text, scanstring(self._text, index + 1)[1])
        end = _end(_PLAIN, self._text, index)
        if (word := self._text[index:end]).endswith(("NaN", "Infinity")):
            self._document.complain(where, f"{word} is not JSON; give a finite number")
        return _end(_SPACE, self._text, end)

    def _members(self, index: int, where: Location) -> int:
        text, seen = self._text, set()
        while text[index] != "}":
            start = index
            key, index = scanstring(text, index + 1)
            self._document.lines[*where, key] = self._line(start)
            if key in seen:
                self._document.complain((*where, key), f"{key} is given twice; delete one")
            seen.add(key)
            colon = _end(_SPACE, text, index)
            index = self._after_comma(self.value(_end(_SPACE, text, colon + 1), (*where, key)))
        return _end(_SPACE, text, index + 1)

    def _items(self, index: int, where: Location) -> int:
        number = 0
        while self._text[index] != "]":
            index = self._after_comma(self.value(index, (*where, number)))
            number += 1
        return _end(_SPACE, self._text, index + 1)

    def _line(self, index: int) -> int:
        return bisect_left(self._ends, index) + 1

    def _after_comma(self, index: int) -> int:
        return _end(_SPACE, self._text, index + 1) if self._text[index] == "," else index


def _end(pattern: re.Pattern[str], text: str, index: int) -> int:
    """Return where a match that begins at `index` ends."""
    match = pattern.match(text, index)
    assert match is not None, f"{pattern.pattern} at {index}: the text is not the JSON that was parsed"
    return match.end()
