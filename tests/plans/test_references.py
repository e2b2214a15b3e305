"""`darks` and `flats` record references, and leave shutter and sample as they were however they end."""

import bluesky.plan_stubs as bps
import event_model
import h5py
import pytest
from bluesky.utils import FailedStatus
from ophyd import Component as Cpt
from ophyd import Device, EpicsMotor, EpicsSignal, Signal
from ophyd.status import Status

from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.process import SimProcess
from devices.pva_detector import PvaDetector
from plans.references import darks, flats

HOME, OUT = 1.0, 5.0  # mm
FAR = 11.0  # mm, half a second away
VELOCITY = 20.0  # mm/s
X, Y = "PLAN:ref:x", "PLAN:ref:y"


@pytest.fixture(scope="module")
def beamline():
    cameras = (
        CameraSpec("PLAN:A", Geometry((48, 64), "<u2"), period=0.005),
        CameraSpec("PLAN:B", Geometry((32, 32), "|u1")),
    )
    with SimProcess(Beamline(cameras, (MotorSpec(X, VELOCITY), MotorSpec(Y, VELOCITY)))) as process:
        # caproto looks for what it knew from the last beamline every 8 s, unless it looks for something new
        new = EpicsSignal(f"{X}.VELO", name="velocity")
        new.wait_for_connection(timeout=10)
        new.destroy()
        yield process


