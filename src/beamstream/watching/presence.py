"""What sessions are doing, for others to see: a small file each, in the archive."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DIRECTORY = "sessions"
_ELSEWHERE = 10.0  # s that the word of a session on another machine counts


class PresenceFile:
    """Say what this process does, in ``<archive>/sessions/<pid>.json``; from one thread.

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
        self._who = {"pid": os.getpid(), "host": socket.gethostname(), "began": began(os.getpid())}

    def write(self, state: str, run: Mapping[str, Any] | None) -> None:
        """Replace the file at once, so that nobody reads half of it.

        Raises
        ------
        OSError
            It cannot be written.
        """
        text = json.dumps({**self._who, "time": time.time(), "state": state, "run": run})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        hidden = self.path.with_suffix(".new")
        hidden.write_text(text + "\n")
        hidden.replace(self.path)

    def remove(self) -> None:
        """Be gone, and take away what sessions left that were killed."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        for path in self.path.parent.glob("*.json"):
            said = _read(path)
            if said is not None and said.get("host") == self._who["host"] and not _lives(said):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def present(archive: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return what the living sessions of an archive do, the youngest run first; see `PresenceFile`.

    A file is passed over when its process is gone, cannot be read, or is half of something.
    """
    found = [
        said
        for path in sorted((Path(archive) / _DIRECTORY).glob("*.json"))
        if (said := _read(path)) is not None and _lives(said)
    ]
    return sorted(found, key=_began_last, reverse=True)


def _began_last(said: Mapping[str, Any]) -> float:
    return (said["run"] or {}).get("started", 0.0)


def _read(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        said = json.loads(path.read_text())
        match said:
            case {"pid": int(), "time": float() | int(), "state": str(), "run": None | {"started": float() | int()}}:
                return said
    return None


def _lives(said: Mapping[str, Any]) -> bool:
    """Whether who wrote this still is there; of another machine, whether that was a moment ago."""
    if said.get("host") != socket.gethostname():
        return time.time() - said["time"] < _ELSEWHERE
    since = began(said["pid"])
    return since is not None and said.get("began", since) == since


def began(pid: int) -> int | None:
    """Return when a process began, clock ticks since the machine did; None if there is none: pids are used again."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if after_name[0] == "Z" else int(after_name[19])
