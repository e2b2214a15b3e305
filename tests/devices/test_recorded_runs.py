"""A detector records every frame, bit by bit, in stock plans and in flight."""

from itertools import pairwise

import bluesky.plans as bp
import h5py
import hdf5plugin  # noqa: F401, readers of compressed frames need it
import numpy as np
import pytest
from ophyd import EpicsMotor, EpicsSignalRO

from beamstream.frames import Geometry
from beamstream.sim.pattern import Pattern
from plans.record import record


def _recorded(detector) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(detector.path) as file:
        return file["entry/data/data"][:], file["entry/data/unique_id"][:]


def _assert_bit_exact(detector, geometry: Geometry) -> np.ndarray:
    images, ids = _recorded(detector)
    pattern = Pattern(geometry)
    for image, unique_id in zip(images, ids, strict=True):
        np.testing.assert_array_equal(image, pattern.image(int(unique_id)))
    return ids


def test_count_takes_one_new_frame_an_event(engine, docs, cam):
    engine(bp.count([cam], num=5))
    ids = _assert_bit_exact(cam, Geometry((96, 128), "<u2"))
    assert list(np.diff(ids)) == [1, 1, 1, 1]
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"] == {"primary": 5, "ledger": 1}
    assert docs.ledger["cam_ledger_recorded"] == 5
    assert docs.ledger["cam_ledger_lost"] == 0


def test_a_scan_and_a_grid_scan_work_unchanged(engine, docs, cam):
    motor = EpicsMotor("DEV:M", name="motor")
    motor.wait_for_connection(timeout=5)
    engine(bp.scan([cam], motor, 0, 1, 3))
    _assert_bit_exact(cam, Geometry((96, 128), "<u2"))
    other = EpicsMotor("DEV:M", name="other")
    other.wait_for_connection(timeout=5)
    engine(bp.grid_scan([cam], motor, 0, 1, 2, other, 0, 1, 2))
    assert [d["num_events"]["primary"] for d in docs.of("stop")] == [3, 4]
    for m in (motor, other):
        m.destroy()


def test_a_flight_records_just_the_frames_asked_for(engine, docs, cam):
    engine(record([cam], num=200, flush_period=0.1))
    ids = _assert_bit_exact(cam, Geometry((96, 128), "<u2"))
    assert list(ids) == list(range(ids[0], ids[0] + 200))
    datums = docs.of("stream_datum")
    image = [d["indices"] for d in datums if d["stream_resource"] == docs.of("stream_resource")[0]["uid"]]
    assert image[0]["start"] == 0
    assert image[-1]["stop"] == 200
    assert all(a["stop"] == b["start"] for a, b in pairwise(image))
    assert docs.stop["num_events"]["primary"] == 200


def test_seconds_record_what_the_camera_gave_in_that_time(engine, docs, cam):
    engine(record([cam], seconds=0.5, flush_period=0.1))
    ids = _assert_bit_exact(cam, Geometry((96, 128), "<u2"))
    assert list(np.diff(ids)) == [1] * (len(ids) - 1)
    assert 50 < len(ids) < 200
    assert docs.ledger["cam_ledger_recorded"] == len(ids)


def test_the_data_key_and_the_file_say_how_large_a_pixel_is(engine, docs, make):
    free = make("DEV:F", control=False, pixel_size=(6.5, 3.25))
    engine(bp.count([free]))
    (key,) = [keys["cam_image"] for d in docs.of("descriptor") if "cam_image" in (keys := d["data_keys"])]
    assert (key["pixel_size"], key["pixel_units"]) == ([6.5, 3.25], "um")
    with h5py.File(free.path) as file:
        assert file["entry/data"].attrs["pixel_size"] == "[6.5, 3.25]"
        assert list(file["entry/data"].attrs["axes"]) == ["timestamp", "y", "x"]
        assert (file["entry/data/y"][1], file["entry/data/x"][1]) == (6.5, 3.25)
        assert file["entry/instrument/detector/x_pixel_size"][()] == 3.25
    with pytest.raises(ValueError, match="pixel_size 0 given"):
        make("DEV:F", control=False, pixel_size=0)


def test_a_free_running_camera_is_recorded_without_control(engine, docs, make):
    free = make("DEV:F", control=False)
    engine(record([free], num=100, flush_period=0.1))
    ids = _assert_bit_exact(free, Geometry((64, 64), "|u1"))
    assert list(np.diff(ids)) == [1] * 99
    engine(bp.count([free], num=3))
    assert len(_assert_bit_exact(free, Geometry((64, 64), "|u1"))) == 3


def test_two_detectors_record_at_their_own_rates_into_streams_of_their_own(engine, docs, cam, make):
    free = make("DEV:F", control=False, name="free")
    engine(record([cam, free], num=60, flush_period=0.1))
    assert docs.stop["num_events"] == {"cam": 60, "free": 60, "ledger": 1}
    assert docs.ledger["cam_ledger_recorded"] == docs.ledger["free_ledger_recorded"] == 60


def test_compressed_frames_are_stored_compressed_and_read_back_exact(engine, docs, make):
    cam = make("DEV:Z")
    engine(record([cam], num=20, flush_period=0.1))
    ids = _assert_bit_exact(cam, Geometry((64, 64), "<u2"))
    assert len(ids) == 20
    with h5py.File(cam.path) as file:
        dataset = file["entry/data/data"]
        assert "32008" in dataset._filters
        assert dataset.id.get_storage_size() < 20 * 64 * 64 * 2


def test_the_camera_is_left_as_it_was_found(engine, cam):
    cam.control.num_images.put(7, wait=True)
    cam.control.image_mode.put(2, wait=True)
    cam.control.acquire.put(1, wait=True)
    engine(bp.count([cam], num=2))
    acquire = EpicsSignalRO("DEV:A:cam1:Acquire_RBV", name="acquire")
    acquire.wait_for_connection(timeout=5)
    assert cam.control.num_images.get() == 7
    assert cam.control.image_mode.get(as_string=False) == 2
    assert acquire.get(as_string=False) == 1
    cam.control.acquire.put(0, wait=True)
    cam.control.image_mode.put(0, wait=True)
    acquire.destroy()


def test_scalars_beside_the_pixels_are_described_and_recorded(engine, docs, cam):
    engine(record([cam], num=5))
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    assert descriptor["data_keys"]["cam_image"]["shape"] == [96, 128]
    assert {k for k, v in descriptor["data_keys"].items() if "external" in v} == {
        "cam_image",
        "cam_unique_id",
        "cam_timestamp",
        "cam_received",
        "cam_attr_Model",
        "cam_attr_AcquireTime",
    }
    assert descriptor["configuration"]["cam"]["data"]["cam_control_acquire_period"] == 0.005
    with h5py.File(cam.path) as file:
        assert (file["entry/data/received"][:] >= file["entry/data/timestamp"][:]).all()
