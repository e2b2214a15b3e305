"""Frames whose header contradicts itself are named as that, in whatever reads them."""

import re
import time
from collections.abc import Callable, Iterator

import bluesky.plans as bp
import pytest
from bluesky.utils import FailedStatus
from pva_camera import WRONG, PvaCamera

from beamstream.errors import CodecError, MalformedFrame
from devices.pva_detector import PvaDetector
from plans.record import record

GOOD, WHILE = 3, 1.0  # frames before the wrong ones; s without a frame


@pytest.fixture(scope="module")
def camera() -> Iterator[PvaCamera]:
    with PvaCamera("DEV:W:Image") as camera:
        yield camera


@pytest.fixture
def cam(camera, tmp_path) -> Iterator[PvaDetector]:
    camera.post([(0, None)])
    detector = PvaDetector(camera.pv, name="cam", directory=tmp_path, timeout=WHILE, ring_memory=2**22)
    yield detector
    detector.destroy()


def _then(cam: PvaDetector, name: str, act: Callable[[], None]) -> None:
    """Have something happen once a method of the detector was called."""
    method = getattr(cam, name)

    def called():
        status = method()
        act()
        return status

    setattr(cam, name, called)


def _post(camera: PvaCamera, numbers: range, wrong: dict | None = None) -> None:
    for n in numbers:
        frame = [(n, time.time())]
        camera.contradict(frame, wrong) if wrong else camera.post(frame)
        time.sleep(0.01)  # what comes at once is merged where a client is slow


@pytest.mark.parametrize("what", WRONG)
def test_a_camera_that_has_such_a_frame_is_not_taken_for_one_that_has_none(camera, cam, what):
    wrong, says = WRONG[what]
    camera.contradict([(1, None)], wrong)
    with pytest.raises((MalformedFrame, CodecError), match=f"^cam: .*{says}"):
        cam.stage()


@pytest.mark.parametrize("what", ["too few", "pixel type", "colours", "unknown"])
def test_a_flight_in_which_a_camera_begins_to_contradict_itself_fails_for_that(engine, docs, camera, cam, what, caplog):
    wrong, says = WRONG[what]

    def post() -> None:
        _post(camera, range(1, 5))
        _post(camera, range(5, 15), wrong)

    _then(cam, "kickoff", post)
    with pytest.raises(FailedStatus):
        engine(record([cam], num=20, flush_period=0.1))
    assert f"no valid frame for {WHILE:.1f} s" in docs.stop["reason"]
    assert "is the camera acquiring" not in docs.stop["reason"]
    assert "contradicts itself: pva://DEV:W:Image: " in docs.stop["reason"]
    assert cam.ledger.account.malformed == 10
    warned = [record.getMessage() for record in caplog.records if record.name == "beamstream.recording"]
    (said,) = [text for text in warned if "pva://" in text]
    assert re.search(says, said)


def test_a_count_of_a_camera_that_contradicts_itself_fails_for_that(engine, docs, camera, cam):
    wrong, says = WRONG["pixel type"]
    _then(cam, "trigger", lambda: _post(camera, range(1, 15), wrong))
    with pytest.raises(FailedStatus):
        engine(bp.count([cam], 1))
    assert "is the camera acquiring" not in docs.stop["reason"]
    assert says in docs.stop["reason"]


def test_single_frames_that_contradict_themselves_are_lost_for_their_header(engine, docs, camera, cam):
    wrong, _ = WRONG["too few"]

    def post() -> None:
        _post(camera, range(1, 5))
        _post(camera, range(5, 7), wrong)
        _post(camera, range(7, 12))

    _then(cam, "kickoff", post)
    engine(record([cam], num=8, flush_period=0.1))
    account = cam.ledger.account
    assert (account.recorded, account.malformed, account.lost) == (8, 2, 2)
    assert [(gap.after, gap.missing, str(gap.place)) for gap in account.gaps] == [(4, 2, "header")]
    assert not account.whole
