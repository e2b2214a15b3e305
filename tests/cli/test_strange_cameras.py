"""`beamstream record` and `beamstream flats` with cameras that number, stamp and describe their frames oddly."""

import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from pva_camera import WRONG, PvaCamera

SOURCE = "pva://REC:CAM:Image"
CONFIG = """[archive]
directory = "data"
port = 0
start = "no"
[live]
enabled = false
[devices.camera]
kind = "pva_detector"
pv = "REC:CAM:Image"
"""


@pytest.fixture
def camera() -> Iterator[PvaCamera]:
    with PvaCamera("REC:CAM:Image") as camera:
        yield camera


def test_a_camera_that_does_not_number_its_frames_is_recorded_and_what_is_lost_is_not_known(beamstream, camera):
    camera.run(0.02, 0.0, numbers="0")
    done = beamstream("record", SOURCE, "--num", 5, "--out", "data")
    assert done.status == 3, done.out
    assert "uniqueId does not move, it is 0" in done.err
    assert "it is unknown whether every frame came" in " ".join(done.err.split())


def test_a_camera_that_contradicts_itself_is_not_called_one_without_a_frame(beamstream, camera):
    wrong, _ = WRONG["pixel type"]
    camera.post([(1, time.time())], wrong=wrong)
    done = beamstream("record", SOURCE, "--num", 5, "--out", "data", "--timeout", 2)
    assert done.status == 1
    assert "int32 lz4 is 12288 bytes, uncompressedSize is 3072" in done.err
    assert "acquire one frame" not in done.err


@pytest.mark.parametrize("clock", [4711.0 - time.time(), 3 * 86400.0], ids=["uptime", "to come"])
def test_a_flat_of_a_camera_whose_clock_is_wrong_is_as_old_as_it_is(beamstream, camera, tmp_path: Path, clock):
    camera.run(0.02, 0.0, clock)
    (tmp_path / "beamstream.toml").write_text(CONFIG)
    before = time.time()
    assert beamstream("flats", "camera", "--num", 3).status == 0
    flats = '[callbacks.flat_field]\nflat = "latest"\nmax_age_hours = 1.0\n'
    (tmp_path / "beamstream.toml").write_text(CONFIG + flats)
    done = beamstream("record", "camera", "--num", 5)
    assert done.status == 0, done.err
    assert "days behind ours" in done.err or "days ahead of ours" in done.err
    (corrected,) = (tmp_path / "data").rglob("*_corrected.h5")
    with h5py.File(corrected) as file:
        times: list[float] = file["entry/data/timestamp"][:].tolist()
    assert before <= times[0] <= times[-1] <= time.time()
