"""How fast recorded films reach the ingest after an outage, beside the cloud's client that does nothing else."""

from pathlib import Path

import pytest
from upload_rig import bare, caught_up, film, job_for, same

from beamstream.ingest.process import IngestProcess

pytestmark = [pytest.mark.benchmark, pytest.mark.leaks_by_intention]  # zarr keeps its threads
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
