"""`beamstream record` against a simulated camera: files, accounts, exit statuses, Ctrl-C."""

import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_commands import CONTROLLED, FREE, GEOMETRY, started

from beamstream.archive.documents import decode
from beamstream.sim.pattern import Pattern

pytestmark = pytest.mark.usefixtures("beamline")
SOURCE = f"pva://{CONTROLLED.image}"
FREE_SOURCE = f"pva://{FREE.image}"


def put(pv: str, value: object) -> None:
    from caproto.sync.client import write

    write(pv, value, notify=True, timeout=5, repeater=False)


@pytest.fixture
def lossy():
    """Every tenth exposure of the controlled camera never arrives."""
    put("CLI:CAM:sim1:SkipEvery", 10)
    yield
    put("CLI:CAM:sim1:ClearFaults", 1)


def documents(archive: Path, uid: str) -> list[tuple[str, dict]]:
    return [tuple(decode(line)) for line in (archive / "journal" / f"{uid}.jsonl").read_bytes().splitlines(True)]


def same_as_shown(path: str | Path) -> int:
    pattern = Pattern(GEOMETRY)
    with h5py.File(path, "r") as file:
        group = file["entry/data"]
        ids = group["unique_id"][:]
        for unique_id, image in zip(ids, group["data"], strict=True):
            assert np.array_equal(image, pattern.image(int(unique_id)))
    return len(ids)


def test_frames_are_recorded_bit_by_bit_and_journaled(beamstream, tmp_path):
    metadata = ("--md", "sample=GaAs", "--md", "n=7")
    done = beamstream("record", SOURCE, "--control", "CLI:CAM:cam1:", "-n", 40, "-o", "data", *metadata, "--json")
    assert done.status == 0, done.err
    result = done.json
    assert (result["recorded"], result["lost"], result["exit_status"], result["scan_id"]) == (40, 0, "success", 1)
    assert result["ledger"]["cam"]["received"] == 40
    assert same_as_shown(result["files"]["cam"]) == 40
    found = documents(tmp_path / "data", result["uid"])
    assert found[0][1]["sample"] == "GaAs"
    assert found[0][1]["n"] == 7
    assert found[-1][1]["num_events"] == {"primary": 40, "ledger": 1}


def test_a_configured_detector_is_named_by_its_name_and_people_get_a_table(beamstream, tmp_path):
    done = beamstream("record", "camera", "--num", 5)
    assert done.status == 0, done.err
    assert "success" in done.out
    assert "recorded" in done.out
    (file,) = (tmp_path / "archive" / "recordings").rglob("camera_*.h5")
    assert str(file) in done.out
    assert "not served; beamstream serve" in done.out
    assert same_as_shown(file) == 5


def test_seconds_take_what_a_free_running_camera_sends(beamstream):
    result = beamstream("record", FREE_SOURCE, "--seconds", 1, "--out", "data", "--json").json
    assert 50 <= result["recorded"] <= 130
    assert result["lost"] == 0
    assert same_as_shown(result["files"]["cam"]) == result["recorded"]


@pytest.mark.usefixtures("lossy")
def test_lost_frames_are_marked_and_have_an_exit_status_of_their_own(beamstream):
    done = beamstream("record", "camera", "--num", 40, "--json")
    assert done.status == 3
    assert (done.json["recorded"], done.json["lost"], done.json["exit_status"]) == (36, 4, "success")
    assert len(done.json["ledger"]["camera"]["gaps"]) == 4


@pytest.mark.usefixtures("lossy")
def test_lost_frames_fail_the_run_where_that_is_asked_for(beamstream, tmp_path):
    done = beamstream("record", "camera", "--num", 40, "--on-loss", "fail", "--json")
    done.failed_with()
    assert done.json["exit_status"] == "fail"
    assert "on_loss is 'fail'" in done.json["error"]
    assert documents(tmp_path / "archive", done.json["uid"])[-1][1]["exit_status"] == "fail"
    told = beamstream("record", "camera", "--num", 40, "--on-loss", "fail")
    told.failed_with("beamstream: camera: 1 frames lost")
    assert "recorded" in told.out, "the account is shown all the same"


def test_ctrl_c_closes_the_run_and_the_file_and_a_second_one_does_no_harm(tmp_path, wait_for):
    arguments = ("record", FREE_SOURCE, "--seconds", 60, "--out", "data", "--json")
    with started(tmp_path, *arguments) as running:
        growing = tmp_path / "data" / "recordings"
        wait_for(lambda: [p for p in growing.rglob("*.h5") if p.stat().st_size > 3_000_000], 30, "frames in the file")
        done = running.end(signal.SIGINT, signal.SIGINT)
    assert done.status == 130
    assert "Traceback" not in done.err
    assert "ended by Ctrl-C" in done.err
    result = json.loads(done.out)
    assert (result["exit_status"], result["lost"]) == ("abort", 0)
    assert same_as_shown(result["files"]["cam"]) == result["recorded"] > 0
    stop = documents(tmp_path / "data", result["uid"])[-1][1]
    assert stop["exit_status"] == "abort"
    assert stop["num_events"]["primary"] == result["recorded"]


