"""Frames without the numbers of an image are recorded as any others: statistics never fail a run."""

import math
import time

import bluesky.plans as bp
import h5py
import pytest
from counting_detector import CountingDetector, CountingSource

from beamstream.errors import SinkError
from beamstream.frames import Geometry
from devices.frame_status import FrameStatus
from plans.record import record

RING = 4 * 2**20


@pytest.fixture
def make(tmp_path):
    made = []

    def make(shape, dtype, value=1) -> CountingDetector:
        source = CountingSource(Geometry(shape, dtype), period=0.01, value=lambda _: value)
        made.append(CountingDetector("", source, name="cam", directory=tmp_path, ring_memory=RING))
        return made[-1]

    yield make
    for detector in made:
        detector.destroy()


def _totals(docs) -> list[float]:
    return [event["data"]["cam_stats_total"] for event in docs.of("event") if "cam_stats_total" in event["data"]]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((100,), "<u2"), ((1,), "|u1"), ((3, 4, 5), "<u2"), ((2, 3, 4, 5), "<f4")], ids=str
)
def test_frames_of_other_dimensions_are_counted_as_images_are(engine, docs, make, caplog, shape, dtype):
    cam = make(shape, dtype)
    engine(bp.count([cam], 3))
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["primary"] == 3
    assert _totals(docs) == [math.prod(shape)] * 3
    with h5py.File(cam.path) as file:
        assert file["entry/data/data"].shape == (3, *shape)
        assert (file["entry/data/data"][()] == 1).all()
    assert not caplog.records


@pytest.mark.parametrize("dtype", ["|b1", "<c8", "<f2"])
def test_pixels_that_cannot_be_added_up_are_counted_without_numbers(engine, docs, make, dtype):
    cam = make((8, 8), dtype)
    engine(bp.count([cam], 2))
    assert docs.stop["num_events"]["primary"] == 2
    assert [math.isnan(total) for total in _totals(docs)] == [True] * 2


@pytest.mark.parametrize(("value", "total"), [(math.nan, 0.0), (math.inf, 0.0), (1.5, 96.0)])
def test_numbers_of_floats_leave_out_what_is_none(engine, docs, make, value, total):
    engine(bp.count([make((8, 8), "<f8", value)], 2))
    assert _totals(docs) == [total] * 2


def test_one_warning_a_run_and_a_flight_needs_none(engine, docs, make, caplog):
    cam = make((100,), "<c8")
    engine(record([cam], num=3))
    assert not caplog.records
    engine(bp.count([cam], 2))
    engine(bp.count([cam], 2))
    said = [record.message for record in caplog.records if record.name == "devices.statistics"]
    assert len(said) == 2
    assert str(cam.path) in said[1]
    assert "complex64" in said[1]


def test_an_account_that_is_read_while_frames_pass_adds_up(make):
    cam = make((512, 512), "<u2")
    cam._source.period = 0.0
    cam.stage()
    received, deadline = 0, time.monotonic() + 20
    while received < 100 and time.monotonic() < deadline:
        read = {key.removeprefix("cam_ledger_"): reading["value"] for key, reading in cam.ledger.read().items()}
        assert read["received"] == read["discarded"]
        received = read["received"]
    assert received >= 100
    cam.unstage()


def test_a_status_that_is_late_names_its_detector(make):
    status = FrameStatus(make((8, 8), "<u2"), recorded=lambda: 3, number=5, timeout=0.05)
    with pytest.raises(SinkError, match=r"^cam: frames asked for are not on disk after 0.05 s, 3 of 5 are; look at"):
        status.wait(10)
