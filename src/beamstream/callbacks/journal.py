"""Journal: every document is on disk before anybody else sees it."""

import errno
import json
import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.errors import ArchiveError
from beamstream.locks import is_locked, open_locked, unlock
from beamstream.sinks.disk import sync_directory

log = logging.getLogger(__name__)

OPEN_WITH = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


@dataclass(slots=True)
class _OpenRun:
    """One journal file that this process holds open, and locked."""

    uid: str
    path: Path
    fd: int
    size: int = 0
    names: set[str] = field(default_factory=set)  # uids of descriptors and resources that belong to the run


class Journal:
    """Keep every document of every run on disk, so that a killed session or a dead archive loses nothing.

    Subscribe it first: ``RE.subscribe(Journal(directory))``. It is *required*: a document that cannot be
    kept fails the run.

    A run becomes ``<directory>/<run uid>.jsonl``: one line ``{"name": …, "doc": …}`` a document, the start
    document first. Each line is standard JSON; numpy scalars and arrays become numbers and lists, and the
    three floats that JSON does not know become ``{"$float": "NaN"}``, ``{"$float": "Infinity"}`` and
    ``{"$float": "-Infinity"}``. The file is locked (``flock``) from before its name appears until after the
    stop document, so anybody can tell a living owner from a dead one.

    Parameters
    ----------
    directory : Path
        Made if it is missing.

    Raises
    ------
    ArchiveError
        The directory cannot be made.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
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
            The disk is full or gone, the document is no JSON, or it belongs to no open run. What was kept
            before stays whole: a line that was cut short is taken back.
        """
        began = time.perf_counter()
        line = encode(name, doc)
        with self._lock:
            run = self._open(doc["uid"], line) if name == "start" else self._route(name, doc)
            if name != "start":
                self._append(run, line)
            if name in ("descriptor", "resource", "stream_resource"):
                run.names.add(doc["uid"])
            if name == "stop":
                self._close(run)
            self._count(len(line), time.perf_counter() - began)

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
        try:
            if path.exists():
                raise FileExistsError(17, "there is a journal of this run already")
            _take_away(hidden)
            fd = open_locked(hidden, OPEN_WITH)
            run = _OpenRun(uid, path, fd)
            self._append(run, line)
            hidden.rename(path)
            sync_directory(self.directory)
        except (OSError, ArchiveError) as error:
            if fd >= 0:
                unlock(fd)
                hidden.unlink(missing_ok=True)
            raise error if isinstance(error, ArchiveError) else _unwritable(path, error) from error
        self._runs[uid] = run
        return run

    def _append(self, run: _OpenRun, line: bytes) -> None:
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(run.fd, rest) :]
            os.fdatasync(run.fd)  # data and size; not the times, which cost a second commit
        except OSError as error:
            _take_back(run)
            raise _unwritable(run.path, error) from error
        run.size += len(line)

    def _close(self, run: _OpenRun) -> None:
        del self._runs[run.uid]
        unlock(run.fd)

    def _route(self, name: str, doc: Mapping[str, Any]) -> _OpenRun:
        if "run_start" in doc:
            run = self._runs.get(doc["run_start"])
        else:
            owner = next((doc[k] for k in ("descriptor", "stream_resource", "resource") if k in doc), None)
            run = next((r for r in self._runs.values() if owner in r.names), None)
            if owner is None and len(self._runs) == 1:  # old resource documents do not say whose they are
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


def encode(name: str, doc: Mapping[str, Any]) -> bytes:
    """Return a document's line in the journal.

    Raises
    ------
    ArchiveError
        Something in the document is no JSON: it names the place.
    """
    try:
        text = json.dumps({"name": name, "doc": doc}, default=_plain, allow_nan=False)
    except (TypeError, ValueError):  # rare: something non-finite or foreign, so look at every value
        text = json.dumps({"name": name, "doc": _portable(doc, name)}, allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: object) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError


def _portable(value: Any, where: str) -> Any:
    """Copy a value into what standard JSON can carry."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": _name_of(value)}
    if isinstance(value, Mapping):
        return {str(k): _portable(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise ArchiveError(
        f"journal: {where} is a {type(value).__name__}, which JSON cannot carry; "
        "put text, numbers, lists or dictionaries into documents"
    )


def _name_of(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _take_back(run: _OpenRun) -> None:
    try:
        os.ftruncate(run.fd, run.size)
    except OSError as error:  # then recovery cuts the half line
        log.warning("journal: half a line could not be taken back from %s: %s", run.path, error.strerror)


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