class Motor(EpicsMotor):
    """A motor that remembers its moves: one that was stopped must have ended before the next."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.moves: list[Status] = []

    def set(self, *args, **kwargs) -> Status:
        self.moves.append(super().set(*args, **kwargs))
        return self.moves[-1]


@pytest.fixture(scope="module")
def motors(beamline):
    # settling: ophyd can miss the end of a move that begins in the same instant as another one ends
    motors = [Motor(prefix, name=name, settle_time=0.02) for prefix, name in ((X, "x"), (Y, "y"))]
    for motor in motors:
        motor.wait_for_connection(timeout=10)
    yield motors
    for motor in motors:
        motor.destroy()


@pytest.fixture
def x(motors) -> Motor:
    motors[0].move(HOME, wait=True, timeout=10)
    return motors[0]


@pytest.fixture
def y(motors) -> Motor:
    motors[1].move(HOME, wait=True, timeout=10)
    return motors[1]


@pytest.fixture
def unused(tmp_path):
    """A detector that is only looked at."""
    detector = PvaDetector("PLAN:A:Pva1:Image", name="cam", directory=tmp_path)
    yield detector
    detector.destroy()


class Told:
    """Hooks that remember in which order things happened, and where the motor was."""

    def __init__(self, docs, motor=None) -> None:
        self.calls: list[str] = []
        self._docs, self._motor = docs, motor

    def hook(self, name: str, error: Exception | None = None):
        def plan():
            self.say(name)
            yield from bps.null()
            if error is not None:
                raise error

        return plan

    def say(self, name: str) -> None:
        where = "" if self._motor is None else f" at {self._motor.position:g}"
        self.calls.append(f"{name}{where}")

    def __call__(self, name: str, doc: dict) -> None:
        if name in ("start", "stop"):
            self.say(name)


def _stored(detector) -> int:
    with h5py.File(detector.path) as file:
        return len(file["entry/data/unique_id"])


def _at(motor, position: float) -> bool:
    return motor.position == motor.user_setpoint.get() == position and not motor.moving


@pytest.mark.parametrize(("plan", "reference"), [(darks, "dark"), (flats, "flat")])
def test_the_start_document_says_which_reference_it_is_and_what_was_asked_for(engine, docs, cam, plan, reference):
    told = Told(docs)
    engine(plan(cam, 7, before=told.hook("open"), md={"sample": "A7"}))
    start = docs.start
    assert (start["plan_name"], start["purpose"], start["reference"]) == (f"{reference}s", "reference", reference)
    assert (start["num"], start["detectors"], start["sample"]) == (7, ["cam"], "A7")
    assert start["plan_args"] == {"detectors": [repr(cam)], "num": 7, "before": ["plan"], "after": []}
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"] == {"primary": 7, "ledger": 1}
    assert _stored(cam) == docs.rows("cam_image")[-1][1] == 7
    for name, doc in docs:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_several_detectors_have_a_stream_each_in_one_run(engine, docs, cam, other):
    engine(darks([cam, other], 5))
    assert docs.start["detectors"] == ["cam", "other"]
    assert docs.stop["num_events"] == {"cam": 5, "other": 5, "ledger": 1}


def test_ten_frames_are_taken_unless_told_otherwise(engine, docs, cam):
    engine(darks([cam]))
    assert docs.stop["num_events"]["primary"] == docs.start["num"] == 10


def test_the_sample_is_out_before_anything_else_and_back_at_the_very_end(engine, docs, cam, x):
    told = Told(docs, x)
    engine.subscribe(told)
    before, after = [told.hook("open"), told.hook("filter in")], [told.hook("close"), told.hook("filter out")]
    engine(flats(cam, 3, motor=x, out=OUT, before=before, after=after))
    steps = ["open", "filter in", "start", "stop", "close", "filter out"]
    assert told.calls == [f"{step} at 5" for step in steps]
    assert _at(x, HOME)
    assert docs.start["plan_args"]["motor"] == [repr(x)]
    assert docs.start["plan_args"]["out"] == [OUT]


def test_several_motors_move_at_once_to_a_place_each_and_back(engine, docs, cam, x, y):
    seen: list[tuple[str, float]] = []
    for motor in (x, y):
        motor.user_readback.subscribe(lambda value, name=motor.name, **_: seen.append((name, value)), run=False)
    engine.subscribe(lambda name, doc: seen.append(("start", 0.0)), "start")
    engine(flats(cam, 3, motor=[x, y], out=[OUT, -OUT]))
    start = seen.index(("start", 0.0))
    for moves in (seen[:start], seen[start + 1 :]):
        names = [name for name, _ in moves]
        assert names.index("y") < len(names) - 1 - names[::-1].index("x")
        assert names.index("x") < len(names) - 1 - names[::-1].index("y")
    assert dict(seen[:start]) == {"x": OUT, "y": -OUT}
    assert _at(x, HOME)
    assert _at(y, HOME)


class Coarse(Device):
    """A stage that never gets quite where it is sent."""

    user_setpoint = Cpt(Signal, value=HOME)
    user_readback = Cpt(Signal, value=HOME + 0.01, kind="hinted")

    def set(self, position: float) -> Status:
        self.user_setpoint.put(position)
        self.user_readback.put(position + 0.01)
        status = Status(self)
        status.set_finished()
        return status


def test_a_motor_that_is_never_quite_there_does_not_creep(engine, cam):
    stage = Coarse(name="stage")
    for _ in range(2):
        engine(flats(cam, 1, motor=stage, out=OUT))
    assert stage.user_setpoint.get() == HOME


def test_after_a_failure_of_the_frames_the_shutter_is_closed_and_the_sample_back(engine, docs, make, x, faults):
    cam, told = make(on_loss="fail"), Told(docs, x)
    faults("SkipEvery", 10)
    with pytest.raises(FailedStatus):
        engine(flats(cam, 50, motor=x, out=OUT, after=told.hook("close")))
    assert docs.stop["exit_status"] == "fail"
    assert docs.events("ledger")[0]["data"]["cam_ledger_lost"] > 0
    assert told.calls == ["close at 5"]
    assert _at(x, HOME)


def test_what_fails_before_the_frames_leaves_no_run_and_everything_as_it_was(engine, docs, cam, x):
    told = Told(docs, x)
    before = [told.hook("open", RuntimeError("the shutter sticks")), told.hook("filter in")]
    with pytest.raises(RuntimeError, match="the shutter sticks"):
        engine(flats(cam, 3, motor=x, out=OUT, before=before, after=told.hook("close")))
    assert told.calls == ["open at 5", "close at 5"]
    assert not docs
    assert _at(x, HOME)


def test_everything_after_the_frames_is_tried_even_if_one_thing_fails(engine, docs, cam, x):
    told = Told(docs, x)
    after = [told.hook("close", RuntimeError("the shutter sticks")), told.hook("filter out")]
    with pytest.raises(RuntimeError, match="the shutter sticks"):
        engine(flats(cam, 3, motor=x, out=OUT, after=after))
    assert told.calls == ["close at 5", "filter out at 5"]
    assert docs.stop["exit_status"] == "success"
    assert _at(x, HOME)


def test_a_function_that_returns_no_plan_is_named(engine, docs, cam, knob):
    def forgotten():
        knob.put(2.0)

    with pytest.raises(TypeError, match=r"^darks: forgotten returned no plan; return one, like"):
        engine(darks(cam, 3, before=forgotten))
    assert not docs


def test_a_pause_between_frames_is_gone_on_from(engine, docs, cam, x, pause):
    told = Told(docs, x)
    hooks = {"before": told.hook("open"), "after": told.hook("close")}
    pause(flats(cam, 150, motor=x, out=OUT, **hooks), lambda: cam.get_index() > 20)
    assert told.calls == ["open at 5"]
    assert x.position == OUT
    engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["primary"] == _stored(cam) > 20
    assert _stored(cam) + cam.ledger.account.lost == 150  # this camera went on during the pause
    assert told.calls == ["open at 5", "close at 5"]
    assert _at(x, HOME)


def test_a_pause_on_the_way_out_stops_the_motor_and_is_gone_on_from(engine, docs, cam, x, pause, wait_for):
    pause(flats(cam, 3, motor=x, out=FAR), lambda: x.position > 2)
    wait_for(lambda: x.moves[-1].done)
    assert 2 < x.position < FAR
    assert not docs
    engine.resume()
    assert docs.stop["num_events"]["primary"] == 3
    assert _at(x, HOME)


def test_a_pause_on_the_way_back_is_gone_on_from(engine, docs, cam, x, pause, wait_for):
    told = Told(docs)
    plan = flats(cam, 3, motor=x, out=FAR, after=told.hook("close"))
    pause(plan, lambda: told.calls and x.position < 9)
    wait_for(lambda: x.moves[-1].done)
    assert HOME < x.position < 9
    engine.resume()
    assert told.calls == ["close"]
    assert _at(x, HOME)


@pytest.mark.parametrize("how", ["abort", "stop"])
def test_a_plan_ended_between_frames_closes_the_shutter_and_brings_the_sample_back(engine, docs, cam, x, pause, how):
    told = Told(docs, x)
    pause(flats(cam, 10_000, motor=x, out=OUT, after=told.hook("close")), lambda: cam.get_index() > 20)
    getattr(engine, how)()
    assert docs.stop["exit_status"] == {"abort": "abort", "stop": "success"}[how]
    assert docs.rows("cam_image")[-1][1] == docs.stop["num_events"]["primary"] == _stored(cam) < 10_000
    assert docs.events("ledger")[0]["data"]["cam_ledger_recorded"] == _stored(cam)
    assert told.calls == ["close at 5"]
    assert _at(x, HOME)


def test_a_plan_aborted_on_the_way_out_brings_the_sample_back_and_leaves_no_run(engine, docs, cam, x, pause, wait_for):
    pause(flats(cam, 3, motor=x, out=FAR), lambda: x.position > 2)
    wait_for(lambda: x.moves[-1].done)
    engine.abort()
    assert not docs
    assert _at(x, HOME)


def test_the_camera_is_as_it_was_found(engine, cam):
    cam.control.wait_for_connection(timeout=5)
    cam.control.num_images.put(7, wait=True)
    engine(darks(cam, 3))
    assert cam.control.num_images.get() == 7


@pytest.mark.parametrize("plan", [darks, flats])
def test_what_makes_no_sense_is_refused_before_the_first_message(unused, plan):
    for kwargs, error, words in (
        ({"num": 0}, ValueError, "num=0 given; use a whole number of frames, 1 or more"),
        ({"num": 2.5}, ValueError, "num=2.5 given; use a whole number of frames"),
        ({"num": True}, ValueError, "num=True given; use a whole number of frames"),
        ({"num": float("nan")}, ValueError, "num=nan given; use a whole number of frames"),
        ({"before": "shutter"}, TypeError, "before='shutter' given; give a function without arguments"),
        ({"after": [bps.null, 3]}, TypeError, "after=3 given; give a function without arguments"),
        ({"after": (msg for msg in ())}, TypeError, r"after=.* given \(a plan can run only once\); give a function"),
    ):
        with pytest.raises(error, match=f"^{plan.__name__}: {words}"):
            next(plan(unused, **kwargs))


def test_flats_refuse_motors_and_places_that_do_not_belong_together(unused, x, y):
    for kwargs, error, words in (
        ({"motor": x}, ValueError, "motor=x and out=None given; give both or neither"),
        ({"out": 1.0}, ValueError, "motor=None and out=1.0 given; give both or neither"),
        ({"motor": [x, y], "out": 1.0}, ValueError, "give one position for each motor"),
        ({"motor": [x, y], "out": [1.0]}, ValueError, "give one position for each motor"),
        ({"motor": x, "out": [1.0, 2.0]}, ValueError, "give one position for each motor"),
        ({"motor": [x, x], "out": [1.0, 2.0]}, ValueError, "give each of them once"),
        ({"motor": unused, "out": 1.0}, TypeError, r"cam cannot be moved \(it has no set\); give a motor"),
        ({"motor": "x", "out": 1.0}, TypeError, r"'x' cannot be moved \(it has no set\); give a motor"),
    ):
        with pytest.raises(error, match=f"^flats: .*{words}"):
            next(flats(unused, **kwargs))


def test_what_cannot_stream_is_refused_in_the_plans_own_name(unused, knob):
    with pytest.raises(TypeError, match=r"^darks: knob cannot stream"):
        next(darks([knob]))
    with pytest.raises(TypeError, match=r"^flats: .*give a list of detectors"):
        next(flats(knob))
    with pytest.raises(ValueError, match=r"^flats: .*each needs a name of its own"):
        next(flats([unused, unused]))
