"""`beamstream demo`: the whole walk, and nothing left of it."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
from cli_commands import image, started

SHORT = ("demo", "--seconds", 2, "--shape", "256x320")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its temporary directory."""
    place = tmp_path / "tmp"
    place.mkdir()
    return place


def test_every_frame_comes_back_and_only_a_picture_stays(beamstream, temporary):
    done = beamstream(*SHORT, env={"TMPDIR": str(temporary), "BEAMSTREAM_API_KEY": "of another archive"}, timeout=100)
    assert done.status == 0, done.out + done.err
    assert "every frame came back bit by bit" in done.out
    assert "100 frames, 0 different" in done.out
    assert "5 frames, 0 different" in done.out
    (place,) = temporary.iterdir()
    (picture,) = place.iterdir()
    assert image(picture).size == (320, 256)
    assert str(picture) in done.out


def test_kept_it_shows_curl_lines_that_work_until_ctrl_c(tmp_path, temporary):
    place = tmp_path / "kept"
    with started(tmp_path, *SHORT, "--keep", "--dir", place, env={"TMPDIR": str(temporary)}) as demo:
        lines = [demo.line(100)]
        while "unique_id?" not in lines[-1].replace("_unique_id?", "unique_id?"):
            lines.append(demo.line(100))
            assert lines[-1], demo.err
        shown = [line.strip() for line in lines if line.startswith("curl ")]
        assert len(shown) == 6
        for line in shown:
            subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True, capture_output=True, timeout=30)
        ended = demo.end(signal.SIGINT)
    assert image(tmp_path / "frame.png").size == (320, 256)
    assert ended.status == 0, ended
    assert list((place / "archive" / "recordings").rglob("*.h5"))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("after", ["simulated beamline", "RunEngine"])
def test_ctrl_c_at_any_time_leaves_nothing(tmp_path, temporary, after):
    with started(tmp_path, "demo", "--seconds", 30, "--shape", "256x320", env={"TMPDIR": str(temporary)}) as demo:
        while after not in demo.line(60):
            pass
        ended = demo.end(signal.SIGINT, signal.SIGINT)
    assert ended.status == 130
    assert "Traceback" not in ended.err
    assert "ended by Ctrl-C" in ended.err
    assert not list(temporary.iterdir())


def test_a_disk_without_room_is_refused_before_anything_starts(beamstream):
    done = beamstream("demo", "--seconds", 3600, "--fps", 1000, "--shape", "4096x4096")
    done.failed_with("beamstream: demo:", "free in")
    assert re.search(r"use --dir or fewer --seconds", done.err)
