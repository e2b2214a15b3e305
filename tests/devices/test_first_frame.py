"""A trigger takes a frame that was begun after it, of a camera that runs by itself and whose frames come late."""

import time
from collections.abc import Callable

import bluesky.plans as bp
import h5py
import numpy as np
import pytest
from pva_camera import PvaCamera

from devices.pva_detector import PvaDetector
from plans.record import record

PERIOD = 0.02  # s


@pytest.fixture
def late(detector_of) -> Callable[..., PvaDetector]:
    """Make a detector of a camera whose frames come so late."""
    return lambda delay, clock=0.0: detector_of(PERIOD, delay, clock, timeout=5.0)


def _scanned(engine, cam: PvaDetector, points: int) -> np.ndarray:
    """Take a step scan; return when the exposures were begun that were kept, after their triggers, s."""
    triggered, trigger = [], cam.trigger

    def noted():
        triggered.append(time.time())  # what moved stands still from here on
        return trigger()

    cam.trigger = noted
    engine(bp.count([cam], points, delay=0.03))
    with h5py.File(cam.path) as file:
        return file["entry/data/timestamp"][:] - triggered


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.25])
def test_the_frame_of_a_point_was_begun_after_its_trigger(engine, docs, late, delay):
    cam = late(delay)
    begun = _scanned(engine, cam, 5)
    assert begun.min() >= 0
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    assert descriptor["configuration"]["cam"]["data"]["cam_trigger_rule"] == "timestamp"
    assert cam.ledger.account.lost == 0


@pytest.mark.parametrize("clock", [-1_700_000_000.0, 3600.0, -7200.0, 0.8, None])
def test_a_clock_that_is_another_one_holds_up_no_scan(engine, docs, late, clock):
    cam = late(0.05, clock)
    _scanned(engine, cam, 3)
    assert docs.stop["exit_status"] == "success"
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "primary"]
    assert descriptor["configuration"]["cam"]["data"]["cam_trigger_rule"] == "count"
    assert cam.ledger.account.discarded < 40  # in three points


def test_a_run_of_a_camera_that_counts_from_power_on_goes_by_our_clock(engine, docs, late):
    cam = late(0.05, 4711.0 - time.time())
    before = time.time()
    engine(record([cam], num=10, flush_period=0.1))
    with h5py.File(cam.path) as file:
        times, received = file["entry/data/timestamp"][:], file["entry/data/received"][:]
    assert before <= times[0] <= times[-1] <= time.time()
    assert (times == received).all()
    engine(bp.count([cam], 2))
    for event in docs.of("event"):
        assert before <= event["time"] <= time.time()
        assert all(before <= at for key, at in event["timestamps"].items() if "_stats_" in key)
    assert cam.ledger.account.trigger_rule == "count"


def test_a_clock_that_is_a_second_slow_costs_a_second_a_point_and_no_more(engine, docs, late):
    cam = late(0.05, -1.0)
    assert (_scanned(engine, cam, 2) >= 0).all()
    assert docs.stop["exit_status"] == "success"


def test_a_flight_begins_with_a_frame_of_its_own_and_the_ledger_says_how_it_was_found(engine, docs, late):
    cam = late(0.1)
    begun: list[float] = []
    kickoff = cam.kickoff

    def noted():
        begun.append(time.time())
        return kickoff()

    cam.kickoff = noted
    engine(record([cam], num=10, flush_period=0.1))
    with h5py.File(cam.path) as file:
        assert file["entry/data/timestamp"][0] >= begun[0]
    (descriptor,) = [d for d in docs.of("descriptor") if d["name"] == "ledger"]
    assert descriptor["configuration"]["cam_ledger"]["data"]["cam_ledger_trigger_rule"] == "timestamp"


def test_a_server_that_numbers_no_frame_is_recorded_and_the_run_is_marked(engine, docs, tmp_path, caplog):
    with PvaCamera("DEV:U:Image") as camera:
        cam = PvaDetector(camera.pv, name="cam", directory=tmp_path, timeout=5.0, ring_memory=2**22)
        kickoff = cam.kickoff

        def then_post():
            status = kickoff()
            start = time.time()
            camera.post([(0, start + 0.1 * n) for n in range(20)])
            return status

        cam.kickoff = then_post
        engine(record([cam], num=10, flush_period=0.1))
        account = cam.ledger.account
        assert (account.recorded, account.lost, account.restarts, account.whole) == (10, 0, 1, False)
        assert "uniqueId does not move" in caplog.text
        assert caplog.text.count("uniqueId does not move") == 1
        cam.destroy()
