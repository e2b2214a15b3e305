"""Frames that nobody acquires, fetched for the eye: from real servers that come late, go, come again and change."""

import os
import signal
import time
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from looking import newer, says
from pva_camera import WRONG, PvaCamera

from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.pattern import Pattern
from beamstream.sim.process import SimProcess
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec
from beamstream.watching import candidates
from beamstream.watching import follow as follow_module
from beamstream.watching.streams import rings, spec_of_uri
from beamstream.watching.tap import Tap
from beamstream.watching.tape import Tape, TapeSettings

GEOMETRY = Geometry((48, 64), "<u2")
CAMERA = CameraSpec("TAP:A", GEOMETRY, period=0.01, free_running=True)
QUIET = CameraSpec("TAP:Q", GEOMETRY, period=0.01)
EMPTY = CameraSpec("TAP:E", GEOMETRY, prefilled=False)
SPEC = spec_of_uri(f"pva://{CAMERA.image}")


@pytest.fixture(scope="module")
def beamline():
    with SimProcess(Beamline((CAMERA, QUIET, EMPTY), ())) as process:
        yield process


def test_a_stream_that_nobody_acquires_is_fetched_through_a_kill_and_ends_when_nobody_looks(
    beamline, follow, wait_for, monkeypatch
):
    eye = follow(SPEC)
    wait_for(lambda: newer(eye), what="frames")
    assert eye.status["from"] == "tap"
    assert eye.status["words"] == ""
    os.kill(eye.owner, signal.SIGKILL)
    killed = eye.owner
    wait_for(lambda: newer(eye) and eye.owner != killed, what="frames of another tap")
    monkeypatch.setattr(follow_module, "_REST", 0.3)

    def gone() -> bool:
        eye.poll(wanted=False)
        return SPEC.name not in rings() and "nobody looks" in eye.status["words"]

    wait_for(gone, what="the tap to end")
    wait_for(lambda: newer(eye), what="frames again")


def test_a_session_has_the_camera_for_itself_while_it_acquires(beamline, follow, session, wait_for, monkeypatch):
    monkeypatch.setattr(candidates, "FRESH", 0.4)
    monkeypatch.setattr(follow_module, "_LEAST_PATIENCE", 0.1)
    eye = follow(SPEC)
    wait_for(lambda: newer(eye), what="frames")
    tap = eye.owner
    camera = session(SPEC.name, source=SPEC.uri)

    def acquired() -> bool:
        camera.put()
        eye.poll()
        return eye.owner == os.getpid() and rings()[SPEC.name] == [os.getpid()]

    wait_for(acquired, what="the tap to give way")
    assert eye.newest().unique_id == camera.last_id
    wait_for(lambda: newer(eye), what="a tap again, when the session is silent")
    assert eye.owner not in (tap, os.getpid())


def test_two_who_look_share_one_tap_and_the_second_goes_on_when_the_first_leaves(beamline, follow, wait_for):
    first = follow(SPEC)
    wait_for(lambda: newer(first), what="frames")
    second = follow(SPEC)
    wait_for(lambda: newer(second), what="frames for both")
    assert second.owner == first.owner
    first.close()
    wait_for(lambda: newer(second) and second.owner != first.owner, what="a tap of its own")


def test_a_recording_goes_on_without_a_hole_when_the_viewer_that_fetched_the_frames_leaves(
    beamline, follow, wait_for, tmp_path
):
    eye = follow(SPEC)
    wait_for(lambda: newer(eye), what="frames")
    fetched_by = eye.owner
    tape = Tape(SPEC, TapeSettings(str(tmp_path), format="npy"))
    tape.start()
    try:
        wait_for(lambda: newer(eye) and len(rings()[SPEC.name]) == 2, what="a tap of the recording's own")
        wait_for(lambda: newer(eye) and tape.status["written"] > 20, what="frames on disk")
        eye.close()
        wait_for(lambda: fetched_by not in rings()[SPEC.name], what="the viewer's tap to end")
        before = tape.status["written"]
        wait_for(lambda: tape.status["written"] > before + 100, what="more frames on disk")
        assert (tape.status["lost"], tape.status["restarts"]) == (0, 0)
        tape.stop()
        wait_for(lambda: not tape.running, what="the file to be finished")
        assert len(np.load(tmp_path / "frame.npy")) == tape.status["written"]
    finally:
        tape.close()


def test_a_camera_that_has_no_frame_is_connected_and_said_to_be_silent(beamline, follow, wait_for):
    eye = follow(spec_of_uri(f"pva://{EMPTY.image}"))
    wait_for(says(eye, "pva://TAP:E:Pva1:Image is connected, no frame for", "is it acquiring?"), what="words")
    assert eye.status["connected"]
    assert eye.newest() is None


