"""A plan ends when its recording has failed, and a run closes only after its last frame is on disk and announced."""

import threading
import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import pytest
from bluesky.utils import FailedStatus

from beamstream.errors import GeometryChanged, RingOverrun, SilentSource, SinkError
from beamstream.sinks.hdf5 import Hdf5Sink
from plans.ledger import ledger_wrapper
from plans.record import monitor, record
from plans.references import darks


def _stored(detector) -> int:
    with h5py.File(detector.path) as file:
        return len(file["entry/data/unique_id"])


def _assert_adds_up(docs, *detectors) -> None:
    """Check that documents name all of each file, and that each frame that came is in one column."""
    (event,) = docs.events("ledger")
    for detector in detectors:
        name, account = detector.name, {k: v for k, v in event["data"].items() if k.startswith(detector.name)}
        recorded = account[f"{name}_ledger_recorded"]
        assert recorded == _stored(detector) == docs.rows(f"{name}_image")[-1][1]
        columns = (account[f"{name}_ledger_{key}"] for key in ("discarded", "repeated"))
        here = sum(detector_gap.missing for detector_gap in detector.ledger.account.gaps if _arrived(detector_gap))
        assert account[f"{name}_ledger_received"] == recorded + sum(columns) + here


def _arrived(gap) -> bool:
    return gap.place in ("ring", "disk", "geometry")


class SlowDisk(Hdf5Sink):
    """A file on a disk that takes 15 frames a second."""

    def _append(self, frames) -> None:
        time.sleep(0.066 * len(frames))
        super()._append(frames)


class StuckDisk(Hdf5Sink):
    """A file on a disk that stands still after 16 frames, until it is allowed to go on."""

    allowed = threading.Event()

    def _append(self, frames) -> None:
        if self.kept >= 16:
            assert self.allowed.wait(60)
        super()._append(frames)


@pytest.fixture
def slow_disk(monkeypatch) -> None:
    monkeypatch.setattr("devices.stream_detector.Hdf5Sink", SlowDisk)


@pytest.fixture
def stuck_disk(monkeypatch):
    StuckDisk.allowed.clear()
    monkeypatch.setattr("devices.stream_detector.Hdf5Sink", StuckDisk)
    yield StuckDisk.allowed
    StuckDisk.allowed.set()


@bpp.run_decorator()
def _fly(detector, until):
    """What bluesky's users write: kick off, look after other things, complete."""
    yield from bps.declare_stream(detector, name="primary", collect=True)
    yield from bps.kickoff(detector, wait=True)
    while not until():
        yield from bps.checkpoint()
        yield from bps.sleep(0.05)
        yield from bps.collect(detector, name="primary")


def _staged_flight(detector, until=lambda: False):
    detector.num_images.put(0)
    return ledger_wrapper(bpp.stage_wrapper(_fly(detector, until), [detector]))


@pytest.mark.parametrize("fault", ["geometry", "silence"])
@pytest.mark.parametrize("plan", [lambda cams: monitor(cams, flush_period=0.1), lambda cams: record(cams, seconds=60)])
def test_a_plan_without_a_number_ends_with_the_failure_of_one_of_its_detectors(
    engine, docs, cam, other, faults, plan, fault
):
    cam.timeout.put(0.5)
    faults(*{"geometry": ("ChangeShapeAt", 40), "silence": ("SilentAfter", 40)}[fault])
    with pytest.raises({"geometry": GeometryChanged, "silence": SilentSource}[fault], match=r"^cam: "):
        engine(plan([cam, other]))
    stop = docs.stop
    assert stop["exit_status"] == "fail"
    assert stop["reason"].startswith("cam: ")
    assert stop["time"] - docs.start["time"] < 30
    assert _stored(other) > 0
    _assert_adds_up(docs, cam, other)


@pytest.mark.parametrize("plan", [lambda cam: monitor([cam], flush_period=600), _staged_flight])
def test_a_run_whose_flight_has_failed_is_not_stopped_with_success(engine, docs, cam, faults, pause, plan):
    faults("ChangeShapeAt", 20)
    pause(plan(cam), lambda: cam.flight is not None and cam.flight.done)
    with pytest.raises(GeometryChanged, match="cam: the run began with"):
        engine.stop()
    assert docs.stop["exit_status"] == "fail"
    assert "the run began with" in docs.stop["reason"]
    _assert_adds_up(docs, cam)


