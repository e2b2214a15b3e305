"""A pause stops what we started and counts nothing twice; what it broke into is done anew, in any plan."""

import asyncio
import threading
from functools import partial

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import pytest
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import RunEngineInterrupted
from ophyd import Device, EpicsSignalRO, Signal
from ophyd.status import DeviceStatus
from run_engines import pause_when

from plans.record import monitor, record


@pytest.fixture
def pause(engine):
    """Run a plan and pause it as soon as a condition holds."""
    return partial(pause_when, engine)


@pytest.fixture
def acquiring(beamline):
    """Whether the controlled camera acquires, as it says itself."""
    signal = EpicsSignalRO("DEV:A:cam1:Acquire_RBV", name="acquire")
    signal.wait_for_connection(timeout=5)
    yield lambda: bool(signal.get(as_string=False))
    signal.destroy()


class Slow(Device):
    """A point detector that counts until it is allowed to end."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.end = threading.Event()
        self.reading = threading.Event()
        self.read_on = threading.Event()
        self.read_on.set()

    def trigger(self) -> DeviceStatus:
        status = DeviceStatus(self)
        threading.Thread(target=lambda: (self.end.wait(20), status.set_finished()), name="slow").start()
        return status

    def read(self) -> dict:
        self.reading.set()
        self.read_on.wait(20)
        return {"slow": {"value": 1.0, "timestamp": 0.0}}

    def describe(self) -> dict:
        return {"slow": {"source": "test", "dtype": "number", "shape": []}}


class SlowlyRead(Slow):
    """Its reading takes long, so that a pause comes between two readings of an event."""

    async def read(self) -> dict:
        self.reading.set()
        while not self.read_on.is_set():
            await asyncio.sleep(0.01)
        return {"slow": {"value": 1.0, "timestamp": 0.0}}


def _stored(detector) -> list[int]:
    with h5py.File(detector.path) as file:
        return file["entry/data/unique_id"][:].tolist()


def _assert_adds_up(docs, detector) -> dict[int, list[int]]:
    """Check columns and documents against the file; return the rows of each event."""
    ledger = docs.ledger
    recorded = ledger["cam_ledger_recorded"]
    assert recorded == len(_stored(detector))
    assert ledger["cam_ledger_received"] == recorded + ledger["cam_ledger_discarded"] + ledger["cam_ledger_repeated"]
    (resource,) = [d["uid"] for d in docs.of("stream_resource") if d["data_key"] == "cam_image"]
    rows: dict[int, list[int]] = {}
    expected = 0
    for datum in docs.of("stream_datum"):
        if datum["stream_resource"] == resource:
            assert datum["indices"]["start"] == expected
            expected = datum["indices"]["stop"]
            for row in range(datum["indices"]["start"], expected):
                number = datum["seq_nums"]["start"] + row - datum["indices"]["start"]
                rows.setdefault(number, []).append(row)
    assert expected == recorded
    return rows


@pytest.mark.parametrize("early", [False, True])
def test_a_paused_flight_of_a_controlled_camera_has_all_its_frames_and_loses_none(
    engine, docs, cam, pause, acquiring, wait_for, early
):
    when = (lambda: cam.flight is not None) if early else (lambda: cam.get_index() > 30)
    cam.timeout.put(0.5)
    pause(record([cam], num=150, flush_period=0.1), when)
    wait_for(lambda: not acquiring(), what="the camera to stop")
    threading.Event().wait(0.8)  # longer than the deadline
    engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert docs.ledger["cam_ledger_lost"] == 0
    assert len(_stored(cam)) == 150
    _assert_adds_up(docs, cam)


def test_a_paused_monitor_starts_its_camera_again(engine, docs, cam, pause, acquiring, wait_for):
    pause(monitor([cam], flush_period=0.05), lambda: cam.get_index() > 10)
    wait_for(lambda: not acquiring())
    before = cam.get_index()

    def again() -> None:
        wait_for(lambda: cam.get_index() > before + 10, timeout=20)
        engine.request_pause()

    thread = threading.Thread(target=again)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        engine.resume()
    thread.join()
    engine.stop()
    assert docs.stop["exit_status"] == "success"
    assert docs.ledger["cam_ledger_lost"] == 0
    _assert_adds_up(docs, cam)


def test_two_pauses_without_a_frame_between_them_start_the_camera_for_the_rest_only(engine, docs, cam, pause):
    pause(record([cam], num=100, flush_period=0.1), lambda: cam.get_index() > 20)
    cam.pause()  # as by a suspender that trips while the RunEngine is paused
    engine.resume()
    cam.resume()
    assert len(_stored(cam)) == 100
    _assert_adds_up(docs, cam)


def test_a_suspender_stops_a_flight_and_lets_it_go_on(engine, docs, cam, acquiring, wait_for):
    beam = Signal(name="beam", value=0)
    engine.install_suspender(SuspendBoolHigh(beam))
    seen: list[bool] = []

    def trip() -> None:
        wait_for(lambda: cam.get_index() > 30, timeout=20)
        beam.put(1)
        wait_for(lambda: not acquiring(), timeout=20)
        seen.append(True)
        beam.put(0)

    thread = threading.Thread(target=trip)
    thread.start()
    engine(record([cam], num=150, flush_period=0.1))
    thread.join()
    engine.clear_suspenders()
    assert seen
    assert docs.ledger["cam_ledger_lost"] == 0
    assert len(_stored(cam)) == 150
    _assert_adds_up(docs, cam)


def test_a_flight_of_bluesky_that_is_rewound_to_its_kickoff_goes_on(engine, docs, cam, pause):
    cam.num_images.put(100)

    @bpp.stage_decorator([cam])
    @bpp.run_decorator()
    def fly():
        yield from bps.declare_stream(cam, name="primary", collect=True)
        yield from bps.checkpoint()
        yield from bps.kickoff(cam, wait=True)
        yield from bps.complete(cam, wait=True)
        yield from bps.collect(cam, name="primary")

    pause(fly(), lambda: cam.get_index() > 30)
    engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert len(_stored(cam)) == 100
    _assert_adds_up(docs, cam)


@pytest.mark.parametrize("control", [True, False])
@pytest.mark.parametrize("suspended", [False, True])
def test_a_pause_between_a_frame_and_its_event_takes_another_frame_for_it(
    engine, docs, make, faults, pause, wait_for, control, suspended
):
    cam = make(*([] if control else ["DEV:F"]), control=control)
    slow = Slow("", name="slow")
    plan = bp.count([cam, slow], 3)

    def there() -> bool:
        return cam.ledger.account.recorded >= 1

    if suspended:
        beam = Signal(name="beam", value=0)
        engine.install_suspender(SuspendBoolHigh(beam))

        def trip() -> None:
            wait_for(there, timeout=20)
            beam.put(1)
            wait_for(lambda: cam._paused, timeout=20)
            slow.end.set()
            beam.put(0)

        thread = threading.Thread(target=trip)
        thread.start()
        engine(plan)
        thread.join()
        engine.clear_suspenders()
    else:
        pause(plan, there)
        slow.end.set()
        engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["primary"] == 3
    rows = _assert_adds_up(docs, cam)
    assert list(rows) == [1, 2, 3]
    assert len(rows[1]) >= 2
    assert [len(rows[number]) for number in (2, 3)] == [1, 1]
    first = next(event for event in docs.of("event") if "slow" in event["data"])
    with h5py.File(cam.path) as file:  # the event is of the last of its frames
        image = file["entry/data/data"][rows[1][-1]]
    assert first["data"]["cam_stats_total"] == image.sum()


def test_a_pause_between_two_readings_of_an_event_leaves_no_frame_out_of_the_documents(
    engine, docs, cam, pause, wait_for
):
    slow = SlowlyRead("", name="slow")
    slow.end.set()
    slow.read_on.clear()
    pause(bp.count([cam, slow], 3), slow.reading.is_set)
    slow.read_on.set()
    engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["primary"] == 3
    rows = _assert_adds_up(docs, cam)
    assert rows == {1: [0, 1], 2: [2], 3: [3]}


def test_what_a_pause_broke_into_fails_nothing_later(engine, docs, make, faults, pause, wait_for):
    cam = make(timeout=20.0)
    faults("SilentAfter", 1)
    pause(bp.count([cam], 3), lambda: len(docs.of("event")) == 1 and cam._status is not None and not cam._status.done)
    broken = cam._status
    faults("ClearFaults", 1)
    engine.resume()
    assert docs.stop["num_events"]["primary"] == 3
    assert broken is not None
    assert broken.done
    assert broken.success
    _assert_adds_up(docs, cam)


def test_an_account_after_a_stop_in_a_pause_adds_up(engine, docs, cam, pause):
    pause(record([cam], num=1000, flush_period=0.1), lambda: cam.get_index() > 20)
    engine.stop()
    assert docs.stop["exit_status"] == "success"
    assert docs.ledger["cam_ledger_lost"] == 0
    _assert_adds_up(docs, cam)
