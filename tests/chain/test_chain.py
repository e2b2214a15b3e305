"""The chain: journal first, isolation of what is optional, ends that come in time."""

import json
import threading
import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.plans import count
from bluesky.utils import RunEngineInterrupted

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.derive import Derive
from beamstream.errors import CallbackFailed
from plans.record import record


class Slow:
    """Take 20 ms a frame."""

    def apply(self, image, meta):
        time.sleep(0.02)
        return image


class Slower:
    """Take 100 ms a frame."""

    def apply(self, image, meta):
        time.sleep(0.1)
        return image


class Refuses:
    name, required, derives = "refuses", True, False

    def begin(self, start, emit):
        raise ValueError("not with me")


def test_without_callbacks_a_run_is_as_the_engine_made_it(engine, chain, docs, cam):
    engine(record([cam], num=3))
    assert [d["name"] for d in docs.of("descriptor")] == ["primary", "ledger"]
    assert docs.stop["num_events"] == {"primary": 3, "ledger": 1}


def test_every_document_is_in_the_journal_before_a_callback_sees_it(engine, chain, docs, cam, home):
    journal, late = [], []

    def look(name, doc):
        lines = (home / "journal" / f"{docs.of('start')[0]['uid']}.jsonl").read_text().splitlines()
        journal[:] = [json.loads(line)["doc"].get("uid") for line in lines]
        late.extend([name] if doc["uid"] not in journal else [])

    chain.add(look, required=True)
    chain.add(Derive("slow", Slow))
    engine(record([cam], num=10))
    assert late == []
    assert len(journal) == len(docs)


def test_a_callable_sees_derived_documents_and_may_be_removed(engine, chain, docs, cam):
    seen = []
    callback = chain.add(lambda name, doc: seen.append(name))
    chain.add(Derive("slow", Slow))
    engine(record([cam], num=3))
    assert seen == [name for name, _ in docs]
    chain.remove(callback)
    engine(record([cam], num=3))
    assert len(seen) < len(docs)
    with pytest.raises(ValueError, match="not in use"):
        chain.remove(callback)


def test_a_failing_optional_callable_is_said_once_and_the_others_go_on(engine, chain, docs, cam, caplog):
    def clumsy(name, doc):
        raise KeyError("where is it")

    chain.add(clumsy)
    chain.add(Derive("slow", Slow))
    engine(record([cam], num=5))
    assert docs.stop["exit_status"] == "success"
    assert caplog.text.count("where is it") == 1
    assert docs.told("cam_slow_image") == 5
    assert "where is it" in docs.account["clumsy_error"]


def test_a_failing_required_callable_fails_the_run_once(engine, chain, docs, cam):
    def clumsy(name, doc):
        if name == "descriptor":
            raise KeyError("where is it")

    chain.add(clumsy, required=True)
    with pytest.raises(CallbackFailed, match=r"clumsy: .*where is it"):
        engine(record([cam], num=5))
    assert docs.stop["exit_status"] == "fail"
    chain.remove(clumsy)
    engine(count([cam], 1))
    assert docs.stop["exit_status"] == "success"


def test_a_required_callback_that_cannot_begin_fails_the_run(engine, chain, docs, cam):
    chain.add(Refuses())
    with pytest.raises(CallbackFailed, match="refuses: not with me"):
        engine(record([cam], num=5))


def test_a_run_waits_for_a_slow_callback_and_says_how_far_it_is(engine, chain, docs, cam, later):
    chain.add(Derive("slow", Slow))
    waits = []
    engine.waiting_hook = lambda statuses: waits.extend(s.progress for s in statuses or () if hasattr(s, "progress"))
    engine(record([cam], num=100))
    assert docs.told("cam_slow_image") == 100
    assert any(asked == 100 and done < 100 for done, asked, _ in waits)


def test_an_abort_while_a_callback_is_behind_ends_the_run_within_seconds(engine, chain, docs, cam, later):
    chain.add(Derive("slow", Slower))
    later(lambda: cam.ledger.account.recorded == 200, lambda: engine.abort("home"))
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=200))
    assert docs.told("cam_image") == 200  # within 1 s, and 20 s for the callback
    assert docs.account["slow_undone"] == 200 - docs.told("cam_slow_image") > 0
    assert docs.stop["exit_status"] == "abort"


