"""What sessions are doing, for others to see: a small file each, in the archive."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from beamstream.errors import UntrustedFile
from beamstream.locks import is_locked, open_locked, unlock
from beamstream.own_files import open_regular
from beamstream.private import as_around, make_directories

_DIRECTORY = "sessions"
_MOST = 1 << 20  # bytes of one file
_ELSEWHERE = 10.0  # s that the file of a session on another machine counts, whose lock is not seen here


class PresenceFile:
    """Publish what this process does, in ``<archive>/sessions/<pid>.json``; from one thread.

    ``<pid>.lock`` beside it is locked as long as the session lives. Where another container has a session of the same
    number, it is ``<pid>-1.json``.

    ::

        {"pid": 4711, "host": "bl32", "began": 81234567, "time": 1790000000.1, "state": "idle" | "running" | "paused",
         "run": null | {"uid", "scan_id", "plan", "title", "started": s since 1970,
                        "done", "total": null | n, "unit": "frames" | "points", "seconds": null | s,
                        "detectors": {name: {"received", "recorded", "lost", "rate": frames/s, "file"}},
                        "callbacks": [{"name", "words", "ok"}]}}

    Parameters
    ----------
    archive : path-like
    """

    def __init__(self, archive: str | os.PathLike[str]) -> None:
        self.path = Path(archive).absolute() / _DIRECTORY / f"{os.getpid()}.json"
        self._lock = -1
        self._who = {"pid": os.getpid(), "host": socket.gethostname(), "began": began(os.getpid())}

    def write(self, state: str, run: Mapping[str, Any] | None) -> None:
        """Replace the file at once: a reader never finds half of it.

        Raises
        ------
        OSError
            It cannot be written.
        """
        text = json.dumps({**self._who, "time": time.time(), "state": state, "run": run})
        make_directories(self.path.parent)
        if self._lock < 0:
            self._claim()
        hidden = self.path.with_suffix(".new")
        hidden.unlink(missing_ok=True)
        with open(hidden, "x", opener=as_around) as file:  # never through a link that somebody put there
            file.write(text + "\n")
        hidden.replace(self.path)

    def remove(self) -> None:
        """Remove it, and what sessions left that were killed."""
        if self._lock >= 0:
            _unlink(self.path)
            fd, self._lock = self._lock, -1
            unlock(fd)
        for path in self.path.parent.glob("*.json"):
            document = _read(path)
            if document is not None and document.get("host") == self._who["host"] and not _lives(path, document):
                _unlink(path)

    def _claim(self) -> None:
        """Take a name that no living session has."""
        for number in count():
            path = self.path.with_name(f"{os.getpid()}{f'-{number}' if number else ''}.json")
            with contextlib.suppress(BlockingIOError):
                fd = open_locked(_lock_of(path))
                if os.fstat(fd).st_nlink:
                    self.path, self._lock = path, fd
                    return
                unlock(fd)  # another process removed it between our two lines


def present(archive: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return what the living sessions of an archive do, the youngest run first; see `PresenceFile`.

    A file is ignored if its process has ended, or if it cannot be read or is damaged.
    """
    found = [
        document
        for path in sorted((Path(archive) / _DIRECTORY).glob("*.json"))
        if (document := _read(path)) is not None and _lives(path, document)
    ]
    return sorted(found, key=_began_last, reverse=True)


def _began_last(document: Mapping[str, Any]) -> float:
    return (document["run"] or {}).get("started", 0.0)


def _read(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, RecursionError, UntrustedFile):
        with os.fdopen(open_regular(path), "rb") as file:
            document = json.loads(file.read(_MOST))
        match document:
            case {"pid": int(), "time": float() | int(), "state": str(), "run": None | {"started": float() | int()}}:
                return document
    return None


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _unlink(path: Path) -> None:
    for file in (path, _lock_of(path)):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _lives(path: Path, document: Mapping[str, Any]) -> bool:
    """Whether the session that wrote this is there; of another machine without a lock, whether that was just now."""
    if is_locked(_lock_of(path)):
        return True
    if document.get("host") != socket.gethostname():
        return time.time() - document["time"] < _ELSEWHERE
    if _lock_of(path).exists():
        return False
    since = began(document["pid"])  # of a version without a lock
    return since is not None and document.get("began", since) == since


def began(pid: int) -> int | None:
    """Return when a process began, clock ticks since the machine did; None if there is none: pids are used again."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if after_name[0] == "Z" else int(after_name[19])
