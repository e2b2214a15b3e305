"""Each run of a streaming detector ends with its account, however it ends; other runs are left as they are."""

import json
import threading
import time

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import pytest
from bluesky.utils import FailedStatus, RunEngineInterrupted

from beamstream.ledger import COLUMNS, from_event
from plans.ledger import ledger_wrapper
from plans.record import record


def _account(detector) -> dict[str, object]:
    account = detector.ledger.account
    return {column: getattr(account, column) for column in COLUMNS} | {"gaps": account.gaps_json()}


def _stored(detector) -> int:
    with h5py.File(detector.path) as file:
        return len(file["entry/data/unique_id"])


def test_one_event_has_the_columns_of_every_detector_as_the_detectors_count_them(engine, docs, cam, other, faults):
    faults("SkipEvery", 10)
    engine(record([cam, other], num=50, flush_period=0.1))
    (event,) = docs.events("ledger")
    assert set(docs.streams["ledger"]["object_keys"]) == {"cam_ledger", "other_ledger"}
    ledgers = from_event(event["data"])
    assert ledgers == {"cam": _account(cam), "other": _account(other)}
    assert (ledgers["cam"]["lost"], ledgers["cam"]["recorded"]) == (5, 45)
    assert (ledgers["other"]["lost"], ledgers["other"]["recorded"]) == (0, 50)
    for detector, name in ((cam, "cam"), (other, "other")):
        ledger = ledgers[name]
        assert ledger["received"] == ledger["recorded"] + ledger["discarded"] + ledger["repeated"]
        assert ledger["recorded"] == _stored(detector) == docs.stop["num_events"][name]


def test_a_step_scan_has_the_account_of_all_its_points(engine, docs, cam):
    engine(ledger_wrapper(bp.count([cam], num=3)))
    (event,) = docs.events("ledger")
    assert from_event(event["data"]) == {"cam": _account(cam)}
    assert event["data"]["cam_ledger_recorded"] == 3
    assert docs[-2] == ("event", event)
    assert docs[-1][0] == "stop"


def test_wrapping_twice_does_no_harm(engine, docs, cam):
    engine.preprocessors.append(ledger_wrapper)
    engine(ledger_wrapper(bp.count([cam], num=2)))
    assert docs.stop["num_events"] == {"primary": 2, "ledger": 1}


def test_an_aborted_run_has_the_account_of_what_was_recorded(engine, docs, cam, pause):
    pause(record([cam], num=10_000, flush_period=0.05), lambda: len(docs.rows("cam_image")) > 3)
    engine.abort()
    (event,) = docs.events("ledger")
    assert docs.stop["exit_status"] == "abort"
    recorded = event["data"]["cam_ledger_recorded"]
    assert recorded == _stored(cam) == docs.rows("cam_image")[-1][1]
    assert 0 < recorded < 10_000


def test_a_run_that_fails_in_flight_has_the_account_of_what_was_recorded(engine, docs, make, faults):
    cam = make(on_loss="fail")
    faults("SkipEvery", 30)
    with pytest.raises(FailedStatus):
        engine(record([cam], num=200, flush_period=0.05))
    (event,) = docs.events("ledger")
    assert docs.stop["exit_status"] == "fail"
    assert event["data"]["cam_ledger_lost"] == 1
    assert event["data"]["cam_ledger_recorded"] == _stored(cam) == docs.rows("cam_image")[-1][1]


def test_an_error_in_the_middle_of_an_event_leaves_the_account_and_drops_the_event(engine, docs, cam):
    @bpp.stage_decorator([cam])
    @bpp.run_decorator()
    def broken():
        yield from bps.trigger_and_read([cam])
        yield from bps.trigger(cam, wait=True)
        yield from bps.create("primary")
        yield from bps.read(cam)
        raise RuntimeError("the plan's own mistake")

    with pytest.raises(RuntimeError, match="the plan's own mistake"):
        engine(ledger_wrapper(broken()))
    (event,) = docs.events("ledger")
    assert docs.stop["exit_status"] == "fail"
    assert docs.stop["num_events"] == {"primary": 1, "cam_interrupted": 1, "ledger": 1}
    assert docs.rows("cam_image") == [(0, 1), (1, 2)]  # of the event, and of the one that was left half made
    assert event["data"]["cam_ledger_recorded"] == _stored(cam) == 2


