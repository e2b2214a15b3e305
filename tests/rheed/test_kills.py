"""Kills at random, of worker, client and service, while a film grows: every frame arrives, bit by bit."""

import os
import random
import signal
import threading
from contextlib import suppress

import numpy as np
import psutil

from beamstream.ingest.process import IngestProcess
from beamstream.rheed.job import Owner


def test_kills_of_worker_client_and_service_cost_no_frame(film, upload, tmp_path, wait_for):
    film, dice, over = film(10, fps=50.0, black=(range(400, 520),)), random.Random(11), threading.Event()

    def record() -> None:
        while not over.wait(0.02):
            film.grow(5)

    with IngestProcess(tmp_path / "other") as ingest:
        job = upload(film, endpoint=ingest.url, key=ingest.key, owner=Owner.this()).start()
        recorder = threading.Thread(target=record)
        recorder.start()
        try:
            for victim in dice.sample(["worker", "client", "service"] * 2, 6):
                confirmed = job.state.confirmed
                _kill(victim, job, ingest)
                wait_for(lambda c=confirmed: job.state.confirmed > c, timeout=40, what=f"it to go on after {victim}")
        finally:
            over.set()
            recorder.join()
        film.close()
        job.directory.end(film.kept)
        assert job.wait() == 0, job.log
        import zarr
        from zarr.core.sync import cleanup_resources

        there = np.asarray(zarr.open_array(str(ingest.stream(job.state.data_id)), mode="r")[:])
        cleanup_resources()
    assert np.array_equal(there, film.images())
    assert job.state.uploaded == film.kept


def _kill(victim: str, job, ingest: IngestProcess) -> None:
    match victim:
        case "service":
            ingest.restart()
        case "client":
            with suppress(psutil.Error):
                for child in psutil.Process(job.worker.pid).children():
                    child.kill()
        case _:
            os.kill(job.worker.pid, signal.SIGKILL)
            job.worker.wait()
            job.start()
