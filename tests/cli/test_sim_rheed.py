"""`beamstream sim rheed`: a film that tells the truth about itself, a camera that is found and recorded."""

import json
import signal

import h5py
import numpy as np
import pytest
from cli_commands import started

from beamstream.sim.rheed import RheedScene, RheedSpec, RheedState


def pictures(path, format):
    """Return the frames of a film as another program sees them."""
    import av

    with av.open(str(path)) as film:
        return np.array([frame.to_ndarray(format=format) for frame in film.decode(video=0)])


@pytest.mark.parametrize(("dtype", "format"), [("uint8", "gray"), ("uint16", "gray16le")])
def test_a_film_holds_the_scene_bit_by_bit_and_its_truth_lies_beside_it(beamstream, tmp_path, dtype, format):
    film = tmp_path / "film.mkv"
    options = ("--shape", "64x96", "--seconds", 2, "--fps", 20, "--rpm", 12, "--growth", "0.5:1.5", "--seed", 5)
    done = beamstream("sim", "rheed", "--to", film, "--dtype", dtype, "--black", "1.6:1.7", "--json", *options)
    assert (done.status, done.err) == (0, "")
    truth = done.json
    assert json.loads((tmp_path / "film.json").read_text()) == truth
    spec = RheedSpec.from_dict(truth["spec"])
    assert (spec.growth, spec.black, spec.rotations_per_min) == (((0.5, 1.5),), ((1.6, 1.7),), 12.0)
    scene, images = RheedScene(spec), pictures(film, format)
    assert len(images) == truth["frames"] == 40
    assert all(np.array_equal(image, scene.image(t)) for image, t in zip(images, truth["times"], strict=True))
    assert truth["specular"] == [scene.specular(t) for t in truth["times"]]
    assert [n for n, image in enumerate(images) if not image.any()] == [32, 33]
    assert tuple(truth["region"].values()) == scene.region


def test_a_film_for_every_player_is_made_of_16_bits_too(beamstream, tmp_path):
    done = beamstream(
        "sim", "rheed", "--to", tmp_path / "film.mp4", "--shape", "64x96", "--dtype", "uint16", "--seconds", 1
    )
    assert done.status == 0, done.err
    assert "30 frames" in done.out
    images = pictures(tmp_path / "film.mp4", "gray")
    assert len(images) == 30
    scene = RheedScene(RheedSpec.from_dict(json.loads((tmp_path / "film.json").read_text())["spec"]))
    assert np.abs(images[3] - scene.image(0.1) / 257).mean() < 3


def test_a_film_that_is_interrupted_is_whole_and_its_truth_as_long(tmp_path, wait_for):
    film = tmp_path / "film.mkv"
    with started(tmp_path, "sim", "rheed", "--to", film, "--shape", "64x96", "--seconds", 36000) as filming:
        wait_for(lambda: film.exists() and film.stat().st_size > 100_000, timeout=60, what="a film that grows")
        ended = filming.end(signal.SIGINT, timeout=60)
    assert ended.status == 130
    truth = json.loads((tmp_path / "film.json").read_text())
    assert 0 < truth["frames"] < 36000 * 30
    assert len(pictures(film, "gray")) == truth["frames"] == len(truth["specular"])


@pytest.mark.parametrize("there", ["film.mkv", "film.json"])
def test_nothing_that_is_there_is_overwritten(beamstream, tmp_path, there):
    (tmp_path / there).write_text("mine")
    beamstream("sim", "rheed", "--to", tmp_path / "film.mkv", "--shape", "64x96", "--seconds", 1).failed_with(there)
    assert [(p.name, p.read_text()) for p in tmp_path.glob("film.*")] == [(there, "mine")]


@pytest.mark.parametrize(
    ("options", "words", "status"),
    [
        (("--to", "film.mkv", "--dtype", "float32"), ("uint8 and uint16",), 1),
        (("--to", "film.mkv", "--growth", "5"), ("START:STOP",), 2),
        (("--to", "film.mkv", "--growth", "5:4"), ("in order, without overlap",), 1),
        (("--growth", "5:6"), ("--to FILM",), 2),
        (("--shape", "16x16"), ("32 or more",), 1),
        (("--fault", "sunset=1"), ("skip_every",), 2),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(beamstream, options, words, status):
    beamstream("sim", "rheed", *options).failed_with(*words, status=status)


def recorded(beamstream, tmp_path, *options):
    """Return unique ids, times and pixels of 60 frames of a camera of 64 x 96 pixels."""
    with started(tmp_path, "sim", "rheed", "--isolated", "--json", "--shape", "64x96", *options) as camera:
        ready = json.loads(camera.line())
        (names,) = ready["cameras"]
        done = beamstream(
            "record", f"pva://{names['image']}", "--control", names["control"], "--num", 60, "--out", "data", "--json",
            env=ready["environment"],
        )  # fmt: skip
        ended = camera.end()
    assert (done.status, names["scene"], names["prefix"], ended.err) == (0, "rheed", "SIM:RHEED", ""), done.err
    (path,) = done.json["files"].values()
    with h5py.File(path, "r") as file:
        return [file[f"entry/data/{name}"][:] for name in ("unique_id", "timestamp", "data")]


def test_a_camera_at_rest_is_recorded_bit_by_bit(beamstream, tmp_path):
    options = ("--azimuth", 12, "--lattice", "hexagonal", "--seed", 9, "--noise", 0.01)
    ids, times, images = recorded(beamstream, tmp_path, *options)
    scene = RheedScene(RheedSpec((64, 96), lattice="hexagonal", seed=9, noise=0.01))
    assert all(np.array_equal(i, scene.draw(RheedState(12.0), int(n))) for n, i in zip(ids, images, strict=True))
    assert np.median(np.diff(times)) == pytest.approx(1 / 120, rel=0.05)


def test_a_growing_film_oscillates_in_what_is_recorded(beamstream, tmp_path):
    _, times, images = recorded(beamstream, tmp_path, "--growing", "--growth-rate", 4, "--decay", 1000)
    row, col, n_rows, n_cols = RheedScene(RheedSpec((64, 96))).region
    seen = images[:, row : row + n_rows, col : col + n_cols].mean(axis=(1, 2))
    wave = 2 * np.pi * 4 * (times - times[0])
    model = np.column_stack((np.ones(60), np.cos(wave), np.sin(wave)))
    (mean, *swing), residuals, *_ = np.linalg.lstsq(model, seen)
    assert np.hypot(*swing) > 0.1 * mean
    assert (residuals[0] / 60) ** 0.5 < 0.1 * np.hypot(*swing)


def test_people_are_told_which_records_there_are(tmp_path):
    with started(tmp_path, "sim", "rheed", "--isolated", "--shape", "64x96") as camera:
        lines = [camera.line() for _ in range(4)]
        ended = camera.end(signal.SIGTERM)
    assert "pva://SIM:RHEED:Pva1:Image" in lines[0]
    assert "SIM:RHEED:sim1:Source GrowthRate Rotation" in lines[3]
    assert ended.status == 0
