"""Ten kills -9 among session, worker and ingest while a film streams: what arrived is what was recorded, bit by bit."""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import COMMAND
from upload_rig import same, wait_for

from beamstream.frames import Geometry
from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import JobDirectory, Owner, job_directories
from beamstream.rheed.starting import is_running, take_up, uploads_of
from beamstream.segment import PREFIX, sweep
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess

SECONDS = float(os.environ.get("BEAMSTREAM_KILLS_SECONDS", "300"))
KILLS = 10
CAMERA = CameraSpec("KILLS:RHEED", Geometry((300, 500), "|u1"), period=1 / 60, free_running=True, scene="rheed")


@pytest.mark.soak
@pytest.mark.leaks_by_intention  # killed sessions leave their shared memory, which the next one sweeps
def test_ten_kills_lose_nothing(tmp_path: Path):
    killed: Counter[str] = Counter()
    archive = tmp_path / "archive"
    with SimProcess(Beamline((CAMERA,), ())), IngestProcess(archive) as ingest:
        config = tmp_path / "beamstream.toml"
        config.write_text(
            f'[archive]\ndirectory = "{archive}"\nport = 0\n[devices.rheed]\nkind = "rheed"\n'
            f'pv = "{CAMERA.image}"\n[callbacks.rheed_uploader]\nendpoint = "{ingest.url}"\n'
            f'key_file = "{ingest.key_file}"\n'
        )
        ends = time.monotonic() + SECONDS
        instants = sorted(random.uniform(5.0, SECONDS - 10.0) for _ in range(KILLS))
        while (left := ends - time.monotonic()) > 3.0:
            with recording(config, left) as session:
                while session.poll() is None:
                    time.sleep(0.05)
                    if instants and time.monotonic() > ends - SECONDS + instants[0]:
                        instants.pop(0)
                        killed[kill_one(session, archive, ingest)] += 1
        jobs = list(job_directories(uploads_of(archive)))
        for job in jobs:
            take_up(job)
            wait_for(lambda job=job: job.state.phase == "done", 120.0, job)
            assert same(job, ingest)
        frames = [job.state.uploaded for job in jobs]
    sweep(PREFIX)
    assert sum(killed.values()) == KILLS
    print(f"\n{dict(killed)} killed in {SECONDS:.0f} s: {frames} frames in {len(jobs)} runs, all there, bit by bit")


@contextmanager
def recording(config: Path, seconds: float) -> "Iterator[subprocess.Popen[bytes]]":
    """Record for a while, in a session of its own."""
    arguments = ["record", "rheed", "--seconds", f"{seconds:.1f}", "--json"]
    environment = {**os.environ, "BEAMSTREAM_CONFIG": str(config)}
    with subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=subprocess.DEVNULL) as session:
        try:
            yield session
        finally:
            session.kill()


def kill_one(session: "subprocess.Popen[bytes]", archive: Path, ingest: IngestProcess) -> str:
    """Kill one of the three, and start the ingest again when it was that."""
    what = random.choice(("session", "worker", "ingest"))
    workers = [job for job in job_directories(uploads_of(archive)) if is_running(job)]
    if what == "worker" and workers:
        os.kill(_pid(workers[-1]), signal.SIGKILL)
    elif what == "session":
        session.kill()
    else:
        what = "ingest"
        ingest.kill()
        time.sleep(random.uniform(0.0, 5.0))
        ingest.start()
    return what


def _pid(job: JobDirectory) -> int:
    return Owner(**json.loads(job.lock.read_text())).pid
