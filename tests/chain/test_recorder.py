"""Frames recorded a second time in somebody's format: every one, in order, bit-exact, and nothing overwritten."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from bluesky.plans import count
from zarr.core.sync import cleanup_resources

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for read_formats

from read_formats import INEXACT, READ, h5, only

from beamstream.callbacks.derive import Derive
from beamstream.callbacks.recorder import Recorder
from beamstream.sinks.formats import FORMATS
from plans.record import record


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


class Inverted:
    def apply(self, image: Any, meta: Any) -> Any:
        return np.iinfo(image.dtype).max - image


@pytest.mark.parametrize("format", READ)
def test_every_frame_is_recorded_bit_exact(engine, chain, docs, cam, tmp_path, format):
    assert set(READ) | INEXACT == set(FORMATS)
    chain.add(Recorder(tmp_path / "out", format=format))
    engine(record([cam], num=60, flush_period=0.1))
    raw = docs.images("cam_image")
    assert len(raw) == 60
    assert np.array_equal(READ[format](only(tmp_path / "out")), raw)
    assert docs.stop["exit_status"] == "success"
    assert (docs.account["recorder_frames"], docs.account["recorder_undone"]) == (60, 0)


def test_files_are_named_after_prefix_run_and_detector(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path, prefix="GaAs", format="tiff", name="tiff"))
    chain.add(Recorder(tmp_path, prefix="GaAs", format="npy", name="npy"))
    engine(record([cam], num=3))
    start = docs.of("start")[-1]
    name = f"GaAs_{start['scan_id']:05d}_{start['uid'][:8]}_cam"
    assert [p.name for p in sorted((tmp_path / name).iterdir())] == [f"GaAs_00000{n}.tiff" for n in (1, 2, 3)]
    assert len(np.load(tmp_path / f"{name}.npy")) == 3


def test_what_was_derived_in_the_run_is_recorded_as_well(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="zarr", stream="inverted"))
    chain.add(Derive("inverted", Inverted))
    engine(record([cam], num=50))
    path = only(tmp_path / "out")
    assert path.name.endswith("_cam_inverted.zarr")
    assert np.array_equal(READ["zarr"](path), 65535 - docs.images("cam_image"))


def test_an_op_of_its_own_is_applied_and_named(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="hdf5", op_for=lambda _source: Inverted(), label="inverted"))
    engine(record([cam], num=10))
    path = only(tmp_path / "out")
    assert path.stem.endswith("_cam_inverted")
    assert np.array_equal(h5(path), 65535 - docs.images("cam_image"))
    with h5py.File(path) as file:
        assert file["entry/data"].attrs["name"] == "Inverted"


def test_steps_are_recorded_as_flights_are(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="hdf5"))
    engine(count([cam], 4))
    assert np.array_equal(h5(only(tmp_path / "out")), docs.images("cam_image"))


def test_a_region_and_every_third_frame(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="bigtiff", region=(5, 10, 20, 30), stride=3))
    engine(record([cam], num=31, flush_period=0.02))
    assert np.array_equal(tifffile.imread(only(tmp_path / "out")), docs.images("cam_image")[::3, 5:25, 10:40])
    assert (docs.account["recorder_frames"], docs.account["recorder_skipped"]) == (11, 20)


def test_a_region_means_rows_and_columns_wherever_the_colours_lie(engine, chain, docs, make, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="hdf5", region=(5, 10, 20, 30)))
    engine(record([make("CHAIN:C", name="colour")], num=3))
    assert np.array_equal(h5(only(tmp_path / "out")), docs.images("colour_image")[:, 5:25, :, 10:40])


def test_a_region_outside_of_the_images_fails_the_run_before_its_first_frame(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", region=(40, 0, 9, 64)))
    with pytest.raises(Exception, match="region 40,0,9,64 asked for, the images have 48 rows and 64 columns"):
        engine(record([cam], num=20))
    assert docs.stop["exit_status"] == "fail"
    assert docs.stop["num_events"].get("primary", 0) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["../x", "a/b", "", ".hidden", "a\0b", "..", "con", "x" * 300, "a\\b", "{:06d}"])
def test_a_prefix_that_is_no_beginning_of_a_name_is_refused(tmp_path, prefix):
    with pytest.raises(ValueError, match="prefix"):
        Recorder(tmp_path, prefix=prefix)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "jpeg"}, "format 'jpeg' given; use one of tiff, bigtiff"),
        ({"stride": 0}, "stride 0 given"),
        ({"region": (0, 0, 0, 5)}, "region"),
        ({"region": (-1, 0, 5, 5)}, "region"),
    ],
)
def test_options_that_cannot_be_are_refused_with_words(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        Recorder(tmp_path, **options)


@pytest.mark.parametrize("format", READ)
def test_what_exists_is_never_overwritten(engine, chain, docs, cam, tmp_path, format):
    recorder = chain.add(Recorder(tmp_path / "out", format=format))
    engine(record([cam], num=5))
    path = only(tmp_path / "out")
    before = READ[format](path)
    again = recorder.begin(docs.of("start")[-1], docs)
    for name, doc in list(docs):
        again(name, doc)
    again.finish()
    assert again.wait(10)
    assert "never overwritten" in str(again.error) or "File exists" in str(again.error)
    assert again.account["undone"] == 5
    assert np.array_equal(READ[format](path), before)


@pytest.mark.parametrize("format", ["tiff", "hdf5", "zarr"])
def test_the_archive_is_told_where_that_is_asked_for(engine, chain, docs, cam, tmp_path, format):
    chain.add(Recorder(tmp_path / "out", format=format, publish=True))
    engine(record([cam], num=20))
    descriptor = docs.descriptor(f"primary_{format}")
    about = descriptor["configuration"][f"cam_{format}"]["data"]
    assert (about["derived_from"], about["format"], about["stride"]) == ("cam_image", format, 1)
    assert descriptor["data_keys"][f"cam_{format}_image"]["shape"] == [48, 64]
    assert docs.told(f"cam_{format}_image") == 20 + (format == "tiff")  # its names begin with 1
    assert docs.stop["num_events"][f"primary_{format}"] == 20
    assert docs.path(f"cam_{format}_image").is_relative_to(only(tmp_path / "out"))


def test_darks_and_flats_are_not_recorded_again(engine, chain, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out"))
    engine(record([cam], num=3, md={"purpose": "reference", "reference": "dark"}))
    assert not (tmp_path / "out").exists()


def test_only_chosen_detectors_of_a_step_are_recorded(engine, chain, cam, make, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="hdf5", detectors=["cam"]))
    engine(count([cam, make("CHAIN:C", name="colour")], 2))
    assert only(tmp_path / "out").stem.endswith("_cam")
