"""What a person sees while frames come."""

import io
import threading

import pytest
from bluesky import plan_stubs as bps
from event_model import compose_run
from ophyd import Device
from ophyd.positioner import SoftPositioner
from ophyd.status import MoveStatus
from rich.console import Console
from run_engines import run_engine

from beamstream.callbacks.progress import FrameProgress
from beamstream.ledger import Ledger
from devices.frame_status import FrameStatus
from devices.ledger import LedgerDevice


class Detector(Device):
    """A detector whose frames are counted by hand."""

    def __init__(self, name: str, number: int | None) -> None:
        super().__init__(name=name)
        self.ledger = LedgerDevice(name=f"{name}_ledger")
        self.ledger.account = Ledger(name)
        self.number = number
        self.status: FrameStatus | None = None

    def trigger(self) -> FrameStatus:
        self.status = FrameStatus(self, recorded=lambda: self.ledger.account.recorded, number=self.number)
        self.ended = threading.Event()
        return self.status

    def tell_of_the_end(self) -> None:
        """Set `ended` once those who asked before were told; ophyd tells in a thread, in the order of asking."""
        self.status.add_callback(lambda _: self.ended.set())

    def record(self, recorded: int) -> None:
        self.ledger.account.recorded = recorded
        if recorded == self.number:
            self.status.settle(None)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


@pytest.fixture
def engine():
    with run_engine() as engine:
        yield engine


@pytest.fixture
def progress(console) -> FrameProgress:
    return FrameProgress(console)


def shows(console: Console, text: str):
    return lambda: text in console.file.getvalue()


def test_a_flight_is_shown_until_its_last_frame_is_on_disk(console, progress, wait_for):
    cam = Detector("cam", 20)
    progress({cam.trigger()})
    cam.record(7)
    wait_for(shows(console, "7/20"))
    cam.record(20)
    wait_for(shows(console, "20/20"), what="the last count, without another call")
    wait_for(lambda: progress._bars is None, what="the bar to end with its flight")


def test_a_bar_goes_on_when_the_same_wait_is_repeated(console, progress, wait_for):
    cam = Detector("cam", 20)
    flight = cam.trigger()
    progress({flight})
    bars = progress._bars
    progress({flight})
    assert progress._bars is bars
    assert len(bars.tasks) == 1
    cam.record(20)
    wait_for(lambda: progress._bars is None)
    progress(None)


def test_each_detector_has_a_bar_and_all_stay_until_the_last_one_is_done(console, progress, wait_for):
    cam, side = Detector("cam", 10), Detector("side", 30)
    progress({cam.trigger(), side.trigger()})
    assert {task.description for task in progress._bars.tasks} == {"cam", "side"}
    cam.tell_of_the_end()
    cam.record(10)
    assert cam.ended.wait(5)
    assert progress._bars is not None
    side.record(30)
    wait_for(lambda: progress._bars is None)
    assert "30/30" in console.file.getvalue()


def test_lost_frames_are_shown_in_red(console, progress, wait_for):
    cam = Detector("cam", 20)
    progress({cam.trigger()})
    cam.ledger.account.lost = 3
    wait_for(shows(console, "\x1b[1;31m3 lost"))
    cam.record(20)
    wait_for(lambda: progress._bars is None)


def test_a_flight_that_fails_ends_its_bar(progress, wait_for):
    cam = Detector("cam", 20)
    progress({cam.trigger()})
    cam.status.settle(RuntimeError("the camera burnt"))
    wait_for(lambda: progress._bars is None)


def test_nothing_is_shown_where_there_is_no_terminal():
    console = Console(file=io.StringIO())
    progress = FrameProgress(console)
    cam = Detector("cam", 20)
    progress({cam.trigger()})
    cam.tell_of_the_end()
    cam.record(20)
    assert cam.ended.wait(5)
    progress(None)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize("number", [1, None])
def test_a_trigger_and_a_flight_without_an_end_have_no_bar(console, progress, number):
    cam = Detector("cam", number)
    progress({cam.trigger()})
    progress(None)
    cam.status.settle(None)
    assert console.file.getvalue() == ""


