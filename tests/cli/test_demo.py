"""`beamstream demo`: the whole walk, and nothing left of it."""

import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from cli_commands import image, started

SHORT = ("demo", "--seconds", 2, "--shape", "256x320")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its temporary directory."""
    place = tmp_path / "tmp"
    place.mkdir()
    return place


def test_every_frame_comes_back_and_only_pictures_stay(beamstream, temporary):
    done = beamstream(*SHORT, env={"TMPDIR": str(temporary), "BEAMSTREAM_API_KEY": "of another archive"}, timeout=100)
    assert done.status == 0, done.out + done.err
    assert "every frame came back bit by bit" in done.out
    assert "100 frames, 0 different" in done.out
    assert "5 frames, 0 different" in done.out
    (place,) = temporary.iterdir()
    pictures = {picture.name: image(picture).size for picture in place.iterdir()}
    assert pictures == {"frame.png": (320, 256), "rheed.png": (500, 300)}
    assert all(str(place / name) in done.out for name in pictures)
    grown = re.search(r"growth +steps heat and GaAs, (\d+) frames recorded, 0 lost", done.out)
    uploaded = re.search(r"compare the upload +(\d+) frames, 0 different", done.out)
    assert grown
    assert uploaded
    assert int(grown[1]) == int(uploaded[1]) > 240


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
    assert {file.name.split("_")[0] for file in (place / "archive/recordings").rglob("*.h5")} == {"camera", "gun"}
    assert list((place / "archive/ingest/streams").glob("*/frames/zarr.json"))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("after", ["simulated beamline", "RunEngine", "ingest"])
def test_ctrl_c_at_any_time_leaves_nothing(tmp_path, temporary, after, wait_for):
    seconds = 1 if after == "ingest" else 30  # the growth comes after the recording
    with started(tmp_path, "demo", "--seconds", seconds, "--shape", "256x320", env={"TMPDIR": str(temporary)}) as demo:
        while after not in demo.line(60):
            pass
        ended = demo.end(signal.SIGINT, signal.SIGINT)
    assert ended.status == 130
    assert "Traceback" not in ended.err
    assert "ended by Ctrl-C" in ended.err
    assert not list(temporary.iterdir())
    wait_for(lambda: not _processes(temporary), timeout=10, what="all processes of the demo to end")


def _processes(place: Path) -> list[str]:
    """Return the command lines that name a place."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [" ".join(line) for line in lines if any(str(place) in word for word in line)]


def test_a_disk_without_room_is_refused_before_anything_starts(beamstream):
    done = beamstream("demo", "--seconds", 3600, "--fps", 1000, "--shape", "4096x4096")
    done.failed_with("beamstream: demo:", "free in")
    assert re.search(r"use --dir or fewer --seconds", done.err)
