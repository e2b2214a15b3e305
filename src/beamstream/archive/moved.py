"""Write down that recordings of an archive were moved, so that documents and catalogue find them again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beamstream.archive.address import claim
from beamstream.archive.documents import decode
from beamstream.archive.layout import Layout
from beamstream.archive.relocation import Relocated, relocate
from beamstream.errors import ArchiveError
from beamstream.file_uri import path_of
from beamstream.locks import unlock
from beamstream.path_names import control_fault
from beamstream.places import Places


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it.

    Parameters
    ----------
    source, target : Path
    found : int
        Files of the catalogue that are at the new place.
    left : int
        Files that are at the old place still, and are read there.
    missing : tuple of str
        URIs of files that are at neither.
    waiting : int
        Runs in the journal, not filed yet, with files at the new place.
    dry_run : bool
        Whether nothing was changed.
    """

    source: Path
    target: Path
    found: int
    left: int
    missing: tuple[str, ...]
    waiting: int
    dry_run: bool


def moved(
    layout: Layout,
    source: Path,
    target: Path,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Moved:
    """Have the files below a directory looked for in another one; those that are not there stay where they were.

    What was moved is written down before the catalogue is changed, which is then changed as a whole; the server brings
    it up to date when this was killed between. Doing it twice changes nothing more.

    Parameters
    ----------
    layout : Layout
        Of an archive that no server runs on.
    source : Path
        Where recordings were, or a former place of the archive itself if `target` is its directory.
    target : Path
        Where they are now.
    dry_run : bool
        Find out, and change nothing.
    progress : callable, optional
        Receives how many files are done.

    Raises
    ------
    ArchiveError
        There is no such archive or target, both are the same, or the archive is served.
    """
    source, target = source.expanduser().absolute(), target.expanduser().absolute()
    _check(layout, source, target)
    lock = claim(layout)
    try:
        places = _with(Places.of(layout.directory), source, target)
        journals = layout.journal.glob("*.jsonl")
        waiting = sum(1 for path in journals if any(places.uri(uri) != uri for uri in _uris(path)))
        if not dry_run:
            places.write()
        changed: Relocated = relocate(layout.catalog, places, dry_run=dry_run, progress=progress)
    except OSError as error:
        raise ArchiveError(f"archive: {layout.directory} cannot be written: {error.strerror}") from error
    finally:
        unlock(lock)
    missing = tuple(uri for uri in changed.missing if not path_of(uri).exists())
    return Moved(source, target, changed.found, len(changed.missing) - len(missing), missing, waiting, dry_run)


def _check(layout: Layout, source: Path, target: Path) -> None:
    if not layout.journal.is_dir():
        raise ArchiveError(
            f"archive: {layout.directory} asked for, it is no archive; name its directory, --archive DIR"
        )
    for path in (source, target):
        if fault := control_fault(path):
            raise ArchiveError(f"archive: {str(path)!r} given, {fault}; correct the path")
    if not target.is_dir():
        raise ArchiveError(f"archive: recordings moved to {target}, there is no such directory; move them first")
    if source == target:
        raise ArchiveError(f"archive: recordings moved from {source} to itself; give the old directory and the new one")


def _with(places: Places, source: Path, target: Path) -> Places:
    """Return places with one more move; what is in the archive is relative to it."""
    here = places.directory
    if target == here:
        former = [*(place for place in places.former if place != source), source]
        return Places(here, former, places.moves)
    inside = [path.relative_to(here) if path.is_relative_to(here) else path for path in (places.home(source), target)]
    move = (inside[0], inside[1])
    return Places(here, places.former, [*(one for one in places.moves if one != move), move])


def _uris(journal: Path) -> Iterator[str]:
    with journal.open("rb") as file:
        for line in file:
            if b'"stream_resource"' in line and line.endswith(b"\n"):
                name, doc = decode(line)
                if name == "stream_resource":
                    yield doc["uri"]
