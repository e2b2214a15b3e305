"""Films from the command line: recorded, and exported again."""

import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "sources" / "video"))  # for video_films

from video_films import BEGAN, film_of, foreign, noisy

from beamstream.cli.sources import with_one_detector
from beamstream.config import Config
from beamstream.errors import ConfigurationError
from beamstream.frames import Geometry

FRAMES = noisy(Geometry((48, 64), "<u2"), 30, top=4095)


@pytest.fixture
def film(tmp_path) -> Path:
    return film_of(tmp_path / "growth.mkv", FRAMES)


def test_a_film_is_recorded_to_its_end_and_exported_as_the_same(beamstream, film, tmp_path):
    done = beamstream("record", "growth.mkv", "--out", "data", "--json")
    assert done.status == 0, done.err
    result = done.json
    assert (result["recorded"], result["lost"], result["exit_status"]) == (30, 0, "success")
    with h5py.File(result["files"]["film"]) as file:
        group = file["entry/data"]
        assert np.array_equal(group["data"][:], [frame.image for frame in FRAMES])  # type: ignore[index]
        assert group["timestamp"][:].tolist() == [frame.timestamp for frame in FRAMES]  # type: ignore[index]
        assert group.attrs["source"] == film.as_uri()  # type: ignore[union-attr]
    done = beamstream("export", "-1", "--to", "mkv", "--archive", "data", "--out", "films", "--json")
    assert done.status == 0, done.err
    again = beamstream("record", f"video:{done.json['files'][0]['path']}", "--out", "data", "--json").json
    with h5py.File(again["files"]["film"]) as file:
        assert np.array_equal(file["entry/data/data"][:], [frame.image for frame in FRAMES])  # type: ignore[index]
        assert file["entry/data/timestamp"][0] == BEGAN  # type: ignore[index]


def test_an_mp4_wants_a_window_for_16_bits(beamstream, film):
    assert beamstream("record", film, "--num", 5, "--out", "data").status == 0
    export = ("export", "-1", "--archive", "data", "--to")
    beamstream(*export, "mp4").failed_with("say which values become black and white, like window 0,4095")
    beamstream(*export, "mp4", "--window", "a").failed_with("write 0,4095", status=2)
    done = beamstream(*export, "mp4", "--window", "0,4095", "--fps", 10)
    assert done.status == 0, done.err
    assert ".mp4" in done.out


def test_rules_for_colours_are_options(beamstream, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype="u1")
    film = foreign(tmp_path / "film.avi", [image] * 4, codec="ffv1", pix_fmt="bgr0", given="rgb24")
    beamstream("record", film).failed_with("which has colours; say what becomes of them")
    result = beamstream("record", film, "--grey", "green", "--speed", 8, "--name", "gun", "--json").json
    with h5py.File(result["files"]["gun"]) as file:
        assert np.array_equal(file["entry/data/data"][:], [image[..., 1]] * 4)  # type: ignore[index]


def test_a_webcam_is_recorded(beamstream, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "cam.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (640, 480))
    for _ in range(600):  # a camera has no end; this one has it after the run
        writer.write(np.full((480, 640, 3), 77, "u1"))
    writer.release()
    done = beamstream("record", f"webcam:{tmp_path / 'cam.avi'}", "--grey", "luma", "--num", 10, "--json")
    assert done.status == 0, done.err
    assert done.json["recorded"] == 10
    with h5py.File(done.json["files"]["webcam"]) as file:
        assert np.abs(file["entry/data/data"][:].astype(int) - 77).max() <= 2  # type: ignore[index,union-attr]
    beamstream("record", "webcam:77").failed_with("neither given; give one of them", status=2)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("video:", {}, "names no film; write video:film.mkv"),
        ("webcam:", {}, "names no camera; write webcam:0"),
        ("film.mkv", {"control": "X:"}, "control asked for, film.mkv has none; it is of cameras"),
        ("pva://X", {"speed": 2.0}, "speed asked for, pva://X has none; it is of films"),
        ("webcam:0", {"limited": "keep"}, "limited asked for, webcam:0 has none; it is of films"),
        ("nobody", {}, "video:film.mkv or webcam:0"),
        ("film.mkv", {"speed": -1.0}, "greater than or equal to 0"),
    ],
)
def test_sources_that_cannot_be_are_named(source, options, words):
    with pytest.raises(ConfigurationError, match=words):
        with_one_detector(Config(), source, **options)


def test_a_file_that_is_no_film_is_named(beamstream):
    beamstream("record", "beamstream.toml").failed_with("has no pictures, only subtitle")