def test_a_run_that_closes_while_a_detector_of_another_run_is_staged_has_no_account_of_it(engine, docs, cam, knob):
    @bpp.stage_decorator([cam])
    def two_runs():
        for devices in ([cam, knob], [knob]):  # one file a staging: its frames belong to one run
            yield from bpp.run_wrapper(bps.repeat(lambda devices=devices: bps.trigger_and_read(devices), num=2))

    engine(ledger_wrapper(two_runs()))
    first, second = (docs.run(start) for start in docs.of("start"))
    assert [run.stop["num_events"] for run in (first, second)] == [{"primary": 2, "ledger": 1}, {"primary": 2}]
    assert first.events("ledger")[0]["data"]["cam_ledger_recorded"] == 2


def test_a_detector_that_is_staged_once_for_two_runs_is_refused_in_the_second(engine, docs, cam, knob):
    @bpp.stage_decorator([cam])
    def two_runs():
        for _ in range(2):
            yield from bpp.run_wrapper(bps.trigger_and_read([cam, knob]))

    with pytest.raises(RuntimeError, match=r"cam: frames for a second run asked for.*stage it anew for each run"):
        engine(ledger_wrapper(two_runs()))
    first, second = (docs.run(start) for start in docs.of("start"))
    assert (first.stop["exit_status"], first.stop["num_events"]) == ("success", {"primary": 1, "ledger": 1})
    assert (second.stop["exit_status"], second.events("primary")) == ("fail", [])
    assert cam._recording is None  # unstaged
    engine(ledger_wrapper(bp.count([cam], num=2)))
    assert docs.run(docs.of("start")[-1]).stop["num_events"] == {"primary": 2, "ledger": 1}


@pytest.fixture
def nested(cam, other):
    """A plan of two runs, one in the other, each with a detector of its own, and their documents by name."""

    @bpp.set_run_key_decorator("inner")
    @bpp.stage_decorator([other])
    @bpp.run_decorator(md={"which": "inner"})
    def inner():
        yield from bps.trigger_and_read([other])

    @bpp.stage_decorator([cam])
    @bpp.set_run_key_decorator("outer")
    @bpp.run_decorator(md={"which": "outer"})
    def outer():
        yield from bps.trigger_and_read([cam])
        yield from inner()

    return ledger_wrapper(outer())


def _has_accounts(docs) -> dict[str, str]:
    """Check the accounts of nested runs; return how these ended."""
    runs = {start["which"]: docs.run(start) for start in docs.of("start")}
    assert runs["outer"].stop["num_events"] == {"primary": 1, "ledger": 1}
    assert runs["outer"].events("ledger")[0]["data"]["cam_ledger_recorded"] == 1
    assert runs["inner"].stop["num_events"] == {"primary": 1, "ledger": 1}
    (event,) = runs["inner"].events("ledger")
    assert set(from_event(event["data"])) == {"other"}
    return {which: run.stop["exit_status"] for which, run in runs.items()}


def test_runs_in_one_another_have_their_accounts(engine, docs, nested):
    engine(nested)
    assert _has_accounts(docs) == {"outer": "success", "inner": "success"}


@pytest.mark.parametrize("told", ["inner", "outer"])
@pytest.mark.parametrize(("way", "status"), [("abort", "abort"), ("stop", "success")])
def test_runs_in_one_another_that_end_while_one_is_told_have_their_accounts(engine, docs, nested, told, way, status):
    ends: list[threading.Thread] = []

    def end(msg):
        if msg.command == "create" and msg.kwargs["name"] == "ledger" and msg.run == told and not ends:
            ends.append(threading.Thread(target=getattr(engine, way)))
            ends[0].start()
            time.sleep(0.3)  # the engine learns of it when this message is done

    engine.msg_hook = end
    with pytest.raises(RunEngineInterrupted):
        engine(nested)
    ends[0].join(10)
    assert _has_accounts(docs) == {"outer": status, "inner": status if told == "inner" else "success"}