def test_sigterm_closes_the_run_too(tmp_path, wait_for):
    with started(tmp_path, "record", FREE_SOURCE, "--seconds", 60, "--out", "data", "--json") as running:
        wait_for(lambda: list((tmp_path / "data").rglob("*.h5")), 30, "the file")
        done = running.end(signal.SIGTERM)
    assert done.status == 143
    assert json.loads(done.out)["exit_status"] == "abort"


@pytest.mark.parametrize(("deleted", "words"), [("recordings", "cam"), ("journal", "run")])
def test_what_was_deleted_while_it_was_recorded_is_no_success(tmp_path, wait_for, deleted, words):
    with started(tmp_path, "record", FREE_SOURCE, "--seconds", 3, "--out", "data", "--json") as running:
        journal = tmp_path / "data" / "journal"
        wait_for(
            lambda: any(b"stream_datum" in path.read_bytes() for path in journal.glob("*.jsonl")),
            30,
            "frames announced",
        )
        for path in [path for path in (tmp_path / "data" / deleted).rglob("*") if path.is_file()]:
            path.unlink()
        running.process.wait(60)
        done = running.end()
    assert done.status == 1, done
    assert json.loads(done.out)["exit_status"] == "fail"
    assert words in json.loads(done.out)["error"]


def test_a_killed_recording_is_recovered_with_every_frame_on_disk(beamstream, tmp_path, wait_for):
    with started(tmp_path, "record", FREE_SOURCE, "--seconds", 60, "--out", "data", "--json") as running:
        growing = tmp_path / "data" / "recordings"
        wait_for(lambda: [p for p in growing.rglob("*.h5") if p.stat().st_size > 6_000_000], 30, "frames in the file")
        running.end(signal.SIGKILL)
    doctor = beamstream("doctor", "--json", env={"BEAMSTREAM_CONFIG": str(_config_of(tmp_path / "data"))})
    (found,) = [f for f in doctor.json if f["area"] == "journal" and f["level"] == "warn"]
    assert found["advice"] == "beamstream recover"
    done = beamstream("recover", "--archive", "data", "--json")
    assert done.status == 0
    (closed,) = done.json
    assert closed["outcome"] == "closed"
    (file,) = closed["files"]
    assert same_as_shown(file) == closed["num_events"]["primary"] > 0
    assert "no interrupted run" in beamstream("recover", "--archive", "data").out
    # the next recording of that detector clears away the dead one's shared memory
    assert beamstream("record", FREE_SOURCE, "--num", 3, "--out", "data").status == 0


def _config_of(archive: Path) -> Path:
    file = archive.parent / "recovered.toml"
    file.write_text(f'[archive]\ndirectory = "{archive}"\nport = 0\n')
    return file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["pva://CLI:NO:Pva1:Image", "--timeout", 1],
            "the PV CLI:NO:Pva1:Image did not answer within 1 s; is the",
        ),
        (["pva://CLI:CAM:Pva1:Scalar"], "an NTNDArray asked for"),
        (
            ["udp://127.0.0.1:9798"],
            "its scheme is unknown; write pva://PREFIX:Pva1:Image or zmq://HOST:PORT or video:film.mkv",
        ),
        (["zmq://127.0.0.1"], "an address reads tcp://HOST:PORT, like tcp://127.0.0.1:9798"),
        (["zmq://127.0.0.1:70000"], "the port '70000' is none; use a number from 1 to 65535"),
        (["zmq://127.0.0.1:9", "--timeout", 0.5], "no publisher at tcp://127.0.0.1:9 within 0.5 s"),
        (["zmq://127.0.0.1:9", "--control", "CLI:CAM:cam1:"], "control asked for, zmq://127.0.0.1:9 has none"),
        (["pva://"], "pva:// names no PV; write pva://PREFIX:Pva1:Image"),
        (
            ["motor"],
            "zmq://HOST:PORT or video:film.mkv or webcam:0 or camera",
        ),
        ([SOURCE, "--control", "CLI:CAM:cam1"], "a PV prefix ends in a colon; write 'CLI:CAM:cam1:'"),
        ([SOURCE, "--name", "RE"], "the session has something else of this name; choose another"),
        ([SOURCE, "--out", "/proc/nowhere"], "/proc/nowhere cannot be made"),
        ([SOURCE, "--out", "beamstream.toml"], "beamstream.toml cannot be made"),
    ],
)
def test_what_cannot_be_recorded_is_said_in_one_line(beamstream, arguments, words):
    done = beamstream("record", *arguments, "--num", 3)
    done.failed_with("beamstream: ", words)
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "neither given; give one of them"),
        (["--num", 3, "--seconds", 3], "both given; give one of them"),
        (["--num", 0], "should be greater than or equal to 1"),
        (["--seconds", -1], "-1 given; use a time above 0"),
        (["--num", 3, "--md", "novalue"], "write KEY=VALUE"),
        (["--num", 3, "--md", "uid=7"], "uid is not yours to set"),
        (["--num", 3, "--on-loss", "ignore"], "ignore"),
    ],
)
def test_wrong_options_are_wrong_usage(beamstream, arguments, words):
    beamstream("record", SOURCE, *arguments).failed_with(words, status=2)
