"""How fast films reach the ingest: after an outage, beside the cloud's client by itself; and while they grow."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from upload_rig import bare, caught_up, film, job_for, same, wait_for

from beamstream.frames import Geometry
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import job_directories
from beamstream.rheed.starting import uploads_of
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess

pytestmark = [pytest.mark.benchmark, pytest.mark.leaks_by_intention]  # zarr keeps its threads
SECONDS = 30.0
FILMS = {"300x500": ((300, 500), 120.0, 240, 4800), "1024x1024": ((1024, 1024), 30.0, 60, 720)}


@pytest.mark.parametrize("name", FILMS)
def test_catching_up(name: str, tmp_path: Path):
    shape, fps, chunk_size, frames = FILMS[name]
    path = film(tmp_path / "film.h5", shape, fps, frames)
    megabytes = frames * shape[0] * shape[1] / 1e6
    with IngestProcess(tmp_path / "archive") as ingest:
        rates = []
        for round_ in range(3):
            alone = bare(path, ingest, fps, chunk_size, tmp_path / f"spool{round_}")
            assert alone["whole"]
            directory = job_for(path, ingest.url, fps, chunk_size, frames, tmp_path / f"archive{round_}")
            first, took = caught_up(directory, ingest)
            assert same(directory, ingest)
            rates.append((megabytes / took, alone["nbytes"] / 1e6 / alone["seconds"], first))
    for ours, theirs, first in rates:
        print(
            f"\n{name}: {megabytes:.0f} MB: {ours:.0f} MB/s from the service's return on, the client by itself "
            f"{theirs:.0f} MB/s ({ours / theirs:.2f} x); first bytes {first:.2f} s after the return"
        )


@pytest.mark.parametrize("name", FILMS)
def test_uploading_live(name: str, tmp_path: Path):
    shape, fps, _, _ = FILMS[name]
    geometry = Geometry(shape, "|u1")
    camera = CameraSpec(f"LIVE{name}:RHEED", geometry, period=1 / fps, free_running=True, scene="rheed")
    archive = tmp_path / "archive"
    with SimProcess(Beamline((camera,), ())), IngestProcess(archive) as ingest:
        alone = recorded(camera.image, tmp_path / "alone")
        behind: list[int] = []
        over = threading.Event()
        watching = threading.Thread(target=watch, args=(archive, behind, over))
        watching.start()
        live = recorded(camera.image, archive, ingest.url, str(ingest.key_file))
        over.set()
        watching.join()
        (job,) = job_directories(uploads_of(archive))
        at_the_end = job.state
        wait_for(lambda: job.state.phase == "done", 60.0, job)
        assert same(job, ingest)
    assert live["lost"] == alone["lost"] == 0
    print(
        f"\n{name} at {fps:.0f}/s for {SECONDS:.0f} s: {live['recorded']} recorded, 0 lost; at most "
        f"{max(behind) / fps:.1f} s behind, {at_the_end.uploaded} uploaded at the run's end; {live['core']:.1%} of a "
        f"core in the process that records, {alone['core']:.1%} without uploading"
    )


def recorded(pv: str, archive: Path, *service: str) -> dict[str, Any]:
    """Record in a process of its own."""
    archive.mkdir(exist_ok=True)
    script = Path(__file__).with_name("live_upload.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, str(script), pv, str(SECONDS), str(archive), *service]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=SECONDS + 60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def watch(archive: Path, behind: list[int], over: threading.Event) -> None:
    """Note how many frames wait."""
    while not over.wait(0.25):
        for job in job_directories(uploads_of(archive)):
            behind.append(job.state.frames - job.state.uploaded)
