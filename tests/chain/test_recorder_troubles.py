"""A recorder that is slow, without room, or not welcome is late, or fails in words; no frame goes unaccounted for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from small_disks import small_disk_at

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for read_formats

from read_formats import READ, h5, only
from zarr.core.sync import cleanup_resources

from beamstream.callbacks.recorder import Recorder
from beamstream.sinks.formats import FORMATS, Format
from beamstream.sinks.hdf5 import Hdf5Sink
from plans.record import record

SLOW = 0.05  # s a frame; the camera makes ten in that time
TINY = 32 * 8192  # bytes; a ring of 32 frames
SMALL = 1 << 20  # bytes; full after 150 frames


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


class SlowSink(Hdf5Sink):
    """Take a tenth of the camera's frames in the camera's time."""

    def write(self, frames) -> int:
        kept = self.kept
        for frame in frames:
            time.sleep(SLOW)
            kept = super().write([frame])
        return kept


@pytest.fixture
def slow(monkeypatch) -> str:
    """The name of a format that is ten times too slow."""

    def make(path, wanted) -> SlowSink:
        return SlowSink(path, wanted.geometry, name=wanted.name, attributes=wanted.attributes)

    monkeypatch.setitem(FORMATS, "slow", Format("slow", ".h5", "ten times too slow", make))
    return "slow"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 1 MiB."""
    with small_disk_at(tmp_path / "small", SMALL) as where:
        yield where


def test_a_recorder_ten_times_too_slow_is_late_and_complete(engine, chain, docs, make, tmp_path, slow):
    chain.add(Recorder(tmp_path / "out", format=slow))
    engine(record([make(ring_memory=TINY)], num=80, flush_period=0.1))
    raw = docs.images("cam_image")
    assert len(raw) == 80
    assert np.array_equal(h5(only(tmp_path / "out")), raw)
    assert docs.stop["exit_status"] == "success"
    account = docs.account
    assert (account["recorder_frames"], account["recorder_undone"], account["recorder_error"]) == (80, 0, "")
    assert account["recorder_late"] > 0


def test_an_abort_does_not_wait_for_a_recorder_that_is_behind(engine, chain, docs, make, tmp_path, slow, later):
    cam = make(ring_memory=4 * TINY)  # a busy machine must not be the reason that it ends
    began: list[float] = []

    def abort() -> None:
        began.append(time.monotonic())
        engine.abort("enough")

    chain.add(Recorder(tmp_path / "out", format=slow))
    later(lambda: cam.ledger.account.recorded > 300, abort)
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=4000, flush_period=0.1))
    assert time.monotonic() - began[0] < 12
    account = docs.account
    assert docs.stop["exit_status"] == "abort"
    assert account["recorder_undone"] > 100
    kept = h5(only(tmp_path / "out"))
    assert len(kept) == account["recorder_frames"] > 0
    assert np.array_equal(kept, docs.images("cam_image")[: len(kept)])
    assert account["recorder_frames"] + account["recorder_undone"] == docs.told("cam_image")


def test_a_full_disk_fails_the_run_where_the_recorder_is_required(engine, chain, docs, cam, small_disk):
    chain.add(Recorder(small_disk / "out", format="zarr"))
    with pytest.raises(Exception, match=r"the disk is full .*make room"):
        engine(record([cam], num=2000, flush_period=0.1))
    assert docs.stop["exit_status"] == "fail"
    assert "the disk is full" in docs.stop["reason"]
    raw = docs.images("cam_image")
    assert 0 < len(raw) < 2000
    kept = READ["zarr"](only(small_disk / "out"))
    assert len(kept) > 50
    assert np.array_equal(kept, raw[: len(kept)])


def test_a_full_disk_is_in_the_account_where_the_recorder_is_optional(engine, chain, docs, cam, small_disk, caplog):
    chain.add(Recorder(small_disk / "out", format="npy", required=False))
    engine(record([cam], num=250, flush_period=0.1))
    assert docs.stop["exit_status"] == "success"
    assert docs.told("cam_image") == 250
    assert "the disk is full" in docs.account["recorder_error"]
    kept = np.load(only(small_disk / "out"))
    assert docs.account["recorder_undone"] == 250 - len(kept) > 0
    assert np.array_equal(kept, docs.images("cam_image")[: len(kept)])
    assert "the run goes on without it" in caplog.text


def test_a_directory_that_cannot_be_written_is_said(engine, chain, docs, cam, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    chain.add(Recorder(small_disk / "out"))
    with pytest.raises(Exception, match=r"Read-only file system for user .* have the rights"):
        engine(record([cam], num=20))
    assert docs.stop["exit_status"] == "fail"


def test_a_file_in_the_place_of_the_directory_is_said(engine, chain, docs, cam, tmp_path):
    (tmp_path / "out").write_text("mine")
    chain.add(Recorder(tmp_path / "out" / "deeper", required=False))
    engine(record([cam], num=20))
    assert docs.stop["exit_status"] == "success"
    assert "there is no directory" in docs.account["recorder_error"]
    assert (tmp_path / "out").read_text() == "mine"
