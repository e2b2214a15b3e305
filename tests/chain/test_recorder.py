"""Frames recorded a second time in somebody's format: every one, in order, bit-exact, and nothing overwritten."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from bluesky.plans import count
from bluesky.utils import RunEngineInterrupted
from numpy.typing import NDArray
from zarr.core.sync import cleanup_resources

from beamstream.callbacks.derive import Derive
from beamstream.callbacks.recorder import Recorder
from beamstream.sinks.formats import FORMATS, Format
from beamstream.sinks.hdf5 import Hdf5Sink
from plans.record import record

SLOW = 0.05  # s a frame; the camera makes ten in that time
TINY = 32 * 8192  # bytes; a ring of 32 frames
SMALL = 1 << 20  # bytes; full after 150 frames


def hdf5(path: Path, where: str = "entry/data/data") -> NDArray[Any]:
    with h5py.File(path) as file:
        return file[where][:]  # type: ignore[index]


READ: dict[str, Callable[[Path], NDArray[Any]]] = {
    "tiff": lambda path: np.stack([tifffile.imread(file) for file in sorted(path.iterdir())]),
    "bigtiff": tifffile.imread,
    "ome-tiff": tifffile.imread,
    "hdf5": hdf5,
    "dxchange": lambda path: hdf5(path, "exchange/data"),
    "zarr": lambda path: zarr.open_group(path, mode="r")["data"][:],  # type: ignore[index]
    "npy": np.load,
}


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


class SlowSink(Hdf5Sink):
    """Take a tenth of the camera's frames in the camera's time."""

    def write(self, frames) -> int:
        kept = self.kept
        for frame in frames:
            time.sleep(SLOW)
            kept = super().write([frame])
        return kept


class Inverted:
    def apply(self, image: Any, meta: Any) -> Any:
        return np.iinfo(image.dtype).max - image


@pytest.fixture
def slow(monkeypatch) -> str:
    """The name of a format that is ten times too slow."""

    def make(path, geometry, _prefix, name, attributes) -> SlowSink:
        return SlowSink(path, geometry, name=name, attributes=attributes)

    monkeypatch.setitem(FORMATS, "slow", Format("slow", ".h5", "ten times too slow", make))
    return "slow"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a filesystem of 1 MiB; skip where that is not permitted."""
    where = tmp_path / "small"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(where)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def only(directory: Path) -> Path:
    """Return what is in a directory, of NPY files the one with the pixels."""
    (found,) = [path for path in directory.iterdir() if not path.name.endswith(".frames.npy")]
    return found


@pytest.mark.parametrize("format", READ)
def test_every_frame_is_recorded_bit_exact(engine, chain, docs, cam, tmp_path, format):
    assert set(READ) == set(FORMATS)
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
    assert np.array_equal(hdf5(path), 65535 - docs.images("cam_image"))
    with h5py.File(path) as file:
        assert file["entry/data"].attrs["name"] == "Inverted"


def test_steps_are_recorded_as_flights_are(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="hdf5"))
    engine(count([cam], 4))
    assert np.array_equal(hdf5(only(tmp_path / "out")), docs.images("cam_image"))


def test_a_region_and_every_third_frame(engine, chain, docs, cam, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="bigtiff", region=(5, 10, 20, 30), stride=3))
    engine(record([cam], num=31, flush_period=0.02))
    assert np.array_equal(tifffile.imread(only(tmp_path / "out")), docs.images("cam_image")[::3, 5:25, 10:40])
    assert (docs.account["recorder_frames"], docs.account["recorder_skipped"]) == (11, 20)


def test_a_region_means_rows_and_columns_wherever_the_colours_lie(engine, chain, docs, make, tmp_path):
    chain.add(Recorder(tmp_path / "out", format="hdf5", region=(5, 10, 20, 30)))
    engine(record([make("CHAIN:C", name="colour")], num=3))
    assert np.array_equal(hdf5(only(tmp_path / "out")), docs.images("colour_image")[:, 5:25, :, 10:40])


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


def test_a_recorder_ten_times_too_slow_is_late_and_complete(engine, chain, docs, make, tmp_path, slow):
    chain.add(Recorder(tmp_path / "out", format=slow))
    engine(record([make(ring_memory=TINY)], num=80, flush_period=0.1))
    raw = docs.images("cam_image")
    assert len(raw) == 80
    assert np.array_equal(hdf5(only(tmp_path / "out")), raw)
    assert docs.stop["exit_status"] == "success"
    account = docs.account
    assert (account["recorder_frames"], account["recorder_undone"], account["recorder_error"]) == (80, 0, "")
    assert account["recorder_late"] > 0


def test_an_abort_does_not_wait_for_a_recorder_that_is_behind(engine, chain, docs, make, tmp_path, slow, later):
    cam = make(ring_memory=TINY)
    began: list[float] = []

    def abort() -> None:
        began.append(time.monotonic())
        engine.abort("enough")

    chain.add(Recorder(tmp_path / "out", format=slow))
    later(lambda: cam.ledger.account.recorded > 300, abort)
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=4000, flush_period=0.1))
    assert time.monotonic() - began[0] < 12
    account = docs.account
    assert docs.stop["exit_status"] == "abort"
    assert account["recorder_undone"] > 100
    kept = hdf5(only(tmp_path / "out"))
    assert len(kept) == account["recorder_frames"] > 0
    assert np.array_equal(kept, docs.images("cam_image")[: len(kept)])
    assert account["recorder_frames"] + account["recorder_undone"] == docs.told("cam_image")


def test_a_full_disk_fails_the_run_where_the_recorder_is_required(engine, chain, docs, cam, small_disk):
    chain.add(Recorder(small_disk / "out", format="zarr"))
    with pytest.raises(Exception, match=r"the disk is full .*make room"):
        engine(record([cam], num=2000, flush_period=0.1))
    assert docs.stop["exit_status"] == "fail"
    assert "the disk is full" in docs.stop["reason"]
    raw = docs.images("cam_image")
    assert 0 < len(raw) < 2000
    kept = READ["zarr"](only(small_disk / "out"))
    assert len(kept) > 50
    assert np.array_equal(kept, raw[: len(kept)])


def test_a_full_disk_is_in_the_account_where_the_recorder_is_optional(engine, chain, docs, cam, small_disk, caplog):
    chain.add(Recorder(small_disk / "out", format="npy", required=False))
    engine(record([cam], num=250, flush_period=0.1))
    assert docs.stop["exit_status"] == "success"
    assert docs.told("cam_image") == 250
    assert "the disk is full" in docs.account["recorder_error"]
    kept = np.load(only(small_disk / "out"))
    assert docs.account["recorder_undone"] == 250 - len(kept) > 0
    assert np.array_equal(kept, docs.images("cam_image")[: len(kept)])
    assert "the run goes on without it" in caplog.text


def test_a_directory_that_cannot_be_written_is_said(engine, chain, docs, cam, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    chain.add(Recorder(small_disk / "out"))
    with pytest.raises(Exception, match=r"Read-only file system for user .* have the rights"):
        engine(record([cam], num=20))
    assert docs.stop["exit_status"] == "fail"


def test_a_file_in_the_place_of_the_directory_is_said(engine, chain, docs, cam, tmp_path):
    (tmp_path / "out").write_text("mine")
    chain.add(Recorder(tmp_path / "out" / "deeper", required=False))
    engine(record([cam], num=20))
    assert docs.stop["exit_status"] == "success"
    assert "there is no directory" in docs.account["recorder_error"]
    assert (tmp_path / "out").read_text() == "mine"


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
