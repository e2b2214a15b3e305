"""A detector's file is in documents before its first frame: in the start document, or in an event of its own."""

import json

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest

from plans.ledger import ledger_wrapper
from plans.record import record
from plans.recordings import KEY


def _named(docs, detector) -> list[dict]:
    """Return what the events of a run say of a detector's file, in order."""
    return [json.loads(event["data"]["cam_recorded_to"]) for event in docs.events(f"{detector.name}_recording")]


@pytest.mark.parametrize("plan", [lambda cam: record([cam], num=3), lambda cam: bp.count([cam], num=2)])
@pytest.mark.parametrize("times", [1, 2])
def test_the_start_document_names_the_file_and_its_arrays(engine, docs, cam, plan, times):
    wrapped = plan(cam)
    for _ in range(times):
        wrapped = ledger_wrapper(wrapped)
    engine(wrapped)
    (recording,) = docs.start[KEY]
    assert recording["detector"] == "cam"
    resources = {doc["data_key"]: doc for doc in docs.of("stream_resource")}
    assert {array["data_key"] for array in recording["arrays"]} == set(resources)
    for array in recording["arrays"]:
        resource = resources[array["data_key"]]
        assert (recording["uri"], array["dataset"]) == (resource["uri"], resource["parameters"]["dataset"])
    assert f"{cam.name}_recording" not in docs.streams


def test_two_detectors_are_named_and_none_that_is_not_staged(engine, docs, cam, other, knob):
    engine(record([cam, other], num=2))
    engine(ledger_wrapper(bp.count([knob], num=1)))
    first, second = docs.of("start")
    assert [recording["detector"] for recording in first[KEY]] == ["cam", "other"]
    assert KEY not in second


@pytest.mark.parametrize("times", [1, 2])
def test_a_detector_that_is_staged_inside_its_run_is_named_before_its_first_frame(engine, docs, cam, times):
    def plan():
        yield from bps.open_run()
        yield from bps.stage(cam)
        yield from bps.repeat(lambda: bps.trigger_and_read([cam]), num=2)
        yield from bps.unstage(cam)
        yield from bps.close_run()

    wrapped = plan()
    for _ in range(times):
        wrapped = ledger_wrapper(wrapped)
    engine(wrapped)
    (recording,) = _named(docs, cam)
    assert recording["uri"] == docs.of("stream_resource")[0]["uri"]
    assert docs.events("cam_recording")[0]["time"] <= docs.events("primary")[0]["time"]
    assert [name for name, _ in docs].index("stream_resource") > [name for name, _ in docs].index("event")


def test_each_staging_in_one_run_is_named(engine, docs, cam):
    @bpp.run_decorator()
    def plan():
        for _ in range(2):
            yield from bpp.stage_wrapper(bps.trigger_and_read([cam]), [cam])

    engine(ledger_wrapper(plan()))
    assert [named["uri"] for named in _named(docs, cam)] == list(
        dict.fromkeys(doc["uri"] for doc in docs.of("stream_resource"))
    )


def test_a_detector_that_is_used_in_another_run_than_the_first_to_open_is_named_there(engine, docs, cam, knob):
    @bpp.set_run_key_decorator("inner")
    @bpp.run_decorator(md={"which": "inner"})
    def inner():
        yield from bps.trigger_and_read([cam])

    @bpp.stage_decorator([cam])
    @bpp.set_run_key_decorator("outer")
    @bpp.run_decorator(md={"which": "outer"})
    def outer():
        yield from bps.trigger_and_read([knob])
        yield from inner()

    engine(ledger_wrapper(outer()))
    runs = {start["which"]: docs.run(start) for start in docs.of("start")}
    assert [recording["detector"] for recording in runs["outer"].start[KEY]] == ["cam"]
    assert len(_named(runs["inner"], cam)) == 1
