"""A plan that is interrupted at any of its messages goes on with what was asked for, and each thing is told once."""

import asyncio
import threading
from collections import Counter
from functools import partial

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import h5py
import pytest
from bluesky.suspenders import SuspendFloor
from bluesky.utils import RunEngineInterrupted
from counting_detector import CountingDetector, CountingSource
from ophyd import Signal

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import Journal
from beamstream.frames import Geometry
from plans.finish import finishing_wrapper
from plans.growth import Step, growth
from plans.ledger import ledger_wrapper
from plans.record import record

FRAMES = Geometry((8, 8), "<u2")
QUICK = {"flush_period": 0.02}


@pytest.fixture
def made(tmp_path):
    """Detectors whose frames come by themselves, in this process."""
    made = [
        CountingDetector("", CountingSource(FRAMES, period=0.002), name=name, directory=tmp_path, ring_memory=2**20)
        for name in ("cam", "other")
    ]
    yield made
    for detector in made:
        detector.destroy()


@pytest.fixture
def cam(made):
    return made[0]


@pytest.fixture
def engine(engine, docs, tmp_path):
    """A RunEngine as a session has it, whose chain keeps a journal."""
    chain = Chain(journal := Journal(tmp_path / "journal"))
    engine.preprocessors.extend([ledger_wrapper, partial(finishing_wrapper, chain=chain)])
    engine.subscribe(chain)
    yield engine
    journal.close()


PLANS = {
    "record": lambda made, knob: record(made[:1], num=5, **QUICK),
    "two detectors": lambda made, knob: record(made, num=5, **QUICK),
    "seconds": lambda made, knob: record(made[:1], seconds=0.06, **QUICK),
    "count": lambda made, knob: bp.count(made[:1], 2),
    "scan": lambda made, knob: bp.scan([*made, knob], Signal(name="axis", value=0), 0, 1, 2),
    "growth": lambda made, knob: growth(made[0], [Step("a", seconds=0.05), Step("b", seconds=0.05)], **QUICK),
}
POINTS = {"count": 2, "scan": 2}
ASKED = {"record": 5, "two detectors": 5}
EVERY = {"record": 1, "count": 1}  # message; of the others every fourth, which are others each time
MESSAGES = 130  # more than any of these plans has


def pause(engine, knob):
    engine.loop.create_task(engine._request_pause_coro(False))


def deferred(engine, knob):
    engine.loop.create_task(engine._request_pause_coro(True))


def suspend(engine, knob):
    """Suspend as a suspender does, with something to do before and behind it."""
    engine.request_suspend(
        lambda: asyncio.sleep(0.01), pre_plan=lambda: bps.mv(knob, -1), post_plan=lambda: bps.mv(knob, -2)
    )


def interrupted(engine, plan, at, how, then="resume") -> list[str]:
    """Run a plan, interrupt it at one of its messages; return their commands."""
    commands: list[str] = []

    def look(msg) -> None:
        commands.append(msg.command)
        if len(commands) == at and msg.command != "null":  # behind all: during the very last, bluesky cannot suspend
            how()

    engine.msg_hook = look
    try:
        engine(plan)
    except RunEngineInterrupted:
        getattr(engine, then)()
    finally:
        engine.msg_hook = None
    return commands


def assert_told_once(docs, made, *, asked=None, points=None, exit_status="success") -> None:
    """Check one run: its end, its account, its rows and events."""
    assert docs.stop["exit_status"] == exit_status, docs.stop
    descriptors = {d["uid"]: d for d in docs.of("descriptor")}
    assert max(Counter(d["name"] for d in descriptors.values()).values()) == 1
    for name in docs.streams:
        events = docs.events(name)
        assert [event["seq_num"] for event in events] == list(range(1, len(events) + 1)), name
        assert all(event["data"].keys() == events[0]["data"].keys() for event in events), name
    (account,) = docs.events("ledger")
    if points is not None:
        assert docs.stop["num_events"]["primary"] == len(docs.events("primary")) == points
    for detector in made:
        ledger = {column: account["data"][f"{detector.name}_ledger_{column}"] for column in ("received", "recorded")}
        others = [account["data"][f"{detector.name}_ledger_{column}"] for column in ("lost", "discarded", "repeated")]
        with h5py.File(detector.path) as file:
            ids = file["entry/data/unique_id"][:].tolist()
        assert ids == sorted(set(ids))
        assert ledger["recorded"] == len(ids)
        assert others[0] == 0
        assert ledger["received"] == ledger["recorded"] + others[1] + others[2]
        assert asked is None or ledger["recorded"] == asked
        at = 0
        for start, stop in docs.rows(f"{detector.name}_image"):
            assert (start, stop > start) == (at, True)
            at = stop
        assert at == len(ids)


