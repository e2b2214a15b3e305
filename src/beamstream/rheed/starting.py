"""Start the workers of uploads, and find which of them live."""

import logging
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from beamstream.children import python_module
from beamstream.errors import UploadError
from beamstream.locks import is_locked
from beamstream.rheed.job import Job, JobDirectory, job_directories
from beamstream.rheed.key import KEY_VARIABLE

log = logging.getLogger(__name__)

OVER = ("done", "failed")
"""Phases in which a worker has nothing more to do by itself."""
AT_ONCE = 16
"""Workers that one process starts at the same time: each takes 60 MB with its client. The others wait."""
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_MOST = 1000  # uploads of one detector in one run

_children: list["subprocess.Popen[bytes]"] = []


def uploads_of(archive: Path) -> Path:
    """Return the directory of an archive's uploads."""
    return archive / "uploads"


def put_job(uploads: Path, job: Job) -> JobDirectory:
    """Write a job where no other is; nothing is started.

    Raises
    ------
    UploadError
        The directory cannot be made.
    """
    name = f"{job.run[:8]}-{job.name}"
    for number in range(1, _MOST):
        path = uploads / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return JobDirectory.create(path, job)
    raise UploadError(f"upload: {uploads} has {_MOST} of {name}; move those that are done elsewhere")


def find_job(uploads: Path, like: Job) -> JobDirectory | None:
    """Return the upload of the same frames to the same service, if there is one."""
    for found in job_directories(uploads):
        job = readable(found)
        if job is not None and _same(job) == _same(like):
            return found
    return None


def readable(found: JobDirectory) -> Job | None:
    """Return the job, None where it cannot be read."""
    try:
        return found.job
    except UploadError:
        return None


def is_running(job: JobDirectory) -> bool:
    """Return whether a worker lives; it holds the lock as long as it does."""
    return is_locked(job.lock)


def is_over(job: JobDirectory) -> bool:
    """Return whether there is nothing more to be done, or nothing that can be done without a person."""
    return job.state.phase in OVER


def unfinished(uploads: Path) -> Iterator[JobDirectory]:
    """Yield the uploads that are not over and that nobody works on."""
    for job in job_directories(uploads):
        if readable(job) is not None and not is_over(job) and not is_running(job):
            yield job


def start_worker(job: JobDirectory, key: str = "") -> "subprocess.Popen[bytes]":
    """Start the worker of an upload; returns at once. It outlives this process, and ends when the upload is done.

    Where one is at work already, the new one ends by itself.

    Parameters
    ----------
    job : JobDirectory
    key : str
        Of the service, for a worker that has no key file; otherwise the environment's.

    Raises
    ------
    UploadError
        It cannot be started.
    """
    reap()
    environment = {**os.environ, **_ONE_THREAD}
    if key:
        environment[KEY_VARIABLE] = key
    try:
        with job.log.open("ab") as file:
            child = subprocess.Popen(
                python_module("beamstream.rheed", str(job.path)),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=job.path,
                env=environment,
                start_new_session=True,  # neither Ctrl-C in the terminal nor its end is for it
            )
    except OSError as error:
        raise UploadError(f"upload: the worker of {job.path.name} cannot be started: {error.strerror}") from error
    _children.append(child)
    return child


def take_up(job: JobDirectory) -> bool:
    """Start a worker where none is and the upload is not done, also one that failed; return whether one was started.

    Raises
    ------
    UploadError
        It cannot be started.
    """
    if readable(job) is None or is_running(job) or job.state.phase == "done":
        return False
    if job.state.phase == "failed":
        job.save(replace(job.state, phase="waiting", error=""))
    start_worker(job)
    return True


def reap() -> None:
    """Let the system forget the workers of ours that have ended."""
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)


def _same(job: Job) -> Job:
    """Return what makes two uploads the same: the frames, and the service."""
    return Job(job.kind, job.run, job.name, job.path, job.endpoint, "", job.dataset)