def test_interleaved_runs_have_only_the_accounts_of_their_own_detectors(engine, docs, cam, other, knob):
    """Opened in turn, closed in the order in which they were opened; a third has no detector at all."""

    def plan():
        for detector in (cam, other):
            yield from bps.stage(detector)
        for key in "abc":
            yield from bpp.set_run_key_wrapper(bps.open_run(md={"which": key}), key)
        for _ in range(2):
            yield from bpp.set_run_key_wrapper(bps.trigger_and_read([cam]), "a")
            yield from bpp.set_run_key_wrapper(bps.trigger_and_read([other, knob]), "b")
            yield from bpp.set_run_key_wrapper(bps.trigger_and_read([knob]), "c")
        for key in "abc":
            yield from bpp.set_run_key_wrapper(bps.close_run(), key)
        for detector in (cam, other):
            yield from bps.unstage(detector)

    engine(ledger_wrapper(plan()))
    runs = {start["which"]: docs.run(start) for start in docs.of("start")}
    found = {which: [from_event(event["data"]) for event in run.events("ledger")] for which, run in runs.items()}
    assert {which: [list(ledger) for ledger in ledgers] for which, ledgers in found.items()} == {
        "a": [["cam"]],
        "b": [["other"]],
        "c": [],
    }
    assert found["a"][0]["cam"]["recorded"] == found["b"][0]["other"]["recorded"] == 2


def test_a_run_has_the_account_of_a_detector_that_was_unstaged_before_it_closed(engine, docs, cam):
    @bpp.run_decorator()
    def plan():
        yield from bpp.stage_wrapper(bps.trigger_and_read([cam]), [cam])

    engine(ledger_wrapper(plan()))
    (event,) = docs.events("ledger")
    assert event["data"]["cam_ledger_recorded"] == 1


def test_the_account_of_a_detector_that_is_staged_several_times_in_a_run_is_of_all_its_files(engine, docs, cam, faults):
    faults("SkipEvery", 10)

    @bpp.run_decorator()
    def plan():
        for number, stream in ((20, "before"), (30, "after")):
            yield from bpp.stage_wrapper(flight(number, stream), [cam])

    def flight(number, stream):
        yield from bps.mv(cam.num_images, number)
        yield from bps.declare_stream(cam, name=stream, collect=True)
        yield from bps.kickoff(cam, wait=True)
        yield from bps.complete(cam, wait=True)
        yield from bps.collect(cam, name=stream)

    engine(ledger_wrapper(plan()))
    (event,) = docs.events("ledger")
    ledger = from_event(event["data"])["cam"]
    announced = sum(docs.stop["num_events"][stream] for stream in ("before", "after"))
    assert ledger["recorded"] == announced > cam.ledger.account.recorded
    assert ledger["lost"] == sum(gap["missing"] for gap in json.loads(ledger["gaps"])) > cam.ledger.account.lost


def test_a_run_keeps_the_account_of_a_detector_that_is_staged_for_another_one_meanwhile(engine, docs, cam):
    def plan():
        for key, number in (("a", 2), ("b", 3)):
            yield from bpp.set_run_key_wrapper(bps.open_run(md={"which": key}), key)
            points = bps.repeat(lambda: bps.trigger_and_read([cam]), num=number)
            yield from bpp.set_run_key_wrapper(bpp.stage_wrapper(points, [cam]), key)
        for key in "ab":
            yield from bpp.set_run_key_wrapper(bps.close_run(), key)

    engine(ledger_wrapper(plan()))
    runs = [docs.run(start) for start in docs.of("start")]
    assert [run.events("ledger")[0]["data"]["cam_ledger_recorded"] for run in runs] == [2, 3]
    assert [len(run.events("ledger")) for run in runs] == [1, 1]


def test_a_run_that_fails_before_its_detector_is_used_has_an_account_of_no_frame(engine, docs, cam):
    @bpp.stage_decorator([cam])
    @bpp.run_decorator()
    def plan():
        yield from bps.null()
        raise RuntimeError("the motor does not move")

    with pytest.raises(RuntimeError, match="the motor does not move"):
        engine(ledger_wrapper(plan()))
    (event,) = docs.events("ledger")
    assert event["data"]["cam_ledger_recorded"] == 0


