"""What goes wrong ends with words, in time, and with what was recorded readable."""

import bluesky.plans as bp
import h5py
import pytest
from bluesky.utils import FailedStatus
from ophyd.utils.errors import DisconnectedError

from beamstream.errors import FrameLoss, GeometryChanged, NotAnImage, NotConnected, SilentSource
from plans.record import record


def _cause(raised) -> BaseException:
    """Return our error out of what the RunEngine made of it."""
    error = raised.value
    while isinstance(error, FailedStatus) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _ids(detector) -> list[int]:
    with h5py.File(detector.path) as file:
        return file["entry/data/unique_id"][:].tolist()


def test_lost_frames_are_marked_with_a_warning_and_the_run_goes_on(engine, docs, cam, faults, caplog):
    faults("SkipEvery", 10)
    engine(record([cam], num=50, flush_period=0.1))
    assert docs.stop["exit_status"] == "success"
    ledger = docs.ledger
    assert ledger["cam_ledger_recorded"] + ledger["cam_ledger_lost"] == 50
    assert ledger["cam_ledger_lost"] == 5
    assert '"place": "transport"' in ledger["cam_ledger_gaps"]
    assert "frames lost after unique_id" in caplog.text


def test_lost_frames_fail_the_run_where_that_is_the_policy(engine, docs, make, faults):
    cam = make(on_loss="fail")
    faults("SkipEvery", 10)
    with pytest.raises(FailedStatus) as raised:
        engine(record([cam], num=50, flush_period=0.1))
    assert isinstance(_cause(raised), FrameLoss)
    assert docs.stop["exit_status"] == "fail"
    assert len(_ids(cam)) == docs.ledger["cam_ledger_recorded"]


def test_a_silent_camera_ends_within_its_deadline_and_keeps_what_came(engine, docs, cam, faults):
    faults("SilentAfter", 20)
    with pytest.raises(FailedStatus) as raised:
        engine(record([cam], num=50, flush_period=0.1))
    error = _cause(raised)
    assert isinstance(error, SilentSource)
    assert "20 of 50" in str(error)
    assert len(_ids(cam)) == 20
    assert docs.stop["exit_status"] == "fail"
    assert docs.stop["num_events"]["primary"] == 20


def test_a_change_of_geometry_fails_the_run_and_names_both(engine, docs, cam, faults):
    faults("ChangeShapeAt", 20)
    with pytest.raises(FailedStatus) as raised:
        engine(record([cam], num=50, flush_period=0.1))
    error = _cause(raised)
    assert isinstance(error, GeometryChanged)
    assert "96 × 128" in str(error)
    assert "48 × 64" in str(error)
    assert len(_ids(cam)) == 20


def test_a_count_that_runs_back_marks_the_run(engine, docs, cam, faults):
    faults("RestartAt", 20)
    engine(record([cam], num=50, flush_period=0.1))
    assert docs.ledger["cam_ledger_restarts"] == 1
    assert docs.ledger["cam_ledger_recorded"] == 50


def test_frames_posted_field_by_field_are_each_recorded_once(engine, docs, cam, faults):
    faults("Piecewise", 1)
    engine(record([cam], num=30, flush_period=0.1))
    ids = _ids(cam)
    assert ids == list(range(ids[0], ids[0] + 30))


def test_repeated_ids_are_counted_and_not_recorded(engine, docs, cam, faults):
    faults("RepeatEvery", 10)
    engine(record([cam], num=50, flush_period=0.1))
    ids = _ids(cam)
    assert ids == list(range(ids[0], ids[0] + 50))
    assert docs.ledger["cam_ledger_repeated"] >= 4


def test_a_wrong_pv_is_named_within_its_deadline(engine, make):
    cam = make("DEV:NOSUCH", control=False, timeout=0.5)
    with pytest.raises(NotConnected, match="DEV:NOSUCH:Pva1:Image did not answer"):
        engine(bp.count([cam]))


def test_a_control_prefix_that_does_not_answer_is_named_with_what_to_do(engine, beamline, tmp_path):
    from devices.pva_detector import PvaDetector

    cam = PvaDetector("DEV:A:Pva1:Image", control="DEV:NONE:cam1:", name="cam", directory=tmp_path, timeout=0.5)
    with pytest.raises(NotConnected) as raised:
        engine(record([cam], num=1))
    words = str(raised.value)
    assert words.startswith("cam_control: control DEV:NONE:cam1: asked for, DEV:NONE:cam1:Acquire, ")
    assert "do not answer within 0.5 s; is the prefix right" in words
    assert "\n" not in words
    cam.destroy()


def test_a_camera_whose_control_goes_away_is_not_idle_and_says_what_was_asked(beamline, monkeypatch):
    from devices.camera_control import CameraControl

    control = CameraControl("DEV:A:cam1:", name="cam_control")
    control.connect(5)
    control.take(5)
    assert control.idle
    control.give_back(5)
    for error in (TimeoutError("Failed to connect to DEV:A:cam1:Acquire"), DisconnectedError("gone")):
        monkeypatch.setattr(control.acquire, "get", _raising(error))
        monkeypatch.setattr(control.acquire, "put", _raising(error))
        assert not control.idle
        with pytest.raises(NotConnected, match=r"^cam_control: asked to stop, the camera's records DEV:A:cam1: do not"):
            control.halt()
    monkeypatch.undo()
    control.destroy()
    assert not control.idle


def _raising(error: Exception):
    def call(*_args, **_kwargs):
        raise error

    return call


def test_a_pv_that_is_no_image_is_named(engine, beamline, tmp_path):
    from devices.pva_detector import PvaDetector

    cam = PvaDetector("DEV:A:Pva1:Scalar", name="cam", directory=tmp_path)
    with pytest.raises(NotAnImage, match="NTNDArray asked for"):
        engine(bp.count([cam]))
    cam.destroy()


def test_a_server_without_a_frame_yet_says_what_to_do(engine, make):
    cam = make("DEV:E")
    with pytest.raises(NotAnImage, match="acquire one frame"):
        engine(bp.count([cam]))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({}, "give one of them"),
        ({"num": 5, "seconds": 1}, "give one of them"),
        ({"num": 0}, "1 or more"),
        ({"num": 2.5}, "1 or more"),
        ({"seconds": -1}, "above 0"),
        ({"seconds": float("nan")}, "above 0"),
        ({"num": 1, "flush_period": 0}, "above 0"),
    ],
)
def test_senseless_parameters_are_refused_before_anything_moves(engine, docs, cam, kwargs, words):
    with pytest.raises(ValueError, match=words):
        engine(record([cam], **kwargs))
    assert not docs


@pytest.mark.parametrize("detectors", [None, "cam", [object()]])
def test_what_is_no_list_of_detectors_is_refused(engine, detectors):
    with pytest.raises(TypeError):
        engine(record(detectors, num=1))


def test_the_same_detector_twice_is_refused(engine, cam):
    with pytest.raises(ValueError, match="name of its own"):
        engine(record([cam, cam], num=1))
