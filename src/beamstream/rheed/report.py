"""How far uploads are, as plain values for tables, pages and JSON."""

import time
from pathlib import Path
from typing import Any

from beamstream.errors import UploadError
from beamstream.rheed.job import Job, JobDirectory, Owner, State, job_directories
from beamstream.rheed.starting import OVER, is_running

_WORDS = {
    "waiting": "waits for frames",
    "uploading": "uploading",
    "offline": "the service does not answer; goes on by itself",
    "refused": "the service refuses; tried again until it does not",
    "finalizing": "all is there; the stream is being closed",
    "done": "done",
    "failed": "failed",
}
_STARTING = 5.0  # s that a worker may need before it holds its lock


def statuses(uploads: Path) -> list[dict[str, Any]]:
    """Return how far every upload of an archive is, the oldest first; see `status_of`."""
    return [status_of(job) for job in job_directories(uploads)]


def status_of(directory: JobDirectory) -> dict[str, Any]:
    """Return how far an upload is; never raises.

    Returns
    -------
    dict
        ``upload`` (its name), ``kind``, ``run``, ``detector``, ``stream``, ``endpoint``, ``data_id``, ``phase``,
        ``words`` (what that means, and what is in the way), ``error``, ``running`` (whether a worker lives),
        ``frames`` (recorded), ``complete`` (whether these are all), ``uploaded``, ``backlog`` (frames),
        ``backlog_seconds`` (of the recording; None where the rate is not known yet), ``bytes_per_second`` (from the
        beginning until now or the end; None where not known), ``refusals``, ``undecoded`` (frames that are black
        because their recorded bytes do not decode; 100 at most), ``began`` and ``since`` (s since 1970-01-01 UTC).
        Of time series, readings are counted in the place of frames.
    """
    try:
        job, state, total = directory.job, directory.state, directory.total
    except (UploadError, OSError, ValueError, TypeError, KeyError) as error:
        return _unreadable(directory, error)
    running = is_running(directory)
    frames = max(state.frames, total or 0)
    backlog = max(0, frames - state.uploaded)
    began = _written(directory.path / "job.json")
    fps = state.fps or job.fps or 0.0
    return {
        "upload": directory.path.name,
        "kind": job.kind,
        "run": job.run,
        "detector": job.name,
        "stream": job.stream_name,
        "endpoint": job.endpoint,
        "data_id": state.data_id,
        "phase": state.phase,
        "words": _words(state, running or _is_new(directory, began)),
        "error": state.error,
        "running": running,
        "frames": frames,
        "complete": total is not None,
        "uploaded": state.uploaded,
        "backlog": backlog,
        "backlog_seconds": round(backlog / fps, 3) if fps else None,
        "bytes_per_second": _rate(directory, job, state, began),
        "refusals": state.refusals,
        "undecoded": len(state.undecoded),
        "began": began,
        "since": state.since or began,
    }


def _words(state: State, cared_for: bool) -> str:
    words = _WORDS.get(state.phase, state.phase)
    if state.error:  # of one that is done: what its file lacks
        words = state.error if state.phase == "failed" else f"{words}: {state.error}"
    if not cared_for and state.phase not in OVER:
        words = f"no worker is at it (beamstream uploads --resume); it was: {words}"
    return words


def _is_new(directory: JobDirectory, began: float) -> bool:
    """Return whether its first worker may just be starting."""
    return not directory.lock.exists() and time.time() - began < _STARTING


def _rate(directory: JobDirectory, job: Job, state: State, began: float) -> float | None:
    """Return the bytes a second that arrived from the beginning until the end, or until now."""
    if not state.uploaded or job.kind != "rheed":
        return None
    size = _frame_bytes(job)
    seconds = (state.since if state.phase == "done" else time.time()) - began
    return None if size is None or seconds <= 0 else round(state.uploaded * size / seconds, 1)


def _frame_bytes(job: Job) -> int | None:
    """Return the size of a frame as it is sent, 8 bit; the file is read, so never in the process that records."""
    if job.owner == Owner.this():
        return None
    import h5py

    try:
        with h5py.File(job.path, "r", swmr=True) as file:
            data: Any = file[job.dataset]
            return int(data.size // max(1, len(data)))
    except (OSError, RuntimeError, ValueError, KeyError):
        return None


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _unreadable(directory: JobDirectory, error: Exception) -> dict[str, Any]:
    began = _written(directory.path / "job.json")
    empty = dict.fromkeys(("kind", "run", "detector", "stream", "endpoint", "data_id"), "")
    numbers = dict.fromkeys(("frames", "uploaded", "backlog", "refusals", "undecoded"), 0)
    unknown = dict.fromkeys(("backlog_seconds", "bytes_per_second"))
    failed = {"phase": "failed", "words": str(error), "error": str(error), "running": False, "complete": False}
    return {"upload": directory.path.name, **empty, **failed, **numbers, **unknown, "began": began, "since": began}
