"""Journal: every document is on disk before anybody else sees it."""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beamstream.callbacks.collects import Collects
from beamstream.callbacks.journal_room import Room
from beamstream.errors import ArchiveError
from beamstream.journal_line import encode, require_archivable
from beamstream.locks import is_locked, open_locked, unlock
from beamstream.private import file_mode, make_directories
from beamstream.sinks.disk import still_there, sync_directory

__all__ = ["Journal", "encode"]

ROOM = 512 << 10  # bytes held for the end of each open run
LAST = 384 << 10  # of them for what ends it: accounts of several detectors with a thousand gaps each, the stop document
ACCOUNTS = ("ledger", "callbacks")  # streams that come when a run ends

OPEN_WITH = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


@dataclass(slots=True)
class _OpenRun:
    """One journal file that this process holds open, and locked."""

    uid: str
    path: Path
    fd: int
    size: int = 0
    names: set[str] = field(default_factory=set)  # uids of descriptors and resources that belong to the run
    room: Room = field(init=False)
    accounts: set[str] = field(default_factory=set)  # uids of the descriptors of ACCOUNTS
    collects: Collects = field(default_factory=Collects)
    thread: int = field(default_factory=threading.get_ident)  # of the RunEngine
    is_full: bool = False
    failure: str = ""  # why a document is missing

    def __post_init__(self) -> None:
        self.room = Room(self.fd, self.path, ROOM)


