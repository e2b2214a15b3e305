"""Reading journals: the lines that `beamstream.callbacks.journal` writes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from beamstream.errors import ArchiveError
from beamstream.places import Places

CHUNK = 1 << 20  # bytes
COPY_PLAN = "ingest"
"""Plan name of the copy that an upload makes of another run."""


class Document(NamedTuple):
    """One document and its kind."""

    name: str
    doc: dict[str, Any]


def decode(line: bytes) -> Document:
    """Return the document of one line; the inverse of `beamstream.callbacks.journal.encode`.

    Raises
    ------
    ArchiveError
        The line is none that a journal writes.
    """
    try:
        whole = json.loads(line, object_hook=_float if b"$float" in line else None)  # a hook costs as much as the rest
        name, doc = whole["name"], whole["doc"]
        if not isinstance(name, str) or not isinstance(doc, dict):
            raise ValueError("no document")
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"journal: {line[:60]!r} is not a document ({error}); `beamstream recover` cuts it"
        ) from error
    return Document(name, doc)


class Tail:
    """Follow one journal file, whole lines only; the files that its documents name are where they are now.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places = Places.of_journal(path)
        self._offset = 0

    @property
    def behind(self) -> int:
        """Bytes that are in the file and were not read yet."""
        return self.path.stat().st_size - self._offset

    def read(self, size: int = CHUNK) -> Iterator[Document]:
        """Yield the documents that came since the last call, at most about `size` bytes of them.

        Raises
        ------
        ArchiveError
            A line is no document.
        """
        with self.path.open("rb") as file:
            file.seek(self._offset)
            end = self._offset + size
            for line in file:
                if not line.endswith(b"\n"):
                    return  # its writer is not done, or died: recovery decides
                self._offset += len(line)
                name, doc = decode(line)
                yield Document(name, self._places.document(name, doc))
                if self._offset >= end:
                    return


def is_complete(path: Path) -> bool:
    """Return whether a journal ends with a stop document."""
    try:
        return decode(last_line(path)).name == "stop"
    except (ArchiveError, OSError):
        return False


def last_line(path: Path) -> bytes:
    """Return the last line that ends; empty if there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        reach = 4096
        while True:
            file.seek(max(0, size - reach))
            lines = file.read().split(b"\n")[:-1]  # behind the last line's end there is nothing, or half a line
            if len(lines) > 1 or reach >= size:
                return lines[-1] if lines else b""
            reach *= 4


def _float(value: dict[str, Any]) -> Any:
    if len(value) == 1 and value.get("$float") in ("NaN", "Infinity", "-Infinity"):
        return float(value["$float"])
    return value