def test_a_pause_takes_the_bars_away_and_going_on_brings_them_back(progress, wait_for):
    cam = Detector("cam", 20)
    progress({cam.trigger()})
    drawing = progress._bars.live._refresh_thread
    progress.state("paused", "pausing")
    assert progress._bars is None
    wait_for(lambda: not drawing.is_alive(), what="nobody to draw over the prompt")
    progress.state("running", "paused")
    assert [task.description for task in progress._bars.tasks] == ["cam"]
    cam.record(20)
    wait_for(lambda: progress._bars is None)


def test_an_idle_engine_has_no_bars_even_if_a_flight_never_ends(progress):
    cam = Detector("cam", 20)
    progress({cam.trigger()})
    progress.state("idle", "running")
    progress.state("running", "idle")
    assert progress._bars is None
    cam.status.settle(None)


def test_motors_are_shown_as_bluesky_shows_them(progress, capsys, wait_for):
    motor = SoftPositioner(name="theta", init_pos=0.0)
    move = MoveStatus(motor, 10.0)
    progress({move})
    motor._set_position(4.0)
    out: list[str] = []
    wait_for(lambda: out.append(capsys.readouterr().out) or "theta" in "".join(out), what="bluesky's own bar")
    move.set_finished()
    progress(None)


def test_an_error_in_a_bar_does_not_end_the_run(progress, caplog):
    class Broken:
        done = False
        progress = (0, 20, 0.0)

        def add_callback(self, _):
            raise RuntimeError("broken")

    progress({Broken()})
    assert "cannot be shown" in caplog.text
    progress.state("idle", "running")


def test_a_run_engine_that_waits_again_and_again_keeps_one_bar(engine, console, progress, wait_for):
    cam = Detector("cam", 40)
    bars = []

    def plan():
        status = yield from bps.trigger(cam, group="flight")
        recorded = 0
        while not status.done:
            yield from bps.wait("flight", timeout=0.05, error_on_timeout=False)
            bars.append(progress._bars)
            recorded += 10
            cam.record(recorded)
        yield from bps.wait("flight")

    engine.waiting_hook = progress
    engine.state_hook = progress.state
    engine(plan())
    wait_for(lambda: progress._bars is None)
    assert len(set(bars[:4])) == 1
    assert "40/40" in console.file.getvalue()


def test_a_recording_by_time_is_followed_by_its_documents(console, progress, wait_for):
    run = compose_run(metadata={"plan_name": "record", "seconds": 60.0})
    progress.document("start", run.start_doc)
    key = {"source": "pva://X", "dtype": "array", "shape": [4, 4], "dtype_numpy": "<u2", "external": "STREAM:"}
    keys = {"cam_image": key}
    stream = run.compose_descriptor(name="primary", data_keys=keys, object_keys={"cam": list(keys)})
    progress.document("descriptor", stream.descriptor_doc)
    resource = run.compose_stream_resource(
        mimetype="application/x-hdf5", uri="file://localhost/cam.h5", data_key="cam_image", parameters={}
    )
    progress.document("stream_resource", resource.stream_resource_doc)
    datum = resource.compose_stream_datum(indices={"start": 0, "stop": 48}, descriptor=stream.descriptor_doc)
    progress.document("stream_datum", datum)
    wait_for(shows(console, "48 frames"))
    wait_for(shows(console, "s left"))
    progress.document("stop", run.compose_stop())
    assert progress._bars is None


def test_a_run_with_a_number_of_frames_is_not_shown_twice(console, progress):
    run = compose_run(metadata={"plan_name": "record", "num": 100})
    progress.document("start", run.start_doc)
    key = {"source": "X", "dtype": "array", "shape": [4, 4], "dtype_numpy": "<u2", "external": "STREAM:"}
    stream = run.compose_descriptor(name="primary", data_keys={"cam_image": key})
    progress.document("descriptor", stream.descriptor_doc)
    progress.document("stop", run.compose_stop())
    assert console.file.getvalue() == ""
