"""Looking at the ring of a session: what is fresh, what is old, what is another's."""

import subprocess
import sys
import time

import numpy as np

from beamstream.frames import Geometry
from beamstream.watching.streams import StreamSpec

ABOUT = {"kind": "pva_detector", "pv": "NO:SUCH:PV"}
WRITER = """
import sys, time, numpy as np
from beamstream.frames import Frame, Geometry
from beamstream.ring import Ring
ring, g = Ring("camera", slots=4), Geometry((8, 8), "|u1")
ring.put(Frame(np.zeros((8, 8), "u1"), g, 1, time.time(), time.time()))
print("there", flush=True)
sys.stdin.read()
"""


def _look(follow) -> None:
    """Have it look for rings now."""
    follow._looked = 0.0
    follow.poll()


def test_each_frame_is_returned_once_whole_and_as_a_copy(session, follow):
    camera = session()
    camera.put(3)
    eye = follow(StreamSpec("camera"))
    frame = eye.newest()
    assert frame.unique_id == 3
    np.testing.assert_array_equal(frame.image, np.full((48, 64), 3))
    assert eye.newest() is None
    camera.put(40)  # more than the ring holds
    assert np.all(frame.image == 3)
    assert eye.newest().unique_id == 43


def test_without_a_ring_it_says_what_it_waits_for(follow):
    eye = follow(StreamSpec("camera"))
    assert eye.poll() is None
    assert eye.newest() is None
    status = eye.status
    assert not status["connected"]
    assert status["words"] == "camera: nobody writes a ring of this name; waiting for one"
    assert (status["from"], status["owner"], status["age"]) == ("", None, None)


def test_a_ring_that_comes_later_is_found(session, follow, wait_for):
    eye = follow(StreamSpec("camera"))
    assert eye.poll() is None
    session().put()
    wait_for(lambda: eye.newest() is not None, what="the ring to be found")
    assert eye.status["from"] == "session"


def test_a_change_of_geometry_is_followed(session, follow, wait_for):
    camera = session()
    camera.put()
    eye = follow(StreamSpec("camera"))
    assert eye.newest().geometry.shape == (48, 64)
    camera.put(geometry=Geometry((10, 20), "|u1"))
    frame = None

    def changed() -> bool:
        nonlocal frame
        frame = eye.newest()
        return frame is not None

    wait_for(changed, what="the new geometry")
    assert (frame.geometry.shape, frame.unique_id) == ((10, 20), 2)


def test_the_ring_of_something_else_with_the_same_name_is_not_looked_at(session, follow):
    session("camera", source="pva://ANOTHER:Image").put()
    eye = follow(StreamSpec("camera", ABOUT), tap=False)
    assert eye.poll() is None
    session("camera", source="pva://NO:SUCH:PV").put()
    _look(eye)  # a process has one ring of a name: the youngest of ours counts from now on
    assert eye.newest() is not None


def test_rate_delay_age_and_losses_are_told(session, follow):
    camera = session(slots=200)
    camera.put()
    eye = follow(StreamSpec("camera"))
    eye.poll()
    began = time.monotonic()
    while time.monotonic() < began + 0.5:
        camera.put()
        eye.poll()
        time.sleep(0.01)
    camera.put(skip=7)
    eye.poll()
    status = eye.status
    assert status["connected"]
    assert status["words"] == ""
    assert 20 < status["rate"] < 110
    assert 0.009 < status["delay"] < 0.011
    assert 0 <= status["age"] < 0.5
    assert status["lost"] == 7
    assert (status["start"], status["stop"], status["capacity"]) == (0, camera.last_id - 7, 200)


def test_what_nobody_acquired_between_two_runs_is_not_lost(session, follow):
    camera = session()
    camera.put(3, age=10.0)
    eye = follow(StreamSpec("camera"))
    eye.poll()
    camera.put(2, skip=500)
    eye.poll()
    assert eye.status["lost"] == 0
    camera.put(2, skip=7)
    eye.poll()
    assert eye.status["lost"] == 7


def test_what_is_lost_of_frames_that_nobody_numbers_is_unknown(session, follow):
    camera = session()
    camera.put(3)
    eye = follow(StreamSpec("camera"))
    eye.poll()
    for _ in range(3):
        camera.put(1, skip=-1)
    eye.poll()
    assert eye.status["lost"] is None
    camera.put(2, skip=4)
    eye.poll()
    assert eye.status["lost"] == 4


def test_old_frames_are_shown_and_said_to_be_old(session, follow):
    session().put(3, age=60.0)
    eye = follow(StreamSpec("camera"))
    assert eye.newest().unique_id == 3
    status = eye.status
    assert not status["connected"]
    assert status["rate"] == 0.0
    assert status["words"].startswith("camera: the last frame came 60 s ago; is it acquiring")


def test_a_slow_camera_is_fresh_for_five_of_its_periods(session, follow):
    camera = session()
    for ago in (32.0, 22.0, 12.0, 2.0):  # a frame every 10 s
        camera.put(age=ago)
    eye = follow(StreamSpec("camera"))
    eye.poll()
    assert eye.status["connected"]


def test_what_a_killed_session_left_is_not_looked_at(follow):
    with subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"there\n"
        eye = follow(StreamSpec("camera"))
        assert eye.newest() is not None
        child.kill()
        child.wait()
        _look(eye)
        assert eye.poll() is None
        assert "nobody writes" in eye.status["words"]
    from beamstream.segment import PREFIX, sweep

    assert len(sweep(PREFIX + "camera.")) == 1
