"""`beamstream export`: recorded runs in other formats, from the command line."""

import json
import signal
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from cli_commands import GEOMETRY, started

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for recorded_runs

from recorded_runs import Runs, shown

from beamstream.frames import Geometry
from beamstream.sim.pattern import Pattern


@pytest.fixture
def runs(tmp_path) -> Runs:
    """Runs in the archive of the configuration."""
    return Runs(tmp_path / "archive")


def h5(path: str | Path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["entry/data/data"][:]  # type: ignore[index]


def test_what_was_just_recorded_is_exported_frame_by_frame(beamstream, beamline, tmp_path):
    recorded = beamstream("record", "camera", "--num", 30, "--json").json
    done = beamstream("export", "-1", "--to", "tiff", "--out", "frames", "--prefix", "GaAs")
    assert done.status == 0, done.err
    (directory,) = (tmp_path / "frames").iterdir()
    assert str(directory) in done.out
    files = sorted(directory.iterdir())
    assert [f.name for f in files[:2]] == ["GaAs_000001.tiff", "GaAs_000002.tiff"]
    with h5py.File(recorded["files"]["camera"]) as file:
        ids = file["entry/data/unique_id"][:].tolist()  # type: ignore[index]
    assert len(files) == len(ids) == 30
    for file, unique_id in zip(files, ids, strict=True):
        assert np.array_equal(tifffile.imread(file), Pattern(GEOMETRY).image(unique_id))


def test_region_stride_and_json_go_to_the_working_directory_by_default(beamstream, runs, tmp_path):
    uid = runs.record(21)
    options = ("--to", "hdf5", "--region", "1,2,30,40", "--stride", 2, "--json")
    done = beamstream("export", uid[:6], *options)
    assert done.status == 0, done.err
    (file,) = done.json["files"]
    assert Path(file["path"]).parent == tmp_path
    assert np.array_equal(h5(file["path"]), shown(21)[::2, 1:31, 2:42])
    assert (file["frames"], file["detector"], done.json["run"]) == (11, "cam", uid)
    assert done.json["bytes_per_second"] > 0


def test_a_run_is_corrected_with_the_newest_flat_that_fits(beamstream, runs, tmp_path):
    uid = runs.record(10)
    flat = np.random.default_rng(0).uniform(500, 1500, (48, 64))
    np.save(tmp_path / "flat.npy", flat)
    missing = beamstream("export", uid, "--to", "hdf5", "--corrected")
    missing.failed_with("cam: a flat for 48 × 64 uint16", "there is none in")
    assert not list(tmp_path.glob("*.h5"))
    imported = beamstream("flats", "pva://X:Pva1:Image", "--import", "flat.npy", "--json")
    assert imported.status == 0, imported.err
    done = beamstream("export", uid, "--to", "hdf5", "--corrected", "--json")
    assert done.status == 0, done.err
    assert "corrected without a dark" in done.err
    (file,) = done.json["files"]
    expected = shown(10) / flat * flat.mean()
    np.testing.assert_allclose(h5(file["path"]), expected, rtol=1e-5)
    assert file["about"]["flat_name"] == imported.json["name"]
    rounded = beamstream("export", uid, "--to", "hdf5", "--flat", "flat.npy", "--output", "raw", "-o", "raw", "--json")
    images = h5(rounded.json["files"][0]["path"])
    assert images.dtype == np.uint16
    assert np.abs(images - np.clip(expected, 0, 65535)).max() <= 0.505  # the arithmetic is float32


def test_ctrl_c_leaves_nothing(runs, tmp_path, wait_for):
    uid = runs.record(8000)
    out = tmp_path / "out"
    with started(tmp_path, "export", uid, "--to", "tiff", "--out", "out", "--json") as running:
        wait_for(lambda: len(list(out.glob(".*.part-*/*/*.tiff"))) > 100, 30, "frames in the part")
        done = running.end(signal.SIGINT)
    assert done.status == 130, done.err
    assert "ended by Ctrl-C" in done.err
    assert "Traceback" not in done.err
    assert list(out.iterdir()) == []


def test_what_exists_is_an_error(beamstream, runs):
    uid = runs.record(3)
    assert beamstream("export", uid, "--to", "npy").status == 0
    beamstream("export", uid, "--to", "npy").failed_with(
        "_cam.npy exists and is never overwritten; choose another --out"
    )


def test_another_archive_and_frames_that_are_not_here(beamstream, tmp_path):
    runs = Runs(tmp_path / "other")
    uid = runs.record(3)
    assert json.loads(beamstream("export", "-1", "--to", "npy", "--archive", "other", "--json").out)["run"] == uid
    runs.raw(uid).unlink()
    done = beamstream("export", "-1", "--to", "npy", "--archive", "other", "--out", "again")
    done.failed_with("is not on this machine; run the export where it is, or read over HTTP")


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["-1", "--to", "npy"], "there are 0 in", 1),
        (["abcd", "--to", "npy"], "there is none in", 1),
        (["-1", "--to", "jpeg"], "jpeg", 2),
        (["-1", "--to", "npy", "--region", "1,2,3"], "'1,2,3' given; write 0,512,1024,1024", 2),
        (["-1", "--to", "npy", "--stream", "filtered", "--corrected"], "give one or the other", 2),
        (["-1", "--to", "npy", "--output", "raw"], "goes with --corrected, --flat or --dark only", 2),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(beamstream, arguments, words, status):
    beamstream("export", *arguments).failed_with(words, status=status)


def test_a_prefix_that_is_no_name_is_wrong_usage(beamstream, runs):
    runs.record(1)
    beamstream("export", "-1", "--to", "npy", "--prefix", "../x").failed_with("prefix: '../x'", status=2)


def test_what_data_exchange_lacks_is_named_and_an_angle_can_be_chosen(beamstream, runs):
    runs.record(3)
    done = beamstream("export", "-1", "--to", "dxchange", "--out", "none")
    assert done.status == 0, done.err
    words = " ".join(done.err.split())
    assert "no angles in exchange/theta" in words
    assert "no flat and no dark fits" in words
    motors = {"x": ("mm", [0.0, 1.0, 2.0]), "y": ("mm", [3.0, 4.0, 5.0])}
    runs.record(3, motors=motors, hints={"dimensions": [[["x"], "primary"], [["y"], "primary"]]})
    done = beamstream("export", "-1", "--to", "dxchange", "--out", "y", "--theta", "y", "--json")
    with h5py.File(done.json["files"][0]["path"]) as file:
        assert file["exchange/theta"][:].tolist() == [3.0, 4.0, 5.0]  # type: ignore[index]
    done = beamstream("export", "-1", "--to", "dxchange", "--out", "shown", "--theta", "y")
    assert "are the values of y (mm), taken as degrees" in " ".join(done.err.split())
    assert beamstream("export", "-1", "--to", "npy", "--theta", "y").status == 2


def test_frames_that_do_not_decode_are_named_and_the_exit_status_says_so(beamstream, runs):
    uid = runs.record(20, geometry=Geometry((48, 64), "<u2", codec="zlib"), damaged=(3, 7))
    done = beamstream("export", uid, "--to", "hdf5", "--json")
    assert done.status == 3, done.err
    (file,) = done.json["files"]
    assert (file["frames"], file["undecoded"]) == (18, [3, 7])
    assert np.array_equal(h5(file["path"]), np.delete(shown(20), (3, 7), axis=0))
    done = beamstream("export", uid, "--to", "npy")
    assert done.status == 3
    assert "cam: 2 frames do not decode and are left out, those of unique_id 3, 7" in " ".join(done.err.split())
