"""Cameras that number their frames in ways of their own are recorded as frames come, and what is doubtful is named."""

import time
from collections.abc import Callable

import bluesky.plans as bp
import h5py
import pytest
from pva_camera import NUMBERS

from devices.pva_detector import PvaDetector
from plans.record import record

WORDS = {
    "0": "uniqueId does not move, it is 0",
    "7": "uniqueId does not move, it is 7",
    "by 2": "unique_id goes up by 2 from frame to frame",
    "anew each 10": "unique_id ran back from 9 to 0",
    "back": "unique_id goes down",
}


@pytest.fixture
def numbering(detector_of) -> Callable[[str], PvaDetector]:
    """Make a detector of a camera that runs by itself and numbers its frames so."""
    return lambda numbers: detector_of(0.01, 0.0, numbers=numbers)


@pytest.mark.parametrize("numbers", NUMBERS)
def test_every_frame_is_recorded_and_the_run_is_whole_only_where_the_numbers_show_it(
    engine, docs, numbering, caplog, numbers
):
    cam = numbering(numbers)
    engine(record([cam], num=60, flush_period=0.1))
    account = cam.ledger.account
    assert docs.stop["exit_status"] == "success"
    assert account.recorded == 60
    with h5py.File(cam.path) as file:
        pixels = file["entry/data/data"][:, 0, 0].astype(int)
    assert len({int(a) for a in pixels}) == 60, "no frame is there twice"
    texts = [entry.getMessage() for entry in caplog.records if entry.name == "beamstream.losses"]
    if numbers in WORDS:
        assert not account.whole
        assert any(WORDS[numbers] in text for text in texts)
        assert len(texts) <= 4, "one line a frame is a flood"
    elif not account.lost:  # of a machine that is busy
        assert account.whole


@pytest.mark.parametrize("numbers", ["0", "7"])
def test_a_count_of_a_camera_that_does_not_number_its_frames_is_never_whole(engine, docs, numbering, caplog, numbers):
    cam = numbering(numbers)
    before = time.time()
    engine(bp.count([cam], 3))
    account = cam.ledger.account
    assert docs.stop["num_events"]["primary"] == 3
    assert (account.recorded, account.lost, account.whole) == (3, 0, False)
    assert caplog.text.count(WORDS[numbers]) == 1
    with h5py.File(cam.path) as file:
        assert (file["entry/data/timestamp"][:] >= before).all()
