"""RHEED films, the ingest they go to, and how fast they get there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from beamstream.frames import Frame, Geometry
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import Job, JobDirectory
from beamstream.rheed.key import KEY_VARIABLE
from beamstream.rheed.starting import put_job, start_worker, uploads_of
from beamstream.sim.rheed import RheedScene, RheedSpec
from beamstream.sinks.hdf5 import Hdf5Sink

_DISTINCT = 240  # frames that are drawn; a film repeats them


def film(path: Path, shape: tuple[int, int], fps: float, frames: int) -> Path:
    """Record a simulated growth, as a detector would have."""
    scene = RheedScene(RheedSpec(shape=shape, rotations_per_min=15.0, growth=((0.0, 1e4),)))
    images = [scene.image(index / fps) for index in range(min(frames, _DISTINCT))]
    geometry, began = Geometry(shape, "|u1"), time.time()
    with Hdf5Sink(path, geometry, name="rheed") as sink:
        for index in range(frames):
            at = began + index / fps
            sink.write([Frame(images[index % len(images)], geometry, index, at, at, "film")])
    return path


def job_for(path: Path, endpoint: str, fps: float, chunk_size: int, frames: int, archive: Path) -> JobDirectory:
    """Write down that a complete file is to be uploaded."""
    job = Job("rheed", path.stem * 2, "rheed", str(path), endpoint, path.stem, fps=fps, chunk_size=chunk_size)
    directory = put_job(uploads_of(archive), job)
    directory.end(frames)
    return directory


def bare(path: Path, ingest: IngestProcess, fps: float, chunk_size: int, spool: Path) -> dict[str, Any]:
    """Let the client by itself upload a file; return what it says about that."""
    script = Path(__file__).with_name("bare_upload.py")
    arguments = [str(path), ingest.url, str(chunk_size), str(fps), str(spool)]
    environment = {**os.environ, KEY_VARIABLE: ingest.key}
    done = subprocess.run(
        [sys.executable, str(script), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def caught_up(directory: JobDirectory, ingest: IngestProcess) -> tuple[float, float]:
    """Start a worker while the service is away, then the service; return s until the first chunk, and until all."""
    ingest.kill()
    worker = start_worker(directory, ingest.key)
    wait_for(lambda: directory.state.phase == "offline", 30.0, directory)
    time.sleep(3.0)  # so that it does not look often any more
    before = _pieces(ingest)
    ingest.start()
    back = time.monotonic()
    wait_for(lambda: _pieces(ingest) > before, 60.0, directory)
    first = time.monotonic() - back
    wait_for(lambda: directory.state.phase == "done", 300.0, directory)
    took = time.monotonic() - back
    assert worker.wait(30.0) == 0
    return first, took


def same(directory: JobDirectory, ingest: IngestProcess) -> bool:
    """Return whether what the service has is what the file has."""
    array: Any = zarr.open_array(ingest.stream(directory.state.data_id), mode="r")
    with h5py.File(directory.job.path, swmr=True) as file:  # of a session that was killed, too
        data: Any = file["/entry/data/data"]
        rows = min(data.shape[0], file["/entry/data/unique_id"].shape[0])  # type: ignore[union-attr]
        pieces = [slice(i, min(i + 240, rows)) for i in range(0, rows, 240)]
        return array.shape[0] == rows and all(np.array_equal(array[piece], data[piece]) for piece in pieces)


def wait_for(condition: Any, timeout: float, directory: JobDirectory) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, (directory.state, directory.log.read_text()[-2000:])
        time.sleep(0.02)


def _pieces(ingest: IngestProcess) -> int:
    """Return how many files there are of what arrived, or is arriving."""
    return sum(1 for _ in ingest.layout.ingest.rglob("*"))