def test_runs_that_a_failed_plan_leaves_open_have_accounts_of_all_that_is_in_the_file(engine, docs, cam, knob):
    """Without the decorators that close runs: the engine does it, and asks no plan any more."""

    def plan():
        yield from bps.stage(cam)
        yield from bps.mv(cam.num_images, 0)
        yield from bpp.set_run_key_wrapper(bps.open_run(md={"which": "knob"}), "k")
        yield from bps.open_run(md={"which": "cam"})
        yield from bps.declare_stream(cam, name="primary", collect=True)
        yield from bps.kickoff(cam, wait=True)
        yield from bps.create("readings")
        yield from bps.read(knob)
        while cam.ledger.account.recorded < 5:
            yield from bps.sleep(0.02)
        raise RuntimeError("the plan's own mistake")

    with pytest.raises(RuntimeError, match="the plan's own mistake"):
        engine(ledger_wrapper(plan()))
    runs = {start["which"]: docs.run(start) for start in docs.of("start")}
    assert runs["knob"].events("ledger") == []
    (event,) = runs["cam"].events("ledger")
    recorded = event["data"]["cam_ledger_recorded"]
    assert recorded == _stored(cam) == runs["cam"].rows("cam_image")[-1][1] >= 5
    assert {run.stop["exit_status"] for run in runs.values()} == {"fail"}


def _together(detectors):
    """Collect two detectors into one stream, as bluesky does."""

    @bpp.stage_decorator(detectors)
    @bpp.run_decorator()
    def plan():
        for detector in detectors:
            yield from bps.mv(detector.num_images, 40)
        yield from bps.declare_stream(*detectors, name="primary", collect=True)
        yield from bps.kickoff_all(*detectors, wait=True)
        yield from bps.collect_while_completing(detectors, detectors, flush_period=0.05, stream_name="primary")

    return plan()


@pytest.mark.parametrize("how", ["record", "count", "together"])
@pytest.mark.parametrize(("kind", "number"), [("stream_resource", 3), ("stream_datum", 1), ("stream_datum", 10)])
def test_what_a_subscriber_breaks_off_in_the_midst_of_a_frames_documents_is_named_in_a_stream_of_its_own(
    engine, docs, cam, other, how, kind, number
):
    def fail(name, _doc):
        if name == kind and len(docs.of(kind)) == number:
            raise RuntimeError("the subscriber's own mistake")

    engine.subscribe(fail)
    plans = {
        "record": lambda: record([cam, other], num=40, flush_period=0.05),
        "count": lambda: ledger_wrapper(bp.count([cam, other], num=5)),
        "together": lambda: ledger_wrapper(_together([cam, other])),
    }
    with pytest.raises(RuntimeError, match="the subscriber's own mistake"):
        engine(plans[how]())
    assert docs.stop["exit_status"] == "fail"
    (event,) = docs.events("ledger")
    for detector in (cam, other):
        assert event["data"][f"{detector.name}_ledger_recorded"] == _stored(detector)
        for key in ("image", "unique_id", "timestamp", "received"):
            named = {row for rows in docs.rows(f"{detector.name}_{key}") for row in range(*rows)}
            assert named == set(range(_stored(detector))), (detector.name, key)
    pairs = [(d["stream_resource"], d["descriptor"], row) for d in docs.of("stream_datum") for row in range(*_rows(d))]
    assert len(pairs) == len(set(pairs)), "in no stream twice"


def _rows(datum):
    return datum["indices"]["start"], datum["indices"]["stop"]


def test_a_run_without_such_detectors_is_left_as_it_is(engine, docs, knob):
    engine(bp.count([knob], num=2))
    engine(ledger_wrapper(bp.count([knob], num=2)))
    bare, wrapped = (docs.run(start) for start in docs.of("start"))
    assert [name for name, _ in wrapped] == [name for name, _ in bare]
    assert wrapped.stop["num_events"] == {"primary": 2}
    assert set(wrapped.streams) == {"primary"}
    plans = bp.count([knob], num=2), ledger_wrapper(bp.count([knob], num=2))
    commands, wrapped_commands = ([msg.command for msg in plan] for plan in plans)
    assert [command for command in wrapped_commands if command not in ("rewindable", "null")] == commands


def test_a_run_after_the_detectors_went_has_no_account_of_them(engine, docs, cam, knob):
    def both():
        yield from bp.count([cam], num=1)
        yield from bp.count([knob], num=1)

    engine(ledger_wrapper(both()))
    assert [stop["num_events"] for stop in docs.of("stop")] == [{"primary": 1, "ledger": 1}, {"primary": 1}]


def test_what_a_plan_returns_passes_through(engine, knob):
    def plan():
        yield from bps.mv(knob, 3.0)
        return (yield from bps.rd(knob))

    results = []

    def outer():
        results.append((yield from ledger_wrapper(plan())))

    engine(outer())
    assert results == [3.0]