@pytest.mark.parametrize("how", [pause, suspend])
@pytest.mark.parametrize("name", PLANS)
def test_an_interruption_at_any_message_costs_nothing_and_repeats_nothing(engine, docs, made, knob, name, how):
    used = made if name in ("two detectors", "scan") else made[:1]
    step = EVERY.get(name, 4)
    for at in range(1 + (how is suspend) % step, MESSAGES, step):
        docs.clear()
        commands = interrupted(engine, PLANS[name](made, knob), at, partial(how, engine, knob))
        assert_told_once(docs, used, asked=ASKED.get(name), points=POINTS.get(name))
        if commands[at - 1 : at] in ([], ["null"]):
            return
    pytest.fail(f"{name} has more than {MESSAGES} messages")


@pytest.mark.parametrize("at", [2, 8, 20, 30])
def test_a_pause_at_the_next_checkpoint_costs_nothing_and_repeats_nothing(engine, docs, made, knob, at):
    interrupted(engine, record(made[:1], num=20, **QUICK), at, partial(deferred, engine, knob))
    assert_told_once(docs, made[:1], asked=20)


@pytest.mark.parametrize(("then", "status"), [("stop", "success"), ("abort", "abort")])
@pytest.mark.parametrize("name", ["record", "count", "growth"])
def test_a_run_that_is_ended_in_a_pause_at_any_message_has_its_account(engine, docs, made, knob, name, then, status):
    for at in range(3, MESSAGES, 2 * EVERY.get(name, 4)):
        docs.clear()
        commands = interrupted(engine, PLANS[name](made, knob), at, partial(pause, engine, knob), then)
        closed = commands.index("close_run") + 1 if "close_run" in commands else MESSAGES
        assert_told_once(docs, made[:1], exit_status=status if at < closed else "success")
        if at >= closed:
            return
    pytest.fail(f"{name} has more than {MESSAGES} messages")


@pytest.fixture
def beam(engine):
    """A signal; while it is below 5, plans are suspended."""
    beam = Signal(name="beam", value=10)
    engine.install_suspender(SuspendFloor(beam, 5, resume_thresh=8))
    yield beam
    engine.clear_suspenders()


def test_a_suspender_that_trips_again_and_again_in_a_flight_lets_it_go_on_each_time(
    engine, docs, made, cam, beam, wait_for
):
    def trip() -> None:
        for frames in (5, 20, 40):
            wait_for(lambda frames=frames: cam.get_index() > frames, timeout=30)
            beam.put(1)
            wait_for(lambda: cam._paused, timeout=30)
            beam.put(10)
            wait_for(lambda: not cam._paused, timeout=30)

    thread = threading.Thread(target=trip)
    thread.start()
    engine(record(made, num=100, **QUICK))
    thread.join()
    assert_told_once(docs, made, asked=100)


def test_a_flight_begins_when_a_suspender_that_has_tripped_before_is_released(engine, docs, made, beam, wait_for):
    beam.put(1)

    def release() -> None:
        wait_for(lambda: engine.state == "running", timeout=30)
        beam.put(10)

    thread = threading.Thread(target=release)
    thread.start()
    engine(record(made[:1], num=5, **QUICK))
    thread.join()
    assert_told_once(docs, made[:1], asked=5)


def test_a_suspender_that_trips_while_a_detector_is_unstaged_leaves_the_session_usable(engine, docs, made, knob):
    def at_the_end(msg) -> None:
        if msg.command == "unstage":
            suspend(engine, knob)

    engine.msg_hook = at_the_end
    engine(record(made[:1], num=5, **QUICK))
    engine.msg_hook = None
    assert engine.state == "idle"
    assert_told_once(docs, made[:1], asked=5)
    docs.clear()
    engine(record(made[:1], num=5, **QUICK))
    assert_told_once(docs, made[:1], asked=5)


def test_what_a_plan_gets_from_its_messages_is_what_they_return(engine, knob):
    found = []

    def plan():
        yield from bps.open_run()
        yield from bps.create()
        found.append((yield from bps.read(knob)))
        found.append((yield from bps.save()))
        found.append((yield from bps.close_run()))

    (uid,) = engine(ledger_wrapper(plan()))
    assert found[0]["knob"]["value"] == 1.5
    assert found[1:] == [None, uid]
