"""Recovery: close the runs of sessions that were killed, with every frame that reached the disk."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from beamstream.archive.documents import Document, decode
from beamstream.archive.interrupted import InterruptedRun
from beamstream.errors import ArchiveError
from beamstream.locks import open_locked, unlock


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
    data = path.read_bytes()
    try:
        documents, good = _whole_lines(data)
    except ArchiveError as error:
        return Recovered(path.stem, path, "damaged", notes=(str(error),))
    if not documents or documents[0].name != "start":
        return Recovered(path.stem, path, "damaged", notes=("it does not begin with a whole start document",))
    _cut(path, fd, data, good)
    if documents[-1].name == "stop":
        return None
    run = InterruptedRun(documents)
    added = run.unannounced()
    notes = [*run.notes, *_clear_flags(run.files)]
    keys = {d.doc["uid"]: d.doc["data_key"] for d in documents if d.name == "stream_resource"}
    frames = Counter[str]()
    for datum in added:
        frames[keys[datum["stream_resource"]]] += datum["indices"]["stop"] - datum["indices"]["start"]
    result = Recovered(
        run.start["uid"],
        path,
        "closed",
        frames_added=dict(frames),
        num_events=run.num_events(added),
        bytes_cut=len(data) - good,
        files=tuple(run.files),
        notes=tuple(notes),
    )
    _append(fd, [*(("stream_datum", d) for d in added), ("stop", _stop(result, _last_sign(path, run)))])
    return result


def _whole_lines(data: bytes) -> tuple[list[Document], int]:
    """Return the documents, and how many bytes of the file they are.

    What cannot be read is cut only at the very end: after it there must be nothing that can be read.
    """
    documents: list[Document] = []
    good = position = 0
    bad: ArchiveError | None = None
    for line in data.splitlines(keepends=True):
        position += len(line)
        try:
            document = decode(line) if line.endswith(b"\n") else None
        except ArchiveError as error:
            bad = bad or error
            continue
        if document is None:
            break
        if bad is not None:
            raise bad
        documents.append(document)
        good = position
    return documents, good


def _cut(path: Path, fd: int, data: bytes, good: int) -> None:
    if good == len(data):
        return
    kept = path.with_suffix(".cut")
    with kept.open("ab") as file:
        file.write(data[good:])
        file.flush()
        os.fsync(file.fileno())
    os.ftruncate(fd, good)


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


def _append(fd: int, documents: list[tuple[str, dict[str, Any]]]) -> None:
    lines = "".join(json.dumps({"name": name, "doc": doc}, allow_nan=False) + "\n" for name, doc in documents)
    rest = memoryview(lines.encode())
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.fsync(fd)
