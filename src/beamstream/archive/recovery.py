"""Recovery: close the runs of sessions that were killed, with every frame that reached the disk."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from beamstream.archive.documents import Document, decode
from beamstream.archive.interrupted import InterruptedRun
from beamstream.errors import ArchiveError
from beamstream.journal_line import encode
from beamstream.locks import open_locked, unlock
from beamstream.places import Places


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of one journal.

    Parameters
    ----------
    uid : str
        The run.
    path : Path
        Its journal.
    outcome : str
        ``"closed"``: has a stop document now. ``"alive"``: its session still runs, nothing was touched.
        ``"damaged"``: not understood, nothing was touched.
    frames_added : dict
        Frames that were in the files and not in the documents, by data key.
    num_events : dict
        By stream, as in the stop document.
    bytes_cut : int
        Of a line that was half written; kept in ``<uid>.cut``.
    files : tuple of Path
        Recorded HDF5 files, which open without tricks now.
    notes : tuple of str
        What could not be done.
    """

    uid: str
    path: Path
    outcome: Literal["closed", "alive", "damaged"]
    frames_added: dict[str, int] = field(default_factory=dict)
    num_events: dict[str, int] = field(default_factory=dict)
    bytes_cut: int = 0
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def recover(journal: str | os.PathLike[str]) -> list[Recovered]:
    """Close every interrupted run of a journal directory; doing it twice changes nothing more.

    A run whose session lives is never touched. A stop document says ``exit_status: "fail"``, a reason that
    starts ``interrupted:``, and what was done under ``beamstream_recovered``. The feeder files it like any.

    Parameters
    ----------
    journal : Path
        As given to `beamstream.callbacks.journal.Journal`.

    Returns
    -------
    list of Recovered
        Without the runs that were complete already.

    Raises
    ------
    ArchiveError
        There is no such directory, or it cannot be written.
    """
    directory = Path(journal)
    if not directory.is_dir():
        raise ArchiveError(f"recover: {directory} is no directory; name the journal directory of an archive")
    found = (_recover(path) for path in sorted(directory.glob("*.jsonl")))
    return [recovered for recovered in found if recovered is not None]


def _recover(path: Path) -> Recovered | None:
    try:
        fd = open_locked(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None  # filed a moment ago
    except BlockingIOError:
        return Recovered(path.stem, path, "alive", notes=("its session still runs; end it there",))
    except OSError as error:
        raise ArchiveError(f"recover: {path} cannot be opened for writing: {error.strerror}") from error
    try:
        return _close(path, fd)
    finally:
        unlock(fd)


def _close(path: Path, fd: int) -> Recovered | None:
    lines = _Lines(path)
    try:
        run = InterruptedRun(lines)
    except ArchiveError as error:
        return Recovered(path.stem, path, "damaged", notes=(str(error),))
    _cut(path, fd, lines)
    if run.ended:
        return None
    for uri in run.only_named:
        if _is_of_another(uri, path, run.start["time"]):
            run.forget(uri)
    ended = _last_sign(path, run)
    added = run.missing(ended)
    result = Recovered(
        run.start["uid"],
        path,
        "closed",
        frames_added=dict(run.frames_added),
        num_events=run.num_events,
        bytes_cut=lines.bad,
        files=tuple(run.files),
        notes=(*run.notes, *_clear_flags(run.files)),
    )
    path.with_name(f".{path.stem}.room").unlink(missing_ok=True)  # what the session held for this
    _append(fd, [*added, Document("stop", _stop(result, ended))])
    return result


def _is_of_another(uri: str, path: Path, began: float) -> bool:
    """Return whether a document of another run names a file: runs may be open at once, and use one detector."""
    name = uri.rpartition("/")[2].encode("ascii", "ignore")  # it is unique
    for other in (*path.parent.glob("*.jsonl"), *path.parent.glob("*/*.jsonl")):
        with contextlib.suppress(FileNotFoundError):  # filed a moment ago
            if other != path and other.stat().st_mtime >= began:
                with other.open("rb") as file:
                    if any(name in line for line in islice(file, 1, None)):  # behind the start document
                        return True
    return False


class _Lines:
    """Read a journal line by line; `good` bytes of it are documents, `bad` behind them are to be cut.

    What cannot be read is cut only at the very end: after it there must be nothing that can be read.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._places = path, Places.of_journal(path)
        self.good = self.bad = 0

    def __iter__(self) -> Iterator[Document]:
        bad: ArchiveError | None = None
        with self._path.open("rb") as file:
            for line in file:
                self.bad += len(line)
                try:
                    document = decode(line) if line.endswith(b"\n") else None
                except ArchiveError as error:
                    bad = bad or error
                    continue
                if document is None:
                    continue
                if bad is not None:
                    raise bad
                self.good += self.bad
                self.bad = 0
                yield Document(document.name, self._places.document(*document))


def _cut(path: Path, fd: int, lines: _Lines) -> None:
    if not lines.bad:
        return
    with path.open("rb") as file, path.with_suffix(".cut").open("ab") as kept:
        file.seek(lines.good)
        shutil.copyfileobj(file, kept)
        kept.flush()
        os.fsync(kept.fileno())
    os.ftruncate(fd, lines.good)


def _clear_flags(files: list[Path]) -> list[str]:
    """Let plain h5py open files whose writer died; return what went wrong."""
    from beamstream.sinks.superblock import clear_consistency_flags

    notes = []
    for path in files:
        try:
            clear_consistency_flags(path)
        except Exception as error:  # a file that stays flagged must not keep its run open
            notes.append(f"{path} opens with swmr=True only: {error}")
    return notes


def _stop(result: Recovered, ended: float) -> dict[str, Any]:
    added = sum(result.frames_added.values())
    return {
        "uid": str(uuid4()),
        "time": ended,
        "run_start": result.uid,
        "exit_status": "fail",
        "reason": "interrupted: the session ended without closing the run; closed by beamstream recover",
        "num_events": result.num_events,
        "beamstream_recovered": {
            "time": time.time(),
            "frames_added": added,
            "by_data_key": result.frames_added,
            "bytes_cut": result.bytes_cut,
            "notes": list(result.notes),
        },
    }


def _last_sign(path: Path, run: InterruptedRun) -> float:
    """Return when something of the run was last written, s since 1970-01-01 UTC."""
    times = [p.stat().st_mtime for p in (path, *run.files)]
    return max([run.start["time"], *times])


def _append(fd: int, documents: list[Document]) -> None:
    rest = memoryview(b"".join(encode(name, doc) for name, doc in documents))
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.fsync(fd)
    os.ftruncate(fd, os.fstat(fd).st_size)  # the room that the session held behind the end
