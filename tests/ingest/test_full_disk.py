"""A disk that is full: said in words, nothing half kept, and it goes on when there is room."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from by_hand import movie
from small_disks import small_disk_at

from beamstream.ingest.process import IngestProcess

FILM = movie(20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 80 MiB."""
    with small_disk_at(tmp_path / "small", 80 << 20) as where:
        yield where


@pytest.mark.parametrize("left", [32 << 20, 0], ids=["little room", "none at all"])
def test_a_full_disk_is_said_and_the_chunk_is_taken_when_there_is_room(small_disk, by_hand, left):
    with IngestProcess(small_disk / "archive") as ingest:
        service = by_hand(ingest)
        data_id = service.begin()
        assert service.send(data_id, 0, FILM[:10]).status_code == 200
        journal = (ingest.layout.journal / f"{data_id}.jsonl").read_bytes()
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            size = shutil.disk_usage(small_disk).free - left
            for start in range(0, size, 1 << 20):
                file.write(bytes(min(1 << 20, size - start)))
        answer = service.send(data_id, 1, FILM[10:])
        assert answer.status_code == 507
        assert "the disk is full" in answer.json()["detail"]
        assert list((ingest.layout.ingest / "incoming").iterdir()) == []
        assert (ingest.layout.journal / f"{data_id}.jsonl").read_bytes() == journal
        assert np.array_equal(zarr.open_array(ingest.stream(data_id), mode="r")[:], FILM[:10])
        if not left:  # the catalogue finds that out by itself
            answers = {service.post("/tags/", name=f"tag {n}").status_code for n in range(100)}
            assert answers <= {200, 507}
            assert 507 in answers
        ballast.unlink()
        assert service.send(data_id, 1, FILM[10:]).status_code == 200
        service.end(data_id)
        assert np.array_equal(zarr.open_array(ingest.stream(data_id), mode="r")[:], FILM)


def test_a_disk_that_fills_while_a_chunk_comes_keeps_nothing_of_it(own, by_hand):
    film = movie(20, (800, 800))
    service = by_hand(own)
    data_id = service.begin()
    assert service.send(data_id, 0, film[:10]).status_code == 200
    limits = resource.prlimit(own.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(own.pid, resource.RLIMIT_FSIZE, (4 << 20, limits[1]))  # refused in the middle of the second piece
    answer = service.send(data_id, 1, film[10:])
    assert answer.status_code == 507
    assert "nothing of this was kept" in answer.json()["detail"]
    assert list((own.layout.ingest / "incoming").iterdir()) == []
    assert service.status(data_id)["chunks"] == 1
    resource.prlimit(own.pid, resource.RLIMIT_FSIZE, limits)
    assert service.send(data_id, 1, film[10:]).status_code == 200
    assert service.send(data_id, 2, film[3:10]).status_code == 200  # a short one, past the page cache as well
    service.end(data_id)
    frames = zarr.open_array(own.stream(data_id), mode="r")
    assert np.array_equal(frames[:], np.concatenate([film, film[3:10]]))