def test_a_camera_that_contradicts_itself_is_named_as_that_until_it_does_no_more(follow, wait_for):
    wrong, _ = WRONG["too few"]
    with PvaCamera("TAP:W:Image") as camera:
        camera.post([(1, time.time())], wrong=wrong)
        eye = follow(spec_of_uri(f"pva://{camera.pv}"))
        wait_for(says(eye, "dimensions [64, 47] ask for 3008 values, 3072 are there"), what="words")
        assert eye.newest() is None
        camera.post([(2, time.time())])
        wait_for(lambda: eye.newest() is not None, what="a frame")
        camera.post([(3, time.time())], wrong=wrong)
        wait_for(says(eye, "ask for 3008 values"), what="words again")


def test_of_a_camera_that_numbers_and_dates_nothing_frames_are_seen_and_no_losses_claimed(follow, wait_for):
    with PvaCamera("TAP:N:Image") as camera:
        camera.run(0.02, 0.0, 4711.0 - time.time(), numbers="0")
        eye = follow(spec_of_uri(f"pva://{camera.pv}"))
        times = []

        def unnumbered() -> bool:
            frame = eye.newest()
            times.extend([] if frame is None else [frame.timestamp])
            return eye.status["lost"] is None

        wait_for(unnumbered, what="frames without numbers")
        assert times == pytest.approx([time.time()] * len(times), abs=60)
        assert eye.status["delay"] == 0


def test_of_a_camera_that_stands_still_the_last_frame_is_shown_and_its_age_said(beamline, follow, wait_for):
    eye = follow(spec_of_uri(f"pva://{QUIET.image}"))
    frames = []
    wait_for(lambda: frames.append(eye.newest()) or frames[-1] is not None, what="the frame that it has")
    np.testing.assert_array_equal(frames[-1].image, Pattern(GEOMETRY).image(frames[-1].unique_id))
    assert frames[-1].received <= frames[-1].timestamp
    wait_for(says(eye, "the last frame came", "ago, pva://TAP:Q:Pva1:Image is connected; is it"), what="words")
    assert (eye.status["connected"], eye.status["lost"], eye.status["rate"]) == (True, 0, 0.0)


def test_what_a_camera_had_before_is_not_recorded(beamline, tmp_path, wait_for):
    tape = Tape(spec_of_uri(f"pva://{QUIET.image}"), TapeSettings(str(tmp_path), format="npy"))
    tape.start()
    try:
        wait_for(lambda: "is connected, no frame for" in tape.status["words"], timeout=15, what="its own tap")
        time.sleep(0.5)
        assert tape.status["written"] == 0
    finally:
        tape.close()


def test_a_pv_that_is_no_image_is_said_to_be_none(beamline, follow, wait_for):
    eye = follow(spec_of_uri("pva://TAP:A:Pva1:Scalar"))
    wait_for(says(eye, "TAP-A-Pva1-Scalar", "NTNDArray"), what="words")
    assert not eye.status["connected"]


def test_spectra_are_fetched_as_intensities(follow, wait_for):
    with SpectraSim(SpectrometerSpec(rate=50, shape=(2, 96, 4))) as publisher:
        eye = follow(spec_of_uri(publisher.uri))
        frames = []
        wait_for(lambda: frames.append(eye.newest()) or frames[-1] is not None, what="spectra")
        assert frames[-1].geometry.shape == (2, 96)
        assert {"last_block_time", "delay"} <= dict(frames[-1].attributes).keys()
        wait_for(
            lambda: eye.newest() is not None and eye.status["start"] + 10 < eye.status["stop"], what="more of them"
        )
        publisher.kill()
        wait_for(says(eye, "went away at"), what="words")
        publisher.start()
        wait_for(lambda: eye.newest() is not None, what="spectra again")


def test_a_film_is_played_again_and_again(tmp_path, follow, wait_for):
    from beamstream.frames import Frame
    from beamstream.sinks.video import VideoSink

    geometry = Geometry((48, 64), "|u1")
    with VideoSink(tmp_path / "film.mkv", geometry, fps=50.0) as film:
        film.write([Frame(Pattern(geometry).image(i), geometry, i, i / 50, 0.0) for i in range(10)])
    eye = follow(spec_of_uri(f"video:{tmp_path / 'film.mkv'}"))
    seen = []

    def twice() -> bool:
        frame = eye.newest()
        if frame is not None:
            seen.append(frame.unique_id)
        return any(b < a for a, b in pairwise(seen))

    wait_for(twice, what="the film to begin again")


def test_a_tap_by_itself_tells_how_it_goes_and_leaves_nothing(beamline, wait_for):
    tap = Tap(SPEC)
    assert (tap.pid, tap.ring, tap.alive) == (None, None, False)
    tap.start()  # and does not wait for the process
    assert tap.ring is None
    assert tap.status["words"] == f"{SPEC.name}: connecting to {SPEC.uri}"
    wait_for(partial(lambda: tap.ring is not None and tap.status["received"] > 20), what="frames")
    assert tap.status["connected"]
    assert tap.status["malformed"] == tap.status["lost"] == 0
    os.kill(tap.pid, signal.SIGKILL)
    wait_for(lambda: not tap.alive, what="it to be gone")
    assert "ended and said" in tap.status["words"]
    tap.close()
    from beamstream.segment import PREFIX, sweep

    assert len(sweep(PREFIX + SPEC.name)) == 1
