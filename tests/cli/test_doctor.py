"""`beamstream doctor` on machines that are well and on machines that are not."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_commands import Done
from pva_camera import WRONG, PvaCamera


def findings(done: Done, area: str) -> list[dict]:
    return [finding for finding in done.json if finding["area"] == area]


def levels(done: Done, area: str) -> list[str]:
    return [finding["level"] for finding in findings(done, area)]


@pytest.mark.usefixtures("beamline")
def test_a_simulated_beamline_is_well(beamstream, tmp_path):
    done = beamstream("doctor", "--json")
    assert done.status == 0, done.out
    assert levels(done, "camera") == ["ok", "ok", "ok"]
    image, rate, control = (f["text"] for f in findings(done, "camera"))
    assert image == "CLI:CAM:Pva1:Image sends 128 × 160 uint16"
    assert "it waits for CLI:CAM:cam1:Acquire" in rate
    assert "answers over Channel Access" in control
    (_, seen) = findings(done, "free")
    frames_per_second = float(seen["text"].split(" frames/s")[0])
    assert 60 < frames_per_second < 140
    assert "none lost" in seen["text"]
    assert levels(done, "motor") == ["ok"]
    assert levels(done, "disk speed") == ["ok", "ok"]
    assert not list((tmp_path).rglob(".beamstream-doctor-*"))
    assert levels(done, "archive") == ["warn"], "nobody serves it"


def test_without_the_beamline_it_fails_and_says_what_to_do(beamstream, tmp_path):
    (tmp_path / "beamstream.toml").write_text(
        '[archive]\ndirectory = "archive"\nport = 0\n[devices.lonely]\n'
        'kind = "pva_detector"\npv = "NO:CAM:Pva1:Image"\n'
        '[devices.stage]\nkind = "motor"\npv = "NO:MTR1"\n'
    )
    done = beamstream("doctor")
    assert done.status == 1
    assert "Traceback" not in done.err + done.out
    assert "the PV NO:CAM:Pva1:Image did not answer" in done.out
    assert "EPICS_PVA_ADDR_LIST is 127.0.0.1" in done.out
    assert "NO:MTR1 does not answer over Channel Access" in done.out
    assert "2 failures" in done.out


def test_a_configuration_that_is_wrong_is_a_finding(beamstream, tmp_path):
    (tmp_path / "beamstream.toml").write_text("[archve]\n")
    done = beamstream("doctor", "--json")
    assert done.status == 1
    (finding,) = findings(done, "config")
    assert "did you mean archive?" in finding["text"]


def ill(tmp_path: Path, recording: str = "data", port: int = 0) -> Path:
    archive = tmp_path / "archive"
    (archive / "journal" / "refused").mkdir(parents=True)
    (tmp_path / "beamstream.toml").write_text(
        f'[archive]\ndirectory = "archive"\nport = {port}\n[recording]\ndirectory = "{recording}"\n'
    )
    return archive


def test_a_key_that_others_may_have_read_a_taken_port_and_refused_runs_are_found(beamstream, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        archive = ill(tmp_path, port=taken.getsockname()[1])
        (archive / "api_key").write_text("abc\n")
        (archive / "api_key").chmod(0o644)
        (archive / "journal" / "refused" / "0123456789.txt").write_text("ValueError: no such mimetype\n")
        done = beamstream("doctor", "--json")
    assert done.status == 1
    assert levels(done, "key") == ["fail"]
    assert "mode 644" in findings(done, "key")[0]["text"]
    assert levels(done, "archive") == ["fail"]
    assert "cannot be listened on" in findings(done, "archive")[0]["text"]
    refused = [f for f in findings(done, "journal") if f["level"] == "warn"]
    assert "no such mimetype" in refused[0]["text"]
    assert levels(done, "devices") == ["warn"], "the configuration describes none"


def test_a_recording_directory_that_cannot_be_written_is_found(beamstream, tmp_path):
    (tmp_path / "file").write_text("")
    ill(tmp_path, recording="file/below")
    done = beamstream("doctor", "--json")
    assert done.status == 1
    assert levels(done, "disk") == ["fail"]


def test_an_interrupted_run_is_told_from_one_that_is_open(beamstream, tmp_path):
    from beamstream.callbacks.journal import Journal

    archive = ill(tmp_path)
    (archive / "journal" / "dead-run.jsonl").write_text(
        json.dumps({"name": "start", "doc": {"uid": "dead-run", "time": 1.0}}) + "\n"
    )
    alive = Journal(archive / "journal")
    alive("start", {"uid": "live-run", "time": 1.0})
    try:
        texts = [f["text"] for f in findings(beamstream("doctor", "--json"), "journal")]
    finally:
        alive.close()
    assert texts == ["1 interrupted runs: dead-run", "1 runs open, 0 wait to be filed"]


def test_what_callbacks_lack_is_found_before_a_run(beamstream, tmp_path):
    (tmp_path / "beamstream.toml").write_text(
        '[archive]\ndirectory = "archive"\nport = 0\n[callbacks.flat_field]\ndark = "dark.npy"\n'
        '[callbacks.pipeline]\nfile = "processors.json"\n'
        '[devices.lonely]\nkind = "pva_detector"\npv = "NO:CAM:Pva1:Image"\n'
    )
    done = beamstream("doctor", "--json")
    flat, dark = findings(done, "flat field")
    assert (flat["level"], flat["text"]) == ("fail", "there is no flat of lonely")
    assert flat["advice"] == "RE(flats(lonely, 20))"
    assert "there is no dark" in dark["text"]
    (pipeline,) = findings(done, "pipeline")
    assert pipeline["level"] == "fail"
    assert "processors.json" in pipeline["text"]


@pytest.fixture
def stranger(tmp_path) -> Iterator[PvaCamera]:
    """Describe a camera that is none of ours in the configuration."""
    (tmp_path / "beamstream.toml").write_text(
        '[archive]\ndirectory = "archive"\nport = 0\n[devices.camera]\nkind = "pva_detector"\npv = "DOC:CAM:Image"\n'
    )
    with PvaCamera("DOC:CAM:Image") as camera:
        yield camera


def test_a_camera_that_contradicts_itself_is_a_failure_with_what_to_correct(beamstream, stranger):
    wrong, _ = WRONG["pixel type"]
    stranger.post([(1, None)], wrong=wrong)
    done = beamstream("doctor", "--json")
    assert done.status == 1
    (finding,) = findings(done, "camera")
    assert "int32 lz4 is 12288 bytes, uncompressedSize is 3072" in finding["text"]
    assert finding["advice"].startswith("correct dimension, codec.parameters or uncompressedSize")
    assert "EPICS_PVA_ADDR_LIST" not in finding["advice"]


def test_a_camera_whose_clock_counts_from_power_on_is_named_with_what_follows(beamstream, stranger):
    stranger.run(0.05, 0.0, -1_700_000_000.0)
    done = beamstream("doctor", "--json")
    texts = [finding["text"] for finding in findings(done, "camera")]
    assert any("its clock is 19676 days behind ours: frames are dated by their arrival" in text for text in texts)
    assert levels(done, "camera") == ["ok", "ok", "warn"]


def test_a_camera_that_does_not_number_its_frames_is_named_with_what_follows(beamstream, stranger):
    stranger.run(0.05, 0.0, numbers="0")
    done = beamstream("doctor", "--json")
    (_, seen, numbers) = findings(done, "camera")
    assert "lost" not in seen["text"]
    assert (numbers["level"], "losses cannot be counted" in numbers["text"]) == ("warn", True)
