"""Have a catalogue name its files where they are now, since the archive or its recordings were moved."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beamstream.archive.tiled_uris import duckdb_uri
from beamstream.errors import ArchiveError
from beamstream.file_uri import uri_of
from beamstream.places import Places


@dataclass(frozen=True, slots=True)
class Relocated:
    """What a catalogue names elsewhere than where it is.

    Parameters
    ----------
    found : int
        Files that are where they were moved to.
    missing : tuple of str
        URIs of those that are not there, and named where they were.
    """

    found: int = 0
    missing: tuple[str, ...] = ()


def relocate(
    catalogue: Path, places: Places, *, dry_run: bool = False, progress: Callable[[int], None] | None = None
) -> Relocated:
    """Bring the URIs of a catalogue up to date, all of them or none; no other process may write to it meanwhile.

    Parameters
    ----------
    catalogue : Path
        ``<archive>/catalog.db``; nothing happens where there is none.
    places : Places
    dry_run : bool
        Change nothing.
    progress : callable, optional
        Receives how many files are done.

    Raises
    ------
    ArchiveError
        The catalogue cannot be read or written.
    """
    if not catalogue.exists() or not (places.former or places.moves):
        return Relocated()
    found, missing = 0, []
    try:
        with contextlib.closing(sqlite3.connect(catalogue, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            for done, (number, uri, now) in enumerate(_elsewhere(database, places), 1):
                if now == uri:
                    missing.append(uri)
                else:
                    found += 1
                    _rename(database, number, now)
                if progress is not None:
                    progress(done)
            database.execute("ROLLBACK" if dry_run else "COMMIT")
    except sqlite3.Error as error:
        raise ArchiveError(f"archive: {catalogue} cannot be brought up to date: {error}; is its disk full?") from error
    return Relocated(found, tuple(missing))


def _elsewhere(database: sqlite3.Connection, places: Places) -> Iterator[tuple[int, str, str]]:
    """Yield assets that lie where the archive, or recordings of it, lay: their number, URI, and URI of today."""
    seen: set[int] = set()
    for place in sorted(places.former, key=lambda place: len(place.parts), reverse=True):
        for as_uri in (uri_of, duckdb_uri):
            before, after = f"{as_uri(place)}/", f"{as_uri(places.directory)}/"
            for number, uri in _below(database, before):
                if number not in seen and not uri.startswith(after):
                    seen.add(number)
                    inside = after + uri.removeprefix(before)  # tiled's own files: their URIs are not to be decoded
                    yield number, uri, places.uri(inside)
    for source, _ in places.moves:
        for number, uri in _below(database, f"{uri_of(places.directory / source)}/"):
            if number not in seen:
                seen.add(number)
                yield number, uri, places.uri(uri)


def _below(database: sqlite3.Connection, prefix: str) -> list[tuple[int, str]]:
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    command = "SELECT id, data_uri FROM assets WHERE data_uri >= ? AND data_uri < ? ORDER BY id"
    return database.execute(command, (prefix, end)).fetchall()


def _rename(database: sqlite3.Connection, number: int, uri: str) -> None:
    """Give an asset its URI of today; where another has it already, the two become one."""
    other = database.execute("SELECT id FROM assets WHERE data_uri = ?", (uri,)).fetchone()
    if other is None:
        database.execute("UPDATE assets SET data_uri = ? WHERE id = ?", (uri, number))
        return
    database.execute(
        "UPDATE OR IGNORE data_source_asset_association SET asset_id = ? WHERE asset_id = ?", (other[0], number)
    )
    database.execute("DELETE FROM data_source_asset_association WHERE asset_id = ?", (number,))
    database.execute("DELETE FROM assets WHERE id = ?", (number,))