@pytest.mark.parametrize(("way", "status", "op"), [("abort", "abort", Slower), ("stop", "success", Slow)])
def test_an_end_that_comes_while_the_ledger_is_told_is_as_any_other(engine, chain, docs, cam, way, status, op):
    """Bluesky asks the plan for nothing more after it; an abort does not wait, a stop can be hurried."""
    chain.add(Derive("slow", op))
    ends: list[threading.Thread] = []

    def end(msg):
        if msg.command == "create" and msg.kwargs["name"] == "ledger" and not ends:
            ends.append(threading.Thread(target=getattr(engine, way)))
            ends[0].start()
            time.sleep(0.3)  # the engine learns of it when this message is done

    engine.msg_hook = end
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=200))
    ends[0].join(10)
    undone = 200 - docs.told("cam_slow_image")
    assert (undone > 0) == (way == "abort")
    assert docs.account["slow_undone"] == undone
    assert docs.stop["exit_status"] == status
    assert [event["data"]["cam_ledger_recorded"] for event in docs.events("ledger")] == [200]


@pytest.mark.parametrize(("required", "status"), [(True, "fail"), (False, "success")])
def test_a_stop_while_a_callback_is_behind_fails_the_run_where_it_is_required(
    engine, chain, docs, cam, later, required, status
):
    chain.add(Derive("slow", Slower, required=required))
    waits: list[str] = []
    engine.msg_hook = lambda msg: waits.append(str(msg.kwargs["group"])) if msg.command == "wait" else None
    later(lambda: any(group.startswith("callbacks") for group in waits), engine.stop)
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=200))
    undone = docs.account["slow_undone"]
    assert undone == 200 - docs.told("cam_slow_image") > 0
    assert docs.stop["exit_status"] == status
    assert docs.account["slow_error"] == f"cut short; {200 - undone} of 200 frames done"
    assert docs.stop["reason"] == (f"slow: {docs.account['slow_error']}" if required else "")


def test_a_run_that_closes_does_not_end_the_callbacks_of_one_that_goes_on(engine, chain, docs, cam):
    """Two runs at once, by their keys; the older one closes while the younger one's detector flies."""
    chain.add(Derive("slow", Slow, required=True))

    def flight():
        yield from bps.open_run(md={"which": "younger"})
        yield from bps.declare_stream(cam, name="primary", collect=True)
        yield from bps.kickoff(cam, wait=True)
        while cam.ledger.account.recorded < 20:
            yield from bps.sleep(0.02)
        yield from bps.collect(cam, name="primary")
        yield from bpp.set_run_key_wrapper(bps.close_run(), "older")
        yield from bps.complete(cam, wait=True)
        yield from bps.collect(cam, name="primary")
        yield from bps.close_run()

    @bpp.stage_decorator([cam])
    def plan():
        yield from bps.mv(cam.num_images, 60)
        yield from bpp.set_run_key_wrapper(bps.open_run(md={"which": "older"}), "older")
        yield from bpp.set_run_key_wrapper(flight(), "younger")

    engine(plan())
    assert [doc["exit_status"] for doc in docs.of("stop")] == ["success", "success"]
    younger = docs.of("start")[1]["uid"]
    ledgers = [doc["run_start"] for doc in docs.of("descriptor") if doc["name"] == "ledger"]
    assert ledgers == [younger]
    assert (docs.account["slow_frames"], docs.account["slow_undone"]) == (60, 0)
    assert docs.told("cam_slow_image") == 60


def test_a_pause_while_a_callback_is_behind_loses_nothing(engine, chain, docs, cam, later):
    chain.add(Derive("slow", Slow))
    later(lambda: cam.ledger.account.recorded == 150 and engine.state == "running", engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(record([cam], num=150))
    engine.resume()
    assert docs.told("cam_slow_image") == 150
    assert docs.stop["exit_status"] == "success"


def test_a_document_of_a_run_that_never_began_is_refused():
    with pytest.raises(CallbackFailed, match="subscribe before the run"):
        Chain()("descriptor", {"uid": "d", "run_start": "r", "name": "primary", "data_keys": {}})