class Journal:
    """Keep every document of every run on disk, so that a killed session or a dead archive loses nothing.

    Subscribe it first: ``RE.subscribe(Journal(directory))``. It is *required*: a document that cannot be
    kept fails the run.

    A run becomes ``<directory>/<run uid>.jsonl``: one line ``{"name": …, "doc": …}`` a document, the start
    document first. Each line is standard JSON; numpy scalars and arrays become numbers and lists, and the
    three floats that JSON does not know become ``{"$float": "NaN"}``, ``{"$float": "Infinity"}`` and
    ``{"$float": "-Infinity"}``. The file is locked (``flock``) from before its name appears until after the
    stop document, so that a living owner is known from a dead one. Half a megabyte of the disk is held for each
    open run: when the disk is full the run fails, and its account and its stop document still fit. After a document
    that the disk did not take, only the account follows: others might refer to it. Such a run gets its stop document,
    and what names the frames of its files, from `beamstream recover`.

    Parameters
    ----------
    directory : Path
        Made if it is missing.

    Raises
    ------
    ArchiveError
        The directory cannot be made.
    """

    _repeats = False
    """Whether a document that was refused is given again, until it is taken."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        try:
            make_directories(self.directory)
        except OSError as error:
            raise ArchiveError(
                f"journal: {self.directory} cannot be made: {error.strerror}; choose another directory"
            ) from error
        self._runs: dict[str, _OpenRun] = {}
        self._lock = threading.Lock()
        self._documents = self._bytes = 0
        self._seconds = self._slowest = 0.0

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Return when the document would survive a power cut; called in the RunEngine's thread.

        Raises
        ------
        ArchiveError
            The disk is full or gone, or did not take an earlier document of the run; the document is no JSON, or
            belongs to no open run. What was kept before stays whole: a line that was cut short is taken back.
        """
        began = time.perf_counter()
        if name == "start":
            require_archivable(doc)
        with self._lock:
            if name == "start":
                line = encode(name, doc)
                self._open(doc["uid"], line)
            else:
                line = self._keep(self._route(name, doc), name, doc)
            self._count(len(line), time.perf_counter() - began)

    def _keep(self, run: _OpenRun, name: str, doc: Mapping[str, Any]) -> bytes:
        try:
            if run.failure and not (self._repeats or _is_account(run, doc)):
                raise ArchiveError(run.failure)  # this document may refer to the one that is missing
            line = encode(name, doc)
            self._append(run, line)
        finally:
            if name == "stop":  # whatever became of it: nothing follows, so `beamstream recover` may have the file
                self._close(run)
        if name in ("descriptor", "resource", "stream_resource"):
            run.names.add(doc["uid"])
        if name == "descriptor" and _is_account(run, doc):
            run.accounts.add(doc["uid"])
        self._end_when_full(run, name, doc)
        return line

    def _end_when_full(self, run: _OpenRun, name: str, doc: Mapping[str, Any]) -> None:
        """Fail the run once, while what ends it still fits; never between documents that belong together.

        In the RunEngine's thread: elsewhere an error would end no plan.
        """
        whole = run.collects.ends(name, doc) and name in ("event", "event_page", "stream_datum")
        if run.is_full or run.accounts or not whole or run.room.left(run.size) >= LAST:
            return
        if self._repeats or threading.get_ident() != run.thread:
            return
        run.is_full = True
        raise ArchiveError(
            f"journal: {run.path}: the disk is full, the run ends while its account still fits; make room, or choose "
            "another directory"
        )

    @property
    def open_runs(self) -> tuple[str, ...]:
        """The uids of the runs that have no stop document yet."""
        return tuple(self._runs)

    def statistics(self) -> dict[str, float]:
        """Return ``documents``, ``bytes``, and ``seconds`` and ``slowest`` (s) that callers waited."""
        return {
            "documents": self._documents,
            "bytes": self._bytes,
            "seconds": self._seconds,
            "slowest": self._slowest,
        }

    def close(self) -> None:
        """Let go of all files; a run without a stop document can be recovered from then on."""
        with self._lock:
            for run in tuple(self._runs.values()):
                self._close(run)

    def _open(self, uid: str, line: bytes) -> _OpenRun:
        path = self.directory / f"{uid}.jsonl"
        hidden = self.directory / f".{uid}.new"  # nobody sees a journal that is empty or not locked
        fd = -1
        run = None
        try:
            if path.exists():
                raise FileExistsError(17, "there is a journal of this run already")
            _take_away(hidden)
            fd = open_locked(hidden, OPEN_WITH, file_mode(self.directory))
            run = _OpenRun(uid, path, fd)
            run.room.hold(0)
            self._write(run, line)
            hidden.rename(path)
            sync_directory(self.directory)
        except (OSError, ArchiveError) as error:
            if run is not None:
                run.room.give()
            if fd >= 0:
                unlock(fd)
                hidden.unlink(missing_ok=True)
            raise error if isinstance(error, ArchiveError) else _unwritable(path, error) from error
        self._runs[uid] = run
        return run

    def _append(self, run: _OpenRun, line: bytes) -> None:
        try:
            self._require_place(run)
            with contextlib.suppress(OSError):  # what is held already is for this
                run.room.hold(run.size)
            self._write(run, line)
        except ArchiveError as error:
            run.failure = run.failure or str(error)
            raise

    def _require_place(self, run: _OpenRun) -> None:
        try:
            if not still_there(run.fd, run.path):
                raise FileNotFoundError(errno.ENOENT, "it was deleted or moved while its run goes on")
            _take_back(run)
        except OSError as error:
            raise _unwritable(run.path, error) from error

    def _write(self, run: _OpenRun, line: bytes) -> None:
        try:
            _write_through(run.fd, line)
        except OSError as error:
            with contextlib.suppress(OSError):  # then the next document takes it back, or recovery
                _take_back(run)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not run.room.give():
                raise _unwritable(run.path, error) from error
            self._write(run, line)
            return
        run.size += len(line)

    def _close(self, run: _OpenRun) -> None:
        del self._runs[run.uid]
        try:
            run.room.release(run.size)
        finally:
            unlock(run.fd)

    def _route(self, name: str, doc: Mapping[str, Any]) -> _OpenRun:
        if "run_start" in doc:
            run = self._runs.get(doc["run_start"])
        else:
            owner = next((doc[k] for k in ("descriptor", "stream_resource", "resource") if k in doc), None)
            run = next((r for r in self._runs.values() if owner in r.names), None)
            if owner is None and len(self._runs) == 1:  # old resource documents do not name their run
                (run,) = self._runs.values()
        if run is None:
            raise ArchiveError(
                f"journal: {name} {doc.get('uid')} belongs to none of the {len(self._runs)} open runs; "
                "subscribe the journal before the run starts"
            )
        return run

    def _count(self, size: int, seconds: float) -> None:
        self._documents += 1
        self._bytes += size
        self._seconds += seconds
        self._slowest = max(self._slowest, seconds)


def _is_account(run: _OpenRun, doc: Mapping[str, Any]) -> bool:
    return doc.get("name") in ACCOUNTS or doc.get("descriptor") in run.accounts


def _write_through(fd: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.fdatasync(fd)  # data and size; not the times, which cost a second commit


def _take_back(run: _OpenRun) -> None:
    """Cut what a write that failed has left behind the last whole line."""
    if os.fstat(run.fd).st_size > run.size:
        os.ftruncate(run.fd, run.size)
        run.room.lost()


def _take_away(hidden: Path) -> None:
    """Remove what a process left that was killed while it began this journal; one that lives holds its lock."""
    if is_locked(hidden):
        raise BlockingIOError(errno.EWOULDBLOCK, "another process has begun it")
    hidden.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ArchiveError:
    return ArchiveError(
        f"journal: {path} cannot be written: {error.strerror}; make room or choose another directory, "
        "then run `beamstream recover`"
    )
