"""A simulated camera keeps its pace, and gets wrong what it is asked to get wrong: seen from the wire."""

import time

import numpy as np
import pytest

from beamstream.frames import Geometry
from beamstream.sim.camera import SimCamera
from beamstream.sim.faults import Faults
from beamstream.sim.pattern import Pattern, read_unique_id

GEOMETRY = Geometry((48, 64), "<u2")


@pytest.fixture
def camera(server):
    with SimCamera("SIM:ONE", GEOMETRY, server=server, period=0.004) as camera:
        camera.image_mode = "Multiple"
        yield camera


@pytest.fixture
def run(camera, monitor, wait_for):
    """Return a function that acquires n frames with faults and returns what the wire showed."""
    watch = monitor(camera.pv_name)

    def acquire(n, faults=None, updates=None):
        seen = len(watch.updates)
        camera.faults = faults or Faults()
        camera.num_images = n
        camera.start()
        wait_for(lambda: len(watch.updates) - seen >= (n if updates is None else updates), what="the updates")
        assert camera.faults.silent_after is not None or camera.wait(5.0)
        return watch.updates[seen:]

    return acquire


def test_every_frame_arrives_once_with_its_id_in_the_pixels(run):
    updates = run(50)
    assert [u.unique_id for u in updates] == list(range(1, 51))
    pattern = Pattern(GEOMETRY)
    assert all(np.array_equal(u.image, pattern.image(u.unique_id)) for u in updates)
    assert {u.attributes["ColorMode"] for u in updates} == {0}


def test_ids_go_on_across_acquisitions(run):
    assert [u.unique_id for u in run(3)] == [1, 2, 3]
    assert [u.unique_id for u in run(2)] == [4, 5]


def test_the_server_has_a_picture_before_the_first_acquisition(camera, monitor):
    assert read_unique_id(monitor(camera.pv_name).first.image) == 0


def test_a_server_that_was_just_started_can_be_empty(server, monitor):
    with SimCamera("SIM:EMPTY", GEOMETRY, server=server, prefilled=False) as camera:
        first = monitor(camera.pv_name).first
    assert (first.sizes, first.pixels.size) == ((), 0)


def test_the_pace_does_not_drift(camera, run):
    camera.acquire_period = 0.01
    stamps = np.array([u.data_timestamp for u in run(200)])
    # the stamps tell when the exposures were due; a pace that adds up what posting takes would be late here
    assert stamps[-1] - stamps[0] == pytest.approx(199 * 0.01, abs=0.02)
    assert np.diff(stamps) == pytest.approx(0.01, abs=0.02)


def test_frames_carry_the_time_of_exposure_and_of_posting(run):
    before = time.time()
    updates = run(20)
    for u in updates:
        assert before <= u.data_timestamp <= u.timestamp <= time.time()


def test_a_camera_can_have_a_clock_of_its_own(server, monitor, wait_for):
    with SimCamera("SIM:CLOCK", GEOMETRY, server=server, clock=lambda: time.time() + 3600) as camera:
        watch = monitor(camera.pv_name)
        camera.start()
        wait_for(lambda: watch.updates, what="a frame")
        assert watch.updates[0].timestamp - time.time() == pytest.approx(3600, abs=5)


def test_no_frame_comes_after_a_stop(camera, monitor, wait_for):
    watch = monitor(camera.pv_name)
    camera.image_mode = "Continuous"
    camera.start()
    wait_for(lambda: len(watch.updates) > 20, what="frames")
    assert camera.stop()
    wait_for(lambda: watch.ids[-1] == camera.array_counter, what="the last frame")
    posted = camera.statistics.posted
    camera.start()
    wait_for(lambda: len(watch.updates) > posted, what="a frame of the next acquisition")
    assert watch.ids == list(range(1, len(watch.ids) + 1))


def test_a_free_running_camera_needs_no_start(server, monitor, wait_for):
    with SimCamera("SIM:FREE", GEOMETRY, server=server, period=0.005, free_running=True) as camera:
        watch = monitor(camera.pv_name)
        wait_for(lambda: len(watch.updates) > 20, what="frames")
    assert np.all(np.diff(watch.ids) == 1)


def test_skipped_exposures_leave_gaps(run, camera):
    assert [u.unique_id for u in run(9, Faults(skip_every=3), updates=6)] == [1, 2, 4, 5, 7, 8]
    assert [u.unique_id for u in run(5, Faults(skip_ids=frozenset({10, 12})), updates=3)] == [11, 13, 14]
    assert camera.statistics.skipped == 5
    lossy = Faults(skip_random=0.2, seed=7)
    left = sum(lossy.posts(index, 0) for index in range(100))
    assert 60 < left < 95
    assert len({u.unique_id for u in run(100, lossy, updates=left)}) == left


def test_repeated_frames_have_the_same_id_and_pixels(run):
    updates = run(4, Faults(repeat_every=2), updates=6)
    assert [u.unique_id for u in updates] == [1, 2, 2, 3, 4, 4]
    assert np.array_equal(updates[1].image, updates[2].image)


def test_ids_restart_at_zero(run):
    assert [u.unique_id for u in run(6, Faults(restart_at=3))] == [1, 2, 3, 0, 1, 2]


def test_a_silent_camera_is_acquiring_without_frames_until_it_is_stopped(run, camera):
    assert [u.unique_id for u in run(10, Faults(silent_after=4), updates=4)] == [1, 2, 3, 4]
    assert not camera.wait(0.2)
    assert camera.acquiring
    assert camera.statistics.posted == 4
    assert camera.stop()
    assert [u.unique_id for u in run(2)] == [5, 6]


def test_a_silent_camera_wakes_when_the_fault_is_taken_away(run, camera, monitor):
    run(6, Faults(silent_after=4), updates=4)
    camera.faults = Faults()
    assert camera.wait(5.0)
    assert camera.statistics.posted == 6


def test_shape_and_type_change_in_the_middle(run):
    updates = run(6, Faults(change_shape_at=2, change_dtype_at=4, change_dtype="<f4"))
    assert [(u.image.shape, u.image.dtype.str) for u in updates[1::2]] == [
        ((48, 64), "<u2"),
        ((24, 32), "<u2"),
        ((24, 32), "<f4"),
    ]
    assert [read_unique_id(u.image) for u in updates] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("kind", "sizes"), [("product", (65, 48)), ("negative", (-64, 48)), ("zero", (0, 48)), ("missing", ())]
)
def test_malformed_dimensions_reach_the_wire_and_heal(run, kind, sizes):
    updates = run(4, Faults(malformed_at=1, malformed_count=2, malformed=kind))
    assert [u.sizes for u in updates] == [(64, 48), sizes, sizes, (64, 48)]
    assert {u.pixels.size for u in updates} == {48 * 64}


def test_piecewise_posting_shows_new_ids_with_the_previous_picture(run):
    updates = run(5, Faults(piecewise=True), updates=15)
    assert [u.unique_id for u in updates] == [i for i in range(1, 6) for _ in range(3)]
    assert [read_unique_id(u.image) for u in updates] == [i for k in range(5) for i in (k, k, k + 1)]


def test_an_acquisition_that_cannot_go_on_ends_with_an_error_and_the_next_one_works(camera, run, caplog):
    camera.faults = Faults(change_dtype_at=0, change_dtype="<c8")
    camera.start()
    assert camera.wait(5.0)
    assert "<c8" in str(camera.error)
    camera.array_counter = 0
    assert [u.unique_id for u in run(2)] == [1, 2]
    assert camera.error is None
