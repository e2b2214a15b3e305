"""Frames in Data Exchange: every promise of a sink, and what tomography programs look for."""

import contextlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import Geometry
from beamstream.sinks.contract import SinkContract, made_frames
from beamstream.sinks.dxchange import DxchangeSink

PLAIN = Geometry((64, 48), "<u2")


class TestDxchangeSink(SinkContract):
    factory = "beamstream.sinks.dxchange:DxchangeSink"
    reader = """
import h5py
def read(path):
    with h5py.File(path, "r", swmr=True) as file:
        kept = min(len(file["measurement/frames"][key]) for key in ("unique_id", "timestamp", "received"))
        for index in range(min(kept, len(file["exchange/data"]))):
            yield file["exchange/data"][index]
"""

    def test_angles_that_find_no_room_leave_the_frames_readable(self, small_disk):
        geometry = Geometry((4, 4), "<u2")
        with DxchangeSink(small_disk / "run.h5", geometry, angles=True) as sink:
            frames = made_frames(geometry, 0, 9000)
            sink.write(frames)
            fill(small_disk / "ballast")
            with pytest.raises(DiskFull, match="keep angles"):
                sink.set_angles(np.arange(9000))
            with pytest.raises(SinkError, match="failed before"):
                sink.write(frames[:1])
        self.expect(sink.path, frames)


def test_tomography_programs_find_what_they_look_for(tmp_path):
    frames = made_frames(PLAIN, 0, 5)
    dark, white = np.full((64, 48), 7, "<u2"), np.arange(3 * 64 * 48, dtype="<f4").reshape(3, 64, 48)
    path = tmp_path / "run.h5"
    with DxchangeSink(
        path, PLAIN, name="cam", attributes={"gain": 2}, dark=dark, white=white, exposure=0.05, angles=True
    ) as sink:
        sink.write(frames)
        sink.set_angles(np.linspace(0, 180, 5))
    with h5py.File(path) as file:
        assert file["implements"].asstr()[()] == "exchange:measurement"
        exchange, detector = file["exchange"], file["measurement/instrument/detector"]
        assert np.array_equal(exchange["data"], [frame.image for frame in frames])
        assert exchange["data"].attrs["axes"] == "theta:y:x"
        assert np.array_equal(exchange["data_dark"], [dark])
        assert np.array_equal(exchange["data_white"], white)
        assert exchange["data_white"].dtype == np.float32
        assert exchange["theta"][:].tolist() == [0, 45, 90, 135, 180]
        assert exchange["theta"].attrs["units"] == "deg"
        assert (detector["exposure_time"][()], detector["exposure_time"].attrs["units"]) == (0.05, "s")
        assert (detector.attrs["name"], detector.attrs["gain"]) == ("cam", 2)
        assert exchange.attrs["complete"] == 1


def test_the_numbers_of_each_frame_are_beside_the_pixels(tmp_path):
    frames = made_frames(PLAIN, 0, 5)
    with DxchangeSink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write(frames)
    with h5py.File(tmp_path / "run.h5") as file:
        for key, array in sink.arrays.items():
            dataset = file[array.parameters["dataset"]]
            assert (dataset.dtype.str, dataset.shape) == (array.dtype_numpy, (5, *array.shape))
            if key != "data":
                assert dataset[:].tolist() == [getattr(frame, key) for frame in frames]


def test_what_was_not_given_is_not_there(tmp_path):
    with DxchangeSink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 1))
    with h5py.File(tmp_path / "run.h5") as file:
        assert set(file["exchange"]) == {"data"}
        assert not set(file["measurement/instrument/detector"])


def test_angles_can_be_given_again_when_more_frames_came(tmp_path):
    frames = made_frames(PLAIN, 0, 9000)
    with DxchangeSink(tmp_path / "run.h5", PLAIN, angles=True) as sink:
        for stop in (10, 4100, 9000):
            sink.write(frames[sink.kept : stop])
            sink.set_angles(np.arange(stop))
            with h5py.File(sink.path, swmr=True) as file:
                assert np.array_equal(file["exchange/theta"], np.arange(stop))
    with h5py.File(sink.path) as file:
        assert np.array_equal(file["exchange/data"], [frame.image for frame in frames])
        assert np.array_equal(file["exchange/theta"], np.arange(9000))


def test_angles_that_do_not_fit_the_frames_are_refused_and_the_run_goes_on(tmp_path):
    with DxchangeSink(tmp_path / "run.h5", PLAIN, name="cam", angles=True) as sink:
        sink.write(made_frames(PLAIN, 0, 3))
        for wrong in ([1.0, 2.0], [[1.0, 2.0, 3.0]], 4.0):
            with pytest.raises(ValueError, match=r"cam: angles of shape .* for 3 frames"):
                sink.set_angles(wrong)
        assert sink.write(made_frames(PLAIN, 3, 4)) == 4


def test_angles_without_a_place_are_refused(tmp_path):
    with DxchangeSink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 1))
        with pytest.raises(SinkError, match="angles=True"):
            sink.set_angles([1.0])
    with pytest.raises(SinkError, match="is not open; set them before closing"):
        sink.set_angles([1.0])


@pytest.mark.parametrize("shape", [(64, 47), (2, 64, 47), (64,), (1, 1, 64, 48)], ids=str)
def test_references_of_another_detector_are_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="data_white of shape"):
        DxchangeSink(tmp_path / "run.h5", PLAIN, white=np.zeros(shape))


def fill(ballast: Path) -> None:
    """Leave no room on a disk."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for _ in range(1 << 20):
            file.write(bytes(4096))
