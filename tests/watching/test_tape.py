"""Recording what is looked at: every frame, into a file that nothing else is lost for."""

import fcntl
import os
import signal
import threading
import time

import h5py
import numpy as np
import pytest
import tifffile

from beamstream.errors import ConfigurationError
from beamstream.frames import Geometry
from beamstream.watching.streams import StreamSpec
from beamstream.watching.tape import Tape, TapeSettings

SPEC = StreamSpec("camera")


@pytest.fixture
def record(tmp_path):
    """Return a function that begins to record below `tmp_path`; ended afterwards."""
    tapes: list[Tape] = []

    def start(directory: str = "", prefix: str = "look", format: str = "tiff") -> Tape:
        tapes.append(Tape(SPEC, TapeSettings(str(tmp_path), directory, prefix, format)))
        tapes[-1].start()
        return tapes[-1]

    yield start
    for tape in tapes:
        tape.close()


@pytest.fixture
def camera(session):
    """A session whose camera runs by itself, 100 frames/s."""
    running = session(slots=64)
    running.put()
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(0.01):
            running.put()

    thread = threading.Thread(target=run)
    running.stop = lambda: (stopping.set(), thread.join())
    thread.start()
    yield running
    running.stop()


def ended(tape: Tape, wait_for) -> dict:
    wait_for(lambda: not tape.running, what="the recording to end")
    return tape.status


def test_every_frame_from_now_on_becomes_a_numbered_tiff_and_nothing_is_overwritten(record, camera, tmp_path, wait_for):
    for prefix in ("look", "look-2"):
        tape = record("today")
        wait_for(lambda tape=tape: tape.status["written"] >= 10, what="frames on disk")
        assert tape.status["state"] == "recording"
        tape.stop()
        status = ended(tape, wait_for)
        assert (status["state"], status["lost"], status["restarts"]) == ("done", 0, 0)
        assert status["received"] == status["written"]
        assert f"{status['written']} frames in {tmp_path}/today/{prefix}_000001.tiff" in status["words"]
        assert "nothing is missing" in status["words"]
        files = sorted((tmp_path / "today").glob(f"{prefix}_*.tiff"))
        assert len(files) == status["written"]
        assert files[0].name == f"{prefix}_000001.tiff"
        ids = [int(tifffile.imread(file)[0, 0]) for file in files]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert ids[0] > 1  # the one that was there before does not count


def test_frames_that_the_camera_lost_are_counted(record, camera, wait_for):
    tape = record(format="hdf5")
    wait_for(lambda: tape.status["written"] >= 5, what="frames on disk")
    camera.stop()
    camera.put(skip=9)
    camera.put(5)
    wait_for(lambda: tape.status["lost"] == 9, what="the loss to be seen")
    tape.stop()
    status = ended(tape, wait_for)
    assert "9 frames are missing" in status["words"]
    with h5py.File(status["path"]) as file:
        assert file["entry/data/data"].shape[0] == status["written"] == status["received"]


def test_a_change_of_geometry_ends_the_recording_in_words(record, camera, wait_for):
    tape = record(format="npy")
    wait_for(lambda: tape.status["written"] >= 5, what="frames on disk")
    camera.stop()
    camera.put(geometry=Geometry((4, 5), "|u1"))
    status = ended(tape, wait_for)
    assert status["state"] == "done"
    assert "frames were 48 × 64 uint16, now 4 × 5 uint8; record anew" in status["words"]
    assert np.load(status["path"]).shape == (status["written"], 48, 64)


def test_a_recording_whose_viewer_dies_is_finished_all_the_same(record, camera, tmp_path, wait_for):
    tape = record(format="npy")
    wait_for(lambda: tape.status["written"] >= 5, what="frames on disk")
    tape._child._stdin.close()  # what the kernel does when its parent is killed
    wait_for(lambda: not tape._child.alive, what="it to end")
    assert len(np.load(tmp_path / "look.npy")) >= 5


def test_a_recorder_that_is_killed_is_said_to_be_gone_and_leaves_what_it_had(record, camera, tmp_path, wait_for):
    tape = record()
    wait_for(lambda: tape.status["written"] >= 5, what="frames on disk")
    os.kill(tape.pid, signal.SIGKILL)
    status = ended(tape, wait_for)
    assert status["state"] == "failed"
    assert "ended and said" in status["words"]
    assert len(list(tmp_path.glob("look_*.tiff"))) >= status["written"]


def test_without_frames_it_waits_in_words_and_makes_no_file(record, tmp_path, wait_for):
    tape = record()
    wait_for(lambda: "nobody writes" in tape.status["words"], what="words")
    assert tape.status["state"] == "waiting"
    tape.stop()
    assert "no frame came" in ended(tape, wait_for)["words"]
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_an_error_in_words(record, camera, tmp_path, wait_for):
    (tmp_path / "file").write_text("")
    status = ended(record("file/below"), wait_for)
    assert status["state"] == "failed"
    assert "Not a directory" in status["words"]


def test_a_link_out_of_the_root_is_not_followed(record, camera, tmp_path, wait_for):
    (tmp_path / "out").symlink_to("/tmp")
    status = ended(record("out"), wait_for)
    assert status["state"] == "failed"
    assert "leads out of" in status["words"]


@pytest.mark.parametrize(
    ("directory", "prefix", "format", "said"),
    [
        ("..", "x", "tiff", "directory"),
        ("a/../../b", "x", "tiff", "directory"),
        ("/etc", "x", "tiff", "not below"),
        ("", "../x", "tiff", "prefix"),
        ("", "", "tiff", "prefix"),
        ("", "x/y", "tiff", "prefix"),
        ("", "x", "exe", "format"),
    ],
)
def test_names_that_lead_elsewhere_are_refused_at_once(tmp_path, directory, prefix, format, said):
    with pytest.raises(ConfigurationError, match=said):
        TapeSettings(str(tmp_path), directory, prefix, format)


def test_an_absolute_directory_below_the_root_is_taken(tmp_path):
    assert TapeSettings(str(tmp_path), f"{tmp_path}/a/b").place() == tmp_path / "a" / "b"
    with pytest.raises(ConfigurationError, match="no directory"):
        TapeSettings("")


def test_a_viewer_that_does_not_listen_does_not_hold_up_the_recording(record, camera, tmp_path, wait_for):
    tape = record()
    fcntl.fcntl(tape._child._stdout, fcntl.F_SETPIPE_SZ, 4096)  # full after ten words
    wait_for(lambda: (tmp_path / "look_000400.tiff").exists(), what="frames on disk")
    tape.stop()
    status = ended(tape, wait_for)
    assert (status["state"], status["lost"]) == ("done", 0)
    assert status["written"] >= 400


def test_starting_and_asking_wait_for_nothing(record, camera):
    tape = record()
    assert tape.status["state"] == "waiting"  # its process takes longer
    began = time.thread_time()
    for _ in range(100):
        assert tape.status["state"] in ("waiting", "recording")
    assert time.thread_time() - began < 0.5
