"""The last runs of an archive, from the journals: also while nobody serves it, and without asking it."""

import contextlib
import fcntl
import heapq
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST_START = 2**20  # bytes of a start document
_TAIL = 2**18  # bytes at a journal's end that are looked through for its ledger
_WORDS = {"success": "done", "fail": "failed", "abort": "aborted"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """A journal as it was at one look; what is the same now need not be read again."""

    size: int
    written: float
    place: str


class LastRuns:
    """Tell what ran last, the newest first; every journal is read once for each change of it.

    Reads the first line and the last 256 KiB of a file, so that a run of hours costs what a short one costs. For one
    thread at a time.

    Parameters
    ----------
    journal : Path
        ``<archive>/journal``; need not exist.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._known: dict[str, tuple[_Seen, dict[str, Any]]] = {}
        self._listed: dict[Path, tuple[int, list[tuple[float, Path]]]] = {}

    def newest(self, number: int = 10) -> list[dict[str, Any]]:
        """Return the last runs.

        Returns
        -------
        list of dict
            ``uid``, ``scan_id``, ``plan``, ``title``, ``time`` (start, s since 1970-01-01 UTC), ``duration`` (s; None
            while it is open), ``status`` (running, interrupted, done, failed, aborted), ``reason``; ``received``,
            ``recorded``, ``lost`` (of all detectors; None where no ledger was kept), ``frames`` (recorded, else
            events); ``filed`` (whether the archive has all of it), ``refused``.
        """
        newest = heapq.nlargest(number, self._files(), key=lambda found: found[0])
        runs = [run for _, path in newest if (run := self._run(path)) is not None]
        self._known = {run["uid"]: self._known[run["uid"]] for run in runs}
        return sorted(runs, key=lambda run: run["time"], reverse=True)

    def waiting(self) -> int:
        """Return how many journals the archive does not have yet; that of a run under way is one of them."""
        with contextlib.suppress(OSError):
            return sum(entry.name.endswith(".jsonl") for entry in os.scandir(self._journal))
        return 0

    def _files(self) -> Iterator[tuple[float, Path]]:
        """Yield when each journal was written last, and its path."""
        yield from _listing(self._journal)
        for place in ("filed", "refused"):
            directory = self._journal / place
            with contextlib.suppress(OSError):
                changed = directory.stat().st_mtime_ns  # thousands of runs are not looked at for nothing
                if self._listed.get(directory, (None,))[0] != changed:
                    self._listed[directory] = changed, list(_listing(directory))
                yield from self._listed[directory][1]

    def _run(self, path: Path) -> dict[str, Any] | None:
        """Return a run, None if its journal is gone or none."""
        try:
            about = path.stat()
            seen = _Seen(about.st_size, about.st_mtime, path.parent.name)
            known = self._known.get(path.stem)
            if known is not None and known[0] == seen and known[1]["status"] != "running":
                return known[1]
            run = _read(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # moved this moment, or none of ours
            return None
        self._known[run["uid"]] = seen, run
        return run


def _listing(directory: Path) -> Iterator[tuple[float, Path]]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                with contextlib.suppress(OSError):  # it moved to where the archive has it
                    yield entry.stat().st_mtime, Path(entry.path)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        start = json.loads(file.readline(_MOST_START))["doc"]
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        stop, ledger = _ending(file.read())
        status = _status(stop, file.fileno())
    received, recorded, lost = (_total(ledger, what) for what in ("received", "recorded", "lost"))
    frames = recorded if recorded is not None else stop.get("num_events", {}).get("primary")
    return {
        "uid": start["uid"],
        "scan_id": start.get("scan_id"),
        "plan": start.get("plan_name", ""),
        "title": str(start.get("title") or start.get("sample") or start.get("sample_name") or ""),
        "time": float(start["time"]),
        "duration": stop["time"] - start["time"] if stop else None,
        "status": status,
        "reason": stop.get("reason", ""),
        "received": received,
        "recorded": recorded,
        "lost": lost,
        "frames": frames,
        "filed": path.parent.name == "filed",
        "refused": path.parent.name == "refused",
    }


def _status(stop: dict[str, Any], fd: int) -> str:
    """Return how a run ended; the journal of one that goes on is locked by its session."""
    if stop:
        return _WORDS.get(stop.get("exit_status", ""), "done")
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return "running"
    fcntl.flock(fd, fcntl.LOCK_UN)
    return "interrupted"


def _ending(tail: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the stop document, empty if there is none, and what the last ledger says."""
    ledger: dict[str, Any] = {}
    stop: dict[str, Any] = {}
    for line in reversed(tail.split(b"\n")[:-1]):  # behind the last line's end there is nothing, or half a line
        if not stop and line.startswith(b'{"name": "stop"'):
            stop = json.loads(line)["doc"]
        elif b"_ledger_" in line and line.startswith(b'{"name": "event"'):
            for key, value in json.loads(line)["doc"]["data"].items():
                ledger.setdefault(key, value)
    return stop, ledger


def _total(ledger: dict[str, Any], what: str) -> int | None:
    """Return a number of all detectors together; None where no ledger has it."""
    numbers = [value for key, value in ledger.items() if key.endswith(f"_ledger_{what}")]
    return int(sum(numbers)) if numbers else None
