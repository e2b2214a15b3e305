"""`record` and `monitor` say in documents what was asked for, and which frames are there while they come."""

from itertools import chain, pairwise

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import event_model
import h5py
import pytest

from plans.record import monitor, record


def _told_once(pieces: list[tuple[int, int]]) -> int:
    """Return how many rows the pieces tell of; none twice, none left out."""
    assert pieces[0][0] == 0
    assert all(start < stop for start, stop in pieces)
    assert all(a[1] == b[0] for a, b in pairwise(pieces))
    return pieces[-1][1]


def _stored(detector) -> int:
    with h5py.File(detector.path) as file:
        return len(file["entry/data/unique_id"])


@pytest.mark.parametrize(
    ("asked", "absent"), [({"num": 3}, "seconds"), ({"seconds": 0.1}, "num")], ids=["num", "seconds"]
)
def test_the_start_document_says_what_was_asked_for_and_what_the_caller_adds(engine, docs, cam, asked, absent):
    md = {"sample": "A7", "scan_note": {"dose": 2.5}}
    engine(record([cam], **asked, flush_period=0.2, md=md))
    start = docs.start
    assert (start["plan_name"], start["detectors"]) == ("record", ["cam"])
    assert start["plan_args"] == {"detectors": [repr(cam)], "flush_period": 0.2} | asked
    assert asked.items() <= start.items()
    assert absent not in start
    assert md.items() <= start.items()
    assert md == {"sample": "A7", "scan_note": {"dose": 2.5}}


def test_what_the_caller_says_of_a_run_comes_before_what_the_plan_says(engine, docs, cam):
    engine(record([cam], num=1, md={"plan_name": "alignment", "hints": {"dimensions": []}}))
    assert docs.start["plan_name"] == "alignment"
    assert docs.start["hints"] == {"dimensions": []}
    assert docs.start["plan_args"]["num"] == 1


def test_every_document_of_a_recording_is_valid(engine, docs, cam, other):
    engine(record([cam, other], num=20, flush_period=0.05, md={"sample": "A7"}))
    for name, doc in docs:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    assert {"start", "descriptor", "stream_resource", "stream_datum", "event", "stop"} == {name for name, _ in docs}


def test_one_detector_is_the_primary_stream_and_two_have_streams_of_their_names(engine, docs, cam, other):
    engine(record([cam], num=2))
    engine(record([cam, other], num=2))
    alone, both = (docs.run(start) for start in docs.of("start"))
    assert set(alone.streams) == {"primary", "ledger"}
    assert set(both.streams) == {"cam", "other", "ledger"}
    for stream in ("cam", "other"):
        descriptor = both.streams[stream]
        assert set(descriptor["object_keys"]) == {stream}
        assert all(key.startswith(f"{stream}_") for key in descriptor["data_keys"])
    assert both.streams["cam"]["data_keys"]["cam_image"]["shape"] == [48, 64]
    assert both.streams["other"]["data_keys"]["other_image"]["shape"] == [32, 32]


def test_documents_tell_of_frames_while_the_others_still_come(engine, docs, cam):
    on_disk: list[int] = []
    engine.subscribe(lambda name, doc: on_disk.append(cam.get_index()), "stream_datum")
    engine(record([cam], num=400, flush_period=0.1))
    told = {key: docs.rows(key) for key in docs.streams["primary"]["data_keys"]}
    assert len(told) == 6
    pieces = told["cam_image"]
    assert all(rows == pieces for rows in told.values())
    assert _told_once(pieces) == _stored(cam) == 400
    assert len(pieces) >= 4
    # the camera needs 2 s: the first are told of long before the last are there, and none before it is on disk
    assert on_disk[0] < 300
    stops = [d["indices"]["stop"] for d in docs.of("stream_datum")]
    assert all(stop <= there for stop, there in zip(stops, on_disk, strict=True))


def test_each_frame_has_the_sequence_number_after_its_row(engine, docs, cam):
    engine(record([cam], num=60, flush_period=0.1))
    for datum in docs.of("stream_datum"):
        assert datum["descriptor"] == docs.streams["primary"]["uid"]
        assert datum["seq_nums"] == {key: row + 1 for key, row in datum["indices"].items()}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("asked", [{"num": 20}, {"seconds": 0.2}], ids=["num", "seconds"])
def test_a_recording_shorter_than_its_flush_period_ends_in_time_and_is_told_at_once(engine, docs, cam, asked):
    engine(record([cam], **asked, flush_period=600))
    stop = docs.stop
    assert stop["time"] - docs.start["time"] < 20
    assert _told_once(docs.rows("cam_image")) == _stored(cam) == stop["num_events"]["primary"]


