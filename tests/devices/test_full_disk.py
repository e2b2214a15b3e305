"""A disk that fills up in the middle of a run ends it with words, in time, and with all that it took readable."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import h5py
import numpy as np
import pytest
from bluesky.utils import FailedStatus
from ophyd import EpicsSignalRO
from small_disks import small_disk_at

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import Geometry
from beamstream.sim.pattern import Pattern
from plans.record import record

SMALL = 6 << 20  # bytes; 24 KB a frame and 1 MB of books: full after 200 frames, one second
TIMEOUT = 2.0  # s, the detector's
PERIOD = 0.005  # s
PLANS: dict[str, Callable[[Any], Any]] = {
    "flight": lambda cam: record([cam], num=2000, flush_period=0.1),
    "steps": lambda cam: bp.count([cam], num=2000),
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of a few MiB."""
    with small_disk_at(tmp_path / "small", SMALL) as where:
        yield where


@pytest.fixture
def acquiring(beamline) -> Iterator[EpicsSignalRO]:
    """Whether the camera acquires, as it says itself."""
    signal = EpicsSignalRO("DEV:A:cam1:Acquire_RBV", name="acquire")
    signal.wait_for_connection(timeout=5)
    yield signal
    signal.destroy()


def _cause(raised) -> BaseException:
    error = raised.value
    while isinstance(error, FailedStatus) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _assert_bit_exact(path: Path) -> list[int]:
    """Return the ids of a file whose every frame is right."""
    pattern = Pattern(Geometry((96, 128), "<u2"))
    with h5py.File(path) as file:
        group: Any = file["entry/data"]
        lengths = {key: len(group[key]) for key in ("data", "unique_id", "timestamp", "received")}
        ids = group["unique_id"][:].tolist()
        assert set(lengths.values()) == {len(ids)}
        for image, unique_id in zip(group["data"], ids, strict=True):
            np.testing.assert_array_equal(image, pattern.image(unique_id), f"frame {unique_id}")
    return ids


@pytest.mark.parametrize("plan", PLANS)
def test_a_run_fails_in_time_and_says_what_to_do(engine, docs, make, faults, small_disk, plan):
    cam = make(directory=small_disk, timeout=TIMEOUT)
    begun = time.monotonic()
    with pytest.raises(FailedStatus) as raised:
        engine(PLANS[plan](cam))
    took = time.monotonic() - begun
    error = _cause(raised)
    assert isinstance(error, SinkError)
    assert isinstance(error, DiskFull)
    for words in ("cam: ", str(small_disk), "the disk is full", "make room, or record to another directory"):
        assert words in str(error)
    assert docs.stop["exit_status"] == "fail"
    assert took < 2000 * PERIOD  # not only when the camera was done


def test_the_stop_document_says_what_to_do(engine, docs, make, faults, small_disk):
    cam = make(directory=small_disk, timeout=TIMEOUT)
    with pytest.raises(FailedStatus):
        engine(PLANS["flight"](cam))
    assert "the disk is full" in docs.stop["reason"]
    assert "make room, or record to another directory" in docs.stop["reason"]


@pytest.mark.parametrize("plan", PLANS)
def test_what_was_recorded_is_readable_and_the_rest_is_in_the_ledger(engine, docs, make, faults, small_disk, plan):
    cam = make(directory=small_disk, timeout=TIMEOUT)
    with pytest.raises(FailedStatus):
        engine(PLANS[plan](cam))
    ids = _assert_bit_exact(cam.path)
    assert len(ids) > 100
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    with h5py.File(cam.path) as file:
        assert file["entry"].attrs["complete"] == 0
    account = cam.ledger.account
    assert account.recorded == len(ids)
    assert account.lost > 0
    assert account.received == account.recorded + account.discarded + account.lost
    ledger = docs.ledger
    assert ledger["cam_ledger_recorded"] == len(ids)
    assert ledger["cam_ledger_lost"] == account.lost
    gaps = json.loads(ledger["cam_ledger_gaps"])
    assert gaps == [{"after": ids[-1], "missing": account.lost, "place": "disk"}]


def test_documents_tell_of_what_is_in_the_file_and_of_no_more(engine, docs, make, faults, small_disk):
    cam = make(directory=small_disk, timeout=TIMEOUT)
    with pytest.raises(FailedStatus):
        engine(PLANS["flight"](cam))
    ids = _assert_bit_exact(cam.path)
    assert docs.stop["num_events"]["primary"] == len(ids)
    told: dict[str, int] = {}
    for datum in docs.of("stream_datum"):
        told[datum["stream_resource"]] = datum["indices"]["stop"]
    assert set(told.values()) == {len(ids)}
    assert len(told) == 6


def test_the_camera_is_given_back_and_the_next_run_on_a_good_disk_is_whole(
    engine, docs, make, faults, small_disk, acquiring, tmp_path
):
    cam = make(directory=small_disk, timeout=TIMEOUT)
    cam.control.wait_for_connection(timeout=5)
    cam.control.num_images.put(7, wait=True)
    cam.control.image_mode.put(2, wait=True)
    with pytest.raises(FailedStatus):
        engine(PLANS["flight"](cam))
    assert acquiring.get(as_string=False) == 0
    assert cam.control.num_images.get() == 7
    assert cam.control.image_mode.get(as_string=False) == 2
    good = make(name="good", directory=tmp_path / "good", timeout=TIMEOUT)
    engine(record([good], num=50, flush_period=0.1))
    assert docs.stop["exit_status"] == "success"
    assert (good.ledger.account.recorded, good.ledger.account.lost) == (50, 0)
    assert len(_assert_bit_exact(good.path)) == 50


def test_the_same_detector_records_again_when_there_is_room(engine, docs, make, faults, small_disk):
    cam = make(directory=small_disk, timeout=TIMEOUT)
    with pytest.raises(FailedStatus):
        engine(PLANS["flight"](cam))
    full = cam.path
    with pytest.raises(DiskFull, match="make room"):  # before anything moves
        engine(PLANS["flight"](cam))
    full.unlink()
    engine(record([cam], num=50, flush_period=0.1))
    assert docs.stop["exit_status"] == "success"
    assert cam.ledger.account.whole
    assert len(_assert_bit_exact(cam.path)) == 50
