"""Find the journal of a run, whether its archive is served or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beamstream.archive.documents import COPY_PLAN, Document, Tail, decode
from beamstream.archive.filing import merged
from beamstream.errors import ArchiveError

_SHORTEST = 4  # characters of a uid that may stand for all of it
_LONGEST_SCAN_ID = 7  # digits; longer ones are uids
_FOLDERS = (".", "filed", "refused")
_EVERYTHING = 1 << 40  # bytes


def read_run(directory: Path, run: str) -> list[Document]:
    """Return the documents of a run that are there by now, rows that follow each other in one; see `find_journal`.

    Raises
    ------
    ArchiveError
        There is no such run, there are several, or its journal is damaged.
    """
    while True:
        try:
            return list(merged(Tail(find_journal(directory, run)).read(_EVERYTHING)))
        except FileNotFoundError:
            continue  # it was filed between finding and opening


def find_journal(directory: Path, run: str) -> Path:
    """Return the file with a run's documents.

    Parameters
    ----------
    directory : Path
        ``<archive>/journal``.
    run : str
        The run's uid, the beginning of it (4 characters or more), a scan id (the newest of that number), or
        ``-1`` for the newest run, ``-2`` for the one before.

    Raises
    ------
    ArchiveError
        There is none, or there are several; it lists them.
    """
    if run.startswith("-") and run[1:].isdigit() and int(run) < 0:
        return _newest(directory, -int(run), run)
    if run.isdigit() and len(run) <= _LONGEST_SCAN_ID:
        found = _of_scan_id(directory, int(run))
        if found is not None:
            return found
    return _of_uid(directory, run)


def _of_uid(directory: Path, run: str) -> Path:
    if not run.replace("-", "").isalnum():
        raise ArchiveError(f"archive: run {run!r} asked for; a run is a uid, its beginning, a scan id, or -1")
    if len(run) < _SHORTEST:
        raise ArchiveError(f"archive: run {run} asked for, there is none of this scan id; of a uid write 4 or more")
    found = sorted({path.stem: path for path in _journals(directory) if path.stem.startswith(run)}.items())
    if len(found) > 1:
        listed = ", ".join(uid for uid, _ in found[:5]) + (", …" if len(found) > 5 else "")
        raise ArchiveError(f"archive: run {run} asked for, {len(found)} begin like that: {listed}; write more of it")
    if not found:
        raise ArchiveError(f"archive: run {run} asked for, there is none in {directory}; see `beamstream runs list`")
    return found[0][1]


def _newest(directory: Path, place: int, run: str) -> Path:
    newest: list[tuple[float, str, Path]] = []
    for written, path in _by_time(directory):
        if len(newest) == place and newest[0][0] > written:
            break  # no run begins after the last line of its journal
        start = _start(path)
        if start.get("plan_name") != COPY_PLAN:
            newest = sorted([*newest, (start.get("time", 0.0), path.stem, path)])[-place:]
    if len(newest) < place:
        raise ArchiveError(f"archive: run {run} asked for, there are {len(newest)} in {directory}; record one")
    return newest[0][2]


def _of_scan_id(directory: Path, scan_id: int) -> Path | None:
    best: tuple[float, Path | None] = (0.0, None)
    for written, path in _by_time(directory):
        if best[0] > written:
            break
        start = _start(path)
        if start.get("scan_id") == scan_id:
            best = max(best, (start.get("time", 0.0), path), key=lambda pair: pair[0])
    return best[1]


def _journals(directory: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        yield from (directory / folder).glob("[!.]*.jsonl")


def _by_time(directory: Path) -> list[tuple[float, Path]]:
    """Return the journals, the one written last first, with that time."""
    times = []
    for path in _journals(directory):
        try:
            times.append((path.stat().st_mtime, path))
        except FileNotFoundError:  # filed this moment
            moved = directory / "filed" / path.name
            if moved.exists():
                times.append((moved.stat().st_mtime, moved))
    return sorted(times, key=lambda pair: pair[0], reverse=True)


def _start(path: Path) -> dict[str, Any]:
    """Return the start document, an empty one if the journal is damaged or just moved."""
    try:
        with path.open("rb") as file:
            return decode(file.readline()).doc
    except (OSError, ArchiveError):
        return {}
