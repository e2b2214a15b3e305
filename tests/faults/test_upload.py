"""kill -9, EIO and ENOSPC at single system calls of an upload's worker: what is confirmed is the file, bit by bit."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from syscalls import Fault, faults, places, strace

from beamstream.frames import Frame, Geometry
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import Job, JobDirectory, Owner
from beamstream.rheed.key import KEY_VARIABLE
from beamstream.rheed.starting import is_running
from beamstream.sinks.hdf5 import Hdf5Sink

FRAMES, FPS = 65, 10.0
GEOMETRY = Geometry((12, 16), "|u1")
WRITES = ("pwrite64", "fsync", "rename", "mkdir", "unlink", "ftruncate")
KINDS = {
    "signal=KILL": (*WRITES, "write", "openat", "flock"),  # an error of `write` would hit what wakes threads as well
    "error=EIO": WRITES,
    "error=ENOSPC": ("fsync", "rename", "mkdir"),
}
QUICK = [Fault("rename", 3, "signal=KILL"), Fault("fsync", 2, "error=EIO")]


def images() -> np.ndarray:
    """Return what is recorded: no two frames alike."""
    return np.random.default_rng(1).integers(1, 255, (FRAMES, *GEOMETRY.shape)).astype("u1")


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestProcess]:
    """A service for all."""
    with IngestProcess(tmp_path_factory.mktemp("archive")) as service:
        yield service


def upload(where: Path, ingest: IngestProcess) -> JobDirectory:
    """Record, without a word about how many frames there are: as on a full disk, or after a kill."""
    where.mkdir()
    with Hdf5Sink(where / "film.h5", GEOMETRY, name="rheed") as sink:
        sink.write([Frame(image, GEOMETRY, i, 2e9 + i / FPS, 2e9 + i / FPS) for i, image in enumerate(images())])
    path, owner = str(where / "film.h5"), Owner(2**22 + 1, 1.0)
    return JobDirectory.create(
        where / "upload", Job("rheed", "0123456789", "rheed", path, ingest.url, "a", owner=owner)
    )


def work(job: JobDirectory, ingest: IngestProcess, *before: str, timeout: float = 90) -> int:
    """Return the status of a worker; it may end early, and what is left is for the next."""
    environment = {**os.environ, KEY_VARIABLE: ingest.key}
    with (job.path.parent / "words").open("ab") as words:
        command = [*before, sys.executable, "-m", "beamstream.rheed", str(job.path)]
        return subprocess.run(command, env=environment, stdout=words, stderr=words, timeout=timeout).returncode


def attempt(where: Path, fault: Fault, ingest: IngestProcess) -> None:
    """Let a worker meet one fault, and each of its clients, until strace is taken away; the next worker goes on."""
    job = upload(where, ingest)
    with contextlib.suppress(subprocess.TimeoutExpired):
        work(job, ingest, *strace("-o", "/dev/null", *fault.options), timeout=15)
    deadline = time.monotonic() + 90
    while is_running(job):
        assert time.monotonic() < deadline, f"it does not go on: {job.state}"
        time.sleep(0.05)
    if job.state.phase != "done":
        assert work(job, ingest) == 0, (where / "words").read_text()[-300:]
    check(job, ingest)


def check(job: JobDirectory, ingest: IngestProcess) -> None:
    """Compare what is confirmed with the file."""
    import zarr
    from zarr.core.sync import cleanup_resources

    state = job.state
    assert (state.phase, state.uploaded, state.frames) == ("done", FRAMES, FRAMES), state
    there = np.asarray(zarr.open_array(str(ingest.stream(state.data_id)), mode="r")[:])
    cleanup_resources()
    assert np.array_equal(there, images())


@pytest.mark.parametrize("fault", QUICK, ids=str)
def test_a_fault_at_one_call_of_a_worker_costs_no_frame(tmp_path, ingest, fault):
    attempt(tmp_path / "upload", fault, ingest)


@pytest.mark.soak
def test_no_call_of_a_worker_is_a_place_to_lose_a_frame(tmp_path, ingest, report):
    job, trace = upload(tmp_path / "counted", ingest), tmp_path / "trace"
    calls = sorted({call for calls in KINDS.values() for call in calls})
    assert work(job, ingest, *strace("-y", "-o", str(trace), "-e", f"trace={','.join(calls)}")) == 0
    check(job, ingest)
    tried = faults(places(trace, str(job.path)), KINDS)
    report("uploader", tmp_path, tried, lambda where, fault: attempt(where, fault, ingest))
