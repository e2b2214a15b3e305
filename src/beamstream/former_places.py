"""Where an archive of an earlier version lay, which did not write that down: its catalogue and its journals know."""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from beamstream.file_uri import path_of

_INSIDE = ("recordings", "ingest")
"""Directories of an archive that documents name files in."""
_MOST_FILES, _MOST_LINES = 100, 50  # that are looked at


def former_places(directory: Path) -> list[Path]:
    """Return the directories that the files of an archive are named in, other than its own."""
    uris = (*_of_catalogue(directory / "catalog.db"), *_of_journals(directory / "journal"))
    places = dict.fromkeys(place for uri in uris if (place := _place(uri, directory)) is not None)
    return [place for place in places if place != directory]


def _of_catalogue(catalogue: Path) -> Iterable[str]:
    """Return URIs that a catalogue has: of tables, and of some files."""
    if not catalogue.exists():
        return ()
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(catalogue)) as database:
        tables = database.execute("SELECT data_uri FROM assets WHERE data_uri LIKE 'duckdb:%'").fetchall()
        files = database.execute("SELECT data_uri FROM assets ORDER BY id DESC LIMIT ?", (_MOST_FILES,)).fetchall()
        return [uri for (uri,) in (*tables, *files)]
    return ()


def _of_journals(journal: Path) -> Iterator[str]:
    """Yield URIs of some runs."""
    for path in islice(journal.rglob("*.jsonl"), _MOST_FILES):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError), path.open("rb") as file:
            for line in islice(file, _MOST_LINES):
                if b'"stream_resource"' in line:
                    yield json.loads(line)["doc"].get("uri", "")


def _place(uri: str, directory: Path) -> Path | None:
    """Return the archive that a URI names a file in, if this one has such a file; None if that is unknown."""
    if urlsplit(uri).scheme == "duckdb":
        return Path(unquote(urlsplit(uri).path[1:], errors="surrogateescape")).parent
    path = path_of(uri)
    for depth in range(len(path.parts) - 1, 0, -1):
        if path.parts[depth] in _INSIDE and directory.joinpath(*path.parts[depth:]).exists():
            return Path(*path.parts[:depth])
    return None