def test_monitor_ends_with_success_on_stop_and_each_detector_has_its_stream(engine, docs, cam, other, pause):
    plan = monitor([cam, other], flush_period=0.05, md={"sample": "A7"})
    pause(plan, lambda: len(docs.rows("cam_image")) > 3 and len(docs.rows("other_image")) > 3)
    assert "stop" not in dict(docs)
    engine.stop()
    start, stop = docs.start, docs.stop
    assert (start["plan_name"], start["sample"]) == ("monitor", "A7")
    assert start["plan_args"] == {"detectors": [repr(cam), repr(other)], "flush_period": 0.05}
    assert "num" not in start
    assert "seconds" not in start
    assert stop["exit_status"] == "success"
    for detector in (cam, other):
        recorded = _told_once(docs.rows(f"{detector.name}_image"))
        assert recorded == stop["num_events"][detector.name] == _stored(detector)


def test_recordings_follow_each_other_in_one_plan_with_a_file_and_a_run_each(engine, docs, cam, knob):
    paths = []

    def series():
        for position in (1.0, 2.0):
            yield from bps.mv(knob, position)
            yield from record([cam], num=10, md={"position": position})
            paths.append(cam.path)

    engine(series())
    runs = [docs.run(start) for start in docs.of("start")]
    assert [run.start["position"] for run in runs] == [1.0, 2.0]
    assert [_told_once(run.rows("cam_image")) for run in runs] == [10, 10]
    assert [run.events("ledger")[0]["data"]["cam_ledger_recorded"] for run in runs] == [10, 10]
    uris = [{d["uri"] for d in run.of("stream_resource")} for run in runs]
    assert uris == [{path.as_uri().replace("file://", "file://localhost")} for path in paths]
    assert len(set(chain(*uris))) == 2


def test_a_recording_inside_another_run_is_a_run_of_its_own(engine, docs, cam, knob):
    @bpp.run_decorator(md={"plan_name": "growth"})
    def growth():
        yield from bps.trigger_and_read([knob])
        yield from bpp.set_run_key_wrapper(record([cam], num=10), "inner")
        yield from bps.trigger_and_read([knob])

    engine(growth())
    outer, inner = (docs.run(start) for start in docs.of("start"))
    assert outer.stop["num_events"] == {"primary": 2}
    assert inner.stop["num_events"] == {"primary": 10, "ledger": 1}
    assert _told_once(inner.rows("cam_image")) == 10
    assert [name for name, _ in docs][-1] == "stop"
    assert docs[-1][1]["run_start"] == outer.start["uid"]


def test_a_baseline_of_the_session_joins_the_run(engine, docs, cam, knob):
    engine.preprocessors.append(bpp.SupplementalData(baseline=[knob]))
    engine(record([cam], num=10))
    assert docs.stop["num_events"] == {"baseline": 2, "primary": 10, "ledger": 1}
    assert [event["data"]["knob"] for event in docs.events("baseline")] == [1.5, 1.5]


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"num": True}, "num=True given; use a whole number of frames"),
        ({"num": -3}, "num=-3 given; use a whole number of frames"),
        ({"num": float("inf")}, "num=inf given; use a whole number of frames"),
        ({"num": float("nan")}, "num=nan given; use a whole number of frames"),
        ({"seconds": float("inf")}, "seconds=inf given; use a time above 0"),
        ({"num": 1, "flush_period": -1}, "flush_period=-1 given; use a time above 0"),
        ({"num": 1, "flush_period": float("nan")}, "flush_period=nan given; use a time above 0"),
    ],
)
def test_record_refuses_what_makes_no_sense_before_its_first_message(cam, kwargs, words):
    with pytest.raises(ValueError, match=f"^record: .*{words}"):
        next(record([cam], **kwargs))


def test_monitor_refuses_what_makes_no_sense_in_its_own_name_before_its_first_message(cam, knob):
    with pytest.raises(ValueError, match=r"^monitor: flush_period=0 given"):
        next(monitor([cam], flush_period=0))
    with pytest.raises(ValueError, match=r"^monitor: no detector given"):
        next(monitor([]))
    with pytest.raises(ValueError, match=r"^monitor: .*each needs a name of its own"):
        next(monitor([cam, cam]))
    with pytest.raises(TypeError, match=r"^monitor: knob cannot stream"):
        next(monitor([knob]))
    with pytest.raises(TypeError, match=r"^monitor: .*give a list of detectors"):
        next(monitor(cam))