def test_a_plan_that_never_looks_at_its_flight_fails_at_its_end(engine, docs, cam, faults):
    faults("ChangeShapeAt", 20)
    with pytest.raises(GeometryChanged):
        engine(_staged_flight(cam, until=lambda: cam.flight is not None and cam.flight.done))
    assert docs.stop["exit_status"] == "fail"


def test_references_end_with_the_failure_of_one_camera_and_keep_the_frames_of_the_other(
    engine, docs, cam, other, faults
):
    faults("ChangeShapeAt", 20)
    with pytest.raises(FailedStatus, match="cam: the run began with"):
        engine(darks([cam, other], 400))
    assert docs.stop["exit_status"] == "fail"
    _assert_adds_up(docs, cam, other)


def test_the_error_of_a_flight_is_one_line_that_names_the_camera(engine, cam, faults):
    faults("ChangeShapeAt", 20)
    with pytest.raises(FailedStatus) as raised:
        engine(record([cam], num=50))
    assert "\n" not in str(raised.value)
    assert str(raised.value.__cause__).startswith("cam: the run began with")


@pytest.mark.parametrize("plan", [lambda cam: monitor([cam], flush_period=0.1), _staged_flight])
@pytest.mark.parametrize(("how", "status"), [("stop", "success"), ("abort", "abort")])
def test_what_waits_for_a_slow_disk_is_written_and_announced_before_the_run_closes(
    engine, docs, cam, slow_disk, pause, how, status, plan
):
    enough = 100 if how == "stop" and plan is not _staged_flight else 30  # 100 take longer than 6 s
    pause(plan(cam), lambda: cam.ledger.account.received > enough + cam.get_index())
    getattr(engine, how)()
    assert docs.stop["exit_status"] == status
    assert _stored(cam) > enough
    _assert_adds_up(docs, cam)


def test_a_ring_that_runs_full_fails_the_run_after_all_in_it_is_written(engine, docs, make, slow_disk):
    cam = make(ring_memory=2**18)
    with pytest.raises(FailedStatus) as raised:
        engine(record([cam], num=2000, flush_period=0.1))
    assert isinstance(raised.value.__cause__, RingOverrun)
    assert docs.stop["exit_status"] == "fail"
    _assert_adds_up(docs, cam)


def test_the_wait_for_the_disk_shows_how_far_it_is(engine, docs, cam, slow_disk, pause):
    waits: list[tuple[str, int]] = []

    def hook(statuses) -> None:
        for status in statuses or ():
            if getattr(status, "progress", (0, None))[1]:
                waits.append((status.device.name, status.progress[1]))

    engine.waiting_hook = hook
    pause(monitor([cam], flush_period=0.1), lambda: cam.ledger.account.received > 20 + cam.get_index())
    engine.stop()
    name, number = waits[-1]
    assert name == "cam"
    assert number > 10


def test_a_wait_that_is_cut_short_counts_what_is_not_written_as_lost(engine, docs, cam, stuck_disk, pause, wait_for):
    pause(monitor([cam], flush_period=0.1), lambda: cam.ledger.account.received > 50)

    def cut_short() -> None:
        wait_for(lambda: any(t.name == "cam_ledger-disk" for t in threading.enumerate()), timeout=20)
        cam.ledger.cut_short()
        stuck_disk.set()  # what it was at is written

    thread = threading.Thread(target=cut_short)
    thread.start()
    with pytest.raises(SinkError, match=r"cam: the wait for the disk was cut short; \d+ accepted frames are not"):
        engine.stop()
    thread.join()
    assert docs.stop["exit_status"] == "fail"
    assert cam.ledger.account.lost > 0
    _assert_adds_up(docs, cam)


def test_a_plan_stopped_while_it_waits_for_the_disk_ends_with_what_is_written(
    engine, docs, make, stuck_disk, pause, wait_for
):
    cam = make(ring_memory=2**18)  # runs full
    pause(
        record([cam], num=2000, flush_period=0.1),
        lambda: any(t.name == "cam_ledger-disk" for t in threading.enumerate()),
    )
    thread = threading.Thread(target=lambda: (wait_for(lambda: engine.state == "stopping"), stuck_disk.set()))
    thread.start()
    with pytest.raises(RingOverrun):
        engine.stop()
    thread.join()
    assert docs.stop["exit_status"] == "fail"
    _assert_adds_up(docs, cam)
