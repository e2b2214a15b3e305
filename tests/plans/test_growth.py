"""`growth` records all along, tells where each step begins and ends, and closes the sources however it ends."""

import io
import logging
import runpy
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import bluesky.plan_stubs as bps
import event_model
import pytest
from bluesky.utils import FailedStatus
from ophyd import Signal
from ophyd.status import Status

from beamstream.errors import SilentSource
from devices.rheed import RheedDetector
from plans.growth import Step, growth

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"flush_period": 0.05, "reading_period": 0.1}


class Shutter(Signal):
    """Remember what it was set to, and when."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, value="Closed")
        self.moves: list[tuple[float, str]] = []

    def put(self, value, **kwargs):
        super().put(value, **kwargs)
        self.moves.append((time.time(), value))

    @property
    def opened(self) -> float:
        """Seconds that it was open for in all."""
        assert self.moves[-1][1] == "Closed"
        return sum(b[0] - a[0] for a, b in pairwise(self.moves) if a[1] == "Open")


class Stuck(Shutter):
    """A shutter that opens, and never closes."""

    def set(self, value, **kwargs):
        if value == "Closed" and self.get() == "Open":
            status = Status(self)
            status.set_exception(RuntimeError("no air pressure"))
            return status
        return super().set(value, **kwargs)


class Heater(Signal):
    """Go to its setpoint by so many degrees at each reading."""

    def __init__(self, name: str, step: float) -> None:
        super().__init__(name=name, value=20.0)
        self._step, self.setpoint, self.readings = step, 20.0, 0

    def set(self, value, **kwargs):
        self.setpoint = value
        status = Status(self)
        status.set_finished()
        return status

    def read(self):
        self.readings += 1
        now = self.get()
        self.put(now + max(-self._step, min(self._step, self.setpoint - now)))
        return super().read()


class Flaky(Signal):
    """Answer so many times, and then not any more until it is told to."""

    def __init__(self, name: str, answers: float) -> None:
        super().__init__(name=name, value=0.0)
        self.answers = answers

    def read(self):
        self.answers -= 1
        if self.answers < 0:
            raise TimeoutError(f"the {self.name} does not answer")
        return super().read()


@pytest.fixture
def gun(beamline, tmp_path):
    made = RheedDetector(
        "PLAN:A:Pva1:Image",
        control="PLAN:A:cam1:",
        name="gun",
        directory=tmp_path,
        timeout=5.0,
        ring_memory=8 * 2**20,
        settings={"gun_energy": 15.0},
    )
    yield made
    made.destroy()


@pytest.fixture
def sources():
    return {"Ga": Shutter("ga"), "As": Shutter("arsenic")}


def _steps(docs):
    """Return step, phase and frame of each event."""
    rows = [event["data"] for event in docs.events("steps")]
    return [(row["step"], row["step_phase"], row["gun_frame"]) for row in rows]


def _closed(sources) -> bool:
    return all(shutter.get() == "Closed" for shutter in sources.values())


def test_a_growth_is_one_run_with_its_recipe_and_an_event_at_both_ends_of_each_step(engine, docs, gun, sources):
    recipe = [Step("heat", seconds=0.3, open=["As"]), {"name": "GaAs", "seconds": 0.5, "open": ["Ga", "As"]}]
    pressure = Signal(name="pressure", value=1e-9)
    engine(growth(gun, recipe, shutters=sources, readings=[pressure], md={"sample": "A7"}, **QUICK))
    for name, doc in docs:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    assert (docs.start["plan_name"], docs.start["sample"], docs.start["detectors"]) == ("growth", "A7", ["gun"])
    assert docs.start["recipe"] == [
        {"name": "heat", "seconds": 0.3, "open": ["As"]},
        {"name": "GaAs", "seconds": 0.5, "open": ["Ga", "As"]},
    ]
    assert docs.stop["exit_status"] == "success"
    told = _steps(docs)
    assert [row[:2] for row in told] == [("heat", "begin"), ("heat", "end"), ("GaAs", "begin"), ("GaAs", "end")]
    frames = [frame for *_, frame in told]
    assert frames == sorted(frames)
    assert frames[3] - frames[2] > 20  # a frame each 5 ms
    states = [(event["data"]["ga"], event["data"]["arsenic"]) for event in docs.events("steps")]
    assert states == [("Closed", "Open")] * 2 + [("Open", "Open")] * 2
    assert docs.events("steps")[2]["data"]["step_open"] == "Ga As"
    assert [event["data"]["pressure"] for event in docs.events("readings")] == [1e-9] * len(docs.events("readings"))
    assert len(docs.events("readings")) >= 4
    rows = docs.rows("gun_image")
    assert len(rows) >= 4  # told of while the others came
    assert rows[-1][1] == docs.stop["num_events"]["primary"] > frames[3]
    assert _closed(sources)


def test_a_source_that_two_steps_share_stays_open_between_them_and_times_are_kept(engine, gun, sources):
    recipe = [{"name": str(n), "seconds": 0.3, "open": ["As", "Ga"][: 1 + n % 2]} for n in range(4)]
    engine(growth(gun, recipe, shutters=sources, **QUICK))
    assert [state for _, state in sources["As"].moves] == ["Open", "Closed"]
    assert [state for _, state in sources["Ga"].moves] == ["Closed", "Open", "Closed", "Open", "Closed"]
    assert 0.6 <= sources["Ga"].opened < 1.2
    assert 1.2 <= sources["As"].opened < 2.4


def test_the_temperature_is_waited_for_with_closed_sources_but_those_that_may_stay_open(engine, docs, gun, sources):
    heater = Heater("heater", 100.0)
    step = Step("GaAs", seconds=0.1, open=["Ga", "As"], temperature=580, ramp_open=["As"])
    engine(growth(gun, [step], shutters=sources, temperature=heater, tolerance=1.0, **QUICK))
    ramp, begin, end = (event["data"] for event in docs.events("steps"))
    assert [row["step_phase"] for row in (ramp, begin, end)] == ["ramp", "begin", "end"]
    assert (ramp["ga"], ramp["arsenic"], ramp["step_open"]) == ("Closed", "Open", "As")
    assert ramp["heater"] < 200
    assert begin["heater"] == 580
    assert ramp["gun_frame"] < begin["gun_frame"] < end["gun_frame"]
    assert {"heater"} == set(docs.streams["readings"]["data_keys"])


def test_a_film_may_grow_while_the_temperature_changes(engine, docs, gun, sources):
    heater = Heater("heater", 1.0)
    step = Step("grade", seconds=0.2, open=["Ga"], temperature=600, ramp="during")
    engine(growth(gun, [step], shutters=sources, temperature=heater, **QUICK))
    assert [phase for _, phase, _ in _steps(docs)] == ["begin", "end"]
    assert heater.setpoint == 600
    assert heater.get() < 600


def test_a_temperature_that_is_not_reached_in_time_ends_the_growth_in_clear_words(engine, docs, gun, sources):
    step = Step("GaAs", seconds=1, open=["Ga"], temperature=580, ramp_open=["As"])
    with pytest.raises(TimeoutError, match=r"GaAs: 580 degrees asked for, 20 after \d+ s; is the heater on"):
        engine(growth(gun, [step], shutters=sources, temperature=Heater("heater", 0), ramp_timeout=0.2, **QUICK))
    assert docs.stop["exit_status"] == "fail"
    assert [phase for _, phase, _ in _steps(docs)] == ["ramp", "interrupted"]
    assert _closed(sources)
    assert sources["Ga"].opened == 0


def test_functions_can_stand_for_heater_and_shutters(engine, gun):
    log: list[object] = []

    def say(what):
        log.append(what)
        yield from bps.null()

    step = Step("GaAs", seconds=0.1, open="Ga", temperature=580)
    engine(growth(gun, [step], shutters={"Ga": say}, temperature=say, **QUICK))
    assert log == [False, 580, True, False]


def test_the_sample_turns_as_the_steps_say_and_stands_still_at_the_end(engine, docs, gun):
    turns: list[float] = []
    gun.rotations_per_min.subscribe(lambda value, **_: turns.append(value), run=False)
    engine(growth(gun, [{"name": "a", "seconds": 0.1, "rpm": 12}, {"name": "b", "seconds": 0.1, "rpm": 6}], **QUICK))
    assert turns == [12, 12, 6, 0]
    assert [event["data"]["gun_rotations_per_min"] for event in docs.events("steps")] == [12, 12, 6, 6]
    configuration = docs.streams["primary"]["configuration"]["gun"]
    assert configuration["data"]["gun_rotations_per_min"] == 12  # that it begins with; an uploader goes by it
    assert configuration["data"]["gun_gun_energy"] == 15.0
    assert configuration["data_keys"]["gun_gun_energy"]["units"] == "keV"


def test_several_detectors_film_a_growth_and_each_step_has_a_frame_of_each(engine, docs, gun, other):
    engine(growth([gun, other], [Step("GaAs", seconds=0.5)], **QUICK))
    assert {"gun", "other", "steps"} <= set(docs.streams)
    begin, end = (event["data"] for event in docs.events("steps"))
    assert end["gun_frame"] > begin["gun_frame"]
    assert end["other_frame"] > begin["other_frame"]
    for name in ("gun", "other"):
        assert docs.rows(f"{name}_image")[-1][1] == docs.stop["num_events"][name] >= end[f"{name}_frame"]


def test_a_rotation_that_no_step_speaks_of_is_left_alone(engine, gun):
    gun.rotations_per_min.put(15.0)
    engine(growth(gun, [{"name": "a", "seconds": 0.1}], **QUICK))
    assert gun.rotations_per_min.get() == 15.0


def test_without_an_end_it_lasts_until_stopped_and_stop_is_a_success(engine, docs, gun, sources, pause):
    plan = growth(gun, [Step("GaAs", open=["Ga"])], shutters=sources, **QUICK)
    pause(plan, lambda: len(docs.rows("gun_image")) > 2)
    assert sources["Ga"].get() == "Open"  # a pause is not an end
    engine.stop()
    assert docs.stop["exit_status"] == "success"
    assert [phase for _, phase, _ in _steps(docs)] == ["begin", "interrupted"]
    assert docs.events("steps")[1]["data"]["ga"] == "Closed"
    assert docs.rows("gun_image")[-1][1] == docs.stop["num_events"]["primary"] == gun.get_index()
    assert _closed(sources)


def test_resumed_after_a_pause_it_ends_its_recipe(engine, docs, gun, sources, pause):
    steps = [Step("a", seconds=0.6, open=["Ga"]), Step("b", seconds=0.2, open=["As"])]
    pause(growth(gun, steps, shutters=sources, **QUICK), lambda: len(docs.rows("gun_image")) > 2)
    engine.resume()
    assert docs.stop["exit_status"] == "success"
    assert [row[:2] for row in _steps(docs)] == [("a", "begin"), ("a", "end"), ("b", "begin"), ("b", "end")]
    assert _closed(sources)


def test_aborted_it_closes_the_sources_before_it_stops_the_detector(engine, docs, gun, sources, pause):
    order: list[tuple[str, str]] = []
    engine.msg_hook = lambda msg: order.append((msg.command, getattr(msg.obj, "name", "")))
    pause(growth(gun, [Step("GaAs", open=["Ga"])], shutters=sources, **QUICK), lambda: len(docs.events("steps")))
    engine.abort()
    assert docs.stop["exit_status"] == "abort"
    assert _closed(sources)
    closing = max(n for n, did in enumerate(order) if did == ("set", "ga"))
    assert closing < order.index(("stop", "gun"))


def test_a_detector_that_fails_ends_the_growth_at_once(engine, docs, gun, sources, faults):
    faults("SilentAfter", 30)
    gun.timeout.put(0.5)
    with pytest.raises(SilentSource, match="gun: no frame for"):
        engine(growth(gun, [Step("GaAs", seconds=60, open=["Ga"])], shutters=sources, **QUICK))
    assert docs.stop["exit_status"] == "fail"
    assert docs.stop["time"] - docs.start["time"] < 30
    assert [phase for _, phase, _ in _steps(docs)] == ["begin", "interrupted"]
    assert _closed(sources)
    assert docs.rows("gun_image")[-1][1] == gun.get_index() > 0


def test_or_the_growth_goes_on_without_frames_and_fails_at_its_end(engine, docs, gun, sources, faults, caplog):
    faults("SilentAfter", 30)
    gun.timeout.put(0.3)
    steps = [Step("a", seconds=1.5, open=["Ga"]), Step("b", seconds=0.1, open=["As"])]
    with pytest.raises(FailedStatus):
        engine(growth(gun, steps, shutters=sources, if_detector_fails="grow on", **QUICK))
    assert [phase for _, phase, _ in _steps(docs)] == ["begin", "end", "begin", "end"]
    assert docs.stop["exit_status"] == "fail"
    assert 1.5 <= sources["Ga"].opened < 6
    assert caplog.text.count("the growth goes on without its frames") == 1


def test_a_shutter_that_does_not_close_keeps_none_of_the_others_open_and_is_named(engine, docs, gun, sources):
    sources = {"Al": Stuck("al"), **sources}
    gun.rotations_per_min.put(0.0)
    step = Step("AlGaAs", seconds=0.2, open=["Al", "Ga", "As"], rpm=12)
    with pytest.raises(RuntimeError, match=r"may still be open: Al \(no air pressure\); look"):
        engine(growth(gun, [step], shutters=sources, **QUICK))
    assert docs.stop["exit_status"] == "fail"
    assert (sources["Ga"].get(), sources["As"].get(), sources["Al"].get()) == ("Closed", "Closed", "Open")
    assert gun.rotations_per_min.get() == 0


def test_whoever_sets_advance_ends_the_present_step(engine, docs, gun, sources):
    advance = Signal(name="advance", value=1)  # from the last growth: it does not count

    def tell(_name, doc):
        if doc["data"].get("step_phase") == "begin":
            threading.Timer(0.3, advance.put, (1,)).start()

    engine.subscribe(tell, "event")
    steps = [Step("a", open=["Ga"]), Step("b", seconds=60, open=["As"])]
    engine(growth(gun, steps, shutters=sources, advance=advance, **QUICK))
    assert [row[:2] for row in _steps(docs)] == [("a", "begin"), ("a", "end"), ("b", "begin"), ("b", "end")]
    assert 0.25 < sources["Ga"].opened < 10
    assert advance.get() == 0


def test_a_step_can_end_by_a_condition(engine, docs, gun, sources):
    step = Step("GaAs", open=["Ga"], until=lambda: gun.get_index() > 100)
    engine(growth(gun, [step, Step("cool", seconds=0)], shutters=sources, **QUICK))
    assert _steps(docs)[1][2] > 100
    assert docs.start["recipe"][0]["until"] == "<lambda>"


def test_what_cannot_be_read_is_passed_over_with_one_warning(engine, docs, gun, caplog):
    gauge = Flaky("gauge", 3)
    with caplog.at_level(logging.WARNING, "plans"):
        engine(growth(gun, [Step("a", seconds=0.6)], readings=[gauge], **QUICK))
    assert docs.stop["exit_status"] == "success"
    assert 0 < len(docs.events("readings")) <= 3
    assert caplog.text.count("the gauge does not answer") == 1


def test_a_thermometer_that_stops_answering_in_the_middle_ends_no_growth(engine, docs, gun, sources, caplog):
    heater = Flaky("heater", 2)  # the first event has it; the temperature is unknown for a while
    threading.Timer(1.0, setattr, (heater, "answers", float("inf"))).start()
    steps = [Step("GaAs", seconds=0.1, open=["Ga"], temperature=580), Step("cool", seconds=0)]
    engine(growth(gun, steps, shutters=sources, temperature=heater, tolerance=600, **QUICK))
    assert docs.stop["exit_status"] == "success"
    assert "heater does not answer" in caplog.text
    assert _closed(sources)


def test_a_chamber_that_cannot_be_read_at_all_ends_it_at_the_first_step(engine, docs, gun, sources):
    with pytest.raises(TimeoutError, match="the heater does not answer"):
        engine(growth(gun, [Step("a", open=["Ga"])], shutters=sources, temperature=Flaky("heater", 0), **QUICK))
    assert docs.stop["exit_status"] == "fail"
    assert _closed(sources)


def test_steps_shorter_than_a_flush_period_are_told_of_while_they_go_on(engine, docs, gun, sources):
    steps = [Step(f"{n}", seconds=0.1, open=["Ga"][: n % 2]) for n in range(20)]
    engine(growth(gun, steps, shutters=sources, flush_period=0.5, reading_period=0.5, readings=[Flaky("gauge", 99)]))
    assert len(docs.rows("gun_image")) >= 4
    assert len(docs.events("readings")) >= 4
    assert len(docs.events("steps")) == 40


def test_an_hour_of_recipe_is_listed_in_no_time(gun, sources):
    recipe = [Step(f"{n}", seconds=600, open=["Ga"], temperature=500 + n) for n in range(6)]
    plan = growth(gun, recipe, shutters=sources, temperature=Heater("heater", 1), flush_period=10.0)
    began = time.monotonic()
    slept = sum(msg.args[0] for msg in plan if msg.command == "sleep")
    assert slept == pytest.approx(3600, abs=60)  # listing takes its time, too
    assert time.monotonic() - began < 20


def test_a_terminal_is_told_each_step_and_a_log_is_not(engine, gun, sources, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return isinstance(self, Terminal) and self.watched

    for watched in (True, False):
        terminal = Terminal()
        terminal.watched = watched
        monkeypatch.setattr(sys, "stdout", terminal)
        steps = [Step("GaAs", seconds=0.1, open=["Ga", "As"], rpm=5), Step("cool", seconds=0)]
        engine(growth(gun, steps, shutters=sources, **QUICK))
        said = "growth: step 1 of 2, GaAs: Ga and As open, 5 rpm, 0.1 s\ngrowth: step 2 of 2, cool: all sources closed"
        assert (said in terminal.getvalue()) is watched


def test_a_queue_server_runs_a_recipe_of_plain_json(engine, docs, gun, sources):
    from bluesky_queueserver.manager.profile_ops import existing_plans_and_devices_from_nspace, prepare_plan

    profile = runpy.run_path(str(ROOT / "profile/startup/20-plans.py"))
    things = {"growth": profile["growth"], "gun": gun, "ga": sources["Ga"], "heater": Heater("heater", 1000.0)}
    plans, devices, found, named = existing_plans_and_devices_from_nspace(nspace=things)
    item = {
        "name": "growth",
        "user_group": "primary",
        "args": ["gun", [{"name": "ga", "seconds": 0.1, "open": ["Ga"], "temperature": 500, "rpm": 5}]],
        "kwargs": {"shutters": {"Ga": "ga"}, "temperature": "heater", "readings": ["heater"], "md": {"sample": "A7"}},
    }
    groups = {"allowed_plans": {"primary": plans}, "allowed_devices": {"primary": devices}}
    ready = prepare_plan(item, plans_in_nspace=found, devices_in_nspace=named, nspace=things, **groups)
    engine(ready["callable"](*ready["args"], **ready["kwargs"]))
    assert docs.stop["exit_status"] == "success"
    assert docs.start["recipe"][0]["name"] == "ga"  # a step's name stays one, also when a device is called so
    assert [state for _, state in sources["Ga"].moves] == ["Closed", "Open", "Closed"]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "give a list of steps, at least one"),
        ([{"seconds": 1}], "step 1 has no name"),
        ([{"name": " "}], "give it a name"),
        ([{"name": "a", "secnds": 1}], "step 1 says secnds, which is not known; did you mean seconds?"),
        ([{"name": "a", "seconds": -1}], "a: seconds=-1 given; use 0 or more"),
        ([{"name": "a", "seconds": True}], "a: seconds=True given; use a number"),
        ([{"name": "a", "seconds": float("nan")}], "a: seconds=nan given; use a number"),
        ([{"name": "a", "seconds": 1, "open": ["Gs"]}], "a: open names 'Gs', which has no shutter; there are Ga, As"),
        ([{"name": "a", "seconds": 1, "open": ["Ga", "Ga"]}], "name each source once"),
        ([{"name": "a", "seconds": 1}, {"name": "a", "seconds": 1}], "a more than once; name each its own"),
        ([{"name": "a"}, {"name": "b", "seconds": 1}], "a has no end, and steps follow it"),
        ([{"name": "a", "seconds": 1, "temperature": 500}], "a temperature is asked for; say what sets it"),
        ([{"name": "a", "seconds": 1, "ramp_open": ["As"]}], "ramp_open is for a temperature that is waited for"),
        ([{"name": "a", "seconds": 1, "ramp": "after"}], "ramp='after' given; use 'before' or 'during'"),
        ([{"name": "a", "rpm": "fast"}], "a: rpm='fast' given; use a number"),
        ([{"name": "a", "until": 3}], "until=3 given; give a function"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_moves(gun, sources, steps, words):
    with pytest.raises(ValueError, match=r"^growth: ") as caught:
        next(growth(gun, steps, shutters=sources))
    assert words in str(caught.value)
    assert not sources["Ga"].moves


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"shutters": {"Ga": 3}}, "the shutter of Ga is 3, which cannot be set"),
        ({"shutters": ["Ga"]}, "give a dict of source and device"),
        ({"shutter_positions": ["Open"]}, "give two, open and closed"),
        ({"temperature": 500}, "temperature=500 given, which cannot be set"),
        ({"tolerance": 0}, "tolerance=0 given; use a time above 0"),
        ({"reading_period": -1}, "reading_period=-1 given; use a time above 0"),
        ({"if_detector_fails": "pray"}, "use 'end' or 'grow on'"),
    ],
)
def test_wrong_devices_are_refused_before_anything_moves(gun, kwargs, words):
    with pytest.raises((ValueError, TypeError), match=r"^growth: ") as caught:
        next(growth(gun, [Step("a", seconds=1)], **kwargs))
    assert words in str(caught.value)
