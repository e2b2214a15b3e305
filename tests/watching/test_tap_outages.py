"""A camera whose server comes late, goes, and comes again with other frames; all of it said in words."""

import os

from looking import newer, says

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess
from beamstream.watching import candidates
from beamstream.watching.streams import spec_of_uri

CAMERA = CameraSpec("OUT:A", Geometry((48, 64), "<u2"), period=0.01, free_running=True)
OTHER = CameraSpec("OUT:A", Geometry((30, 40, 3), "|u1", ColorMode.RGB1), period=0.01, free_running=True)
SPEC = spec_of_uri(f"pva://{CAMERA.image}")


def test_a_server_that_comes_late_goes_and_comes_again_with_other_frames_is_waited_for(follow, wait_for, monkeypatch):
    eye = follow(SPEC)
    wait_for(says(eye, "the PV OUT:A:Pva1:Image did not answer within 2 s", "is the name right"), what="words")
    assert not eye.status["connected"]
    with SimProcess(Beamline((CAMERA,), ())) as server:
        wait_for(lambda: newer(eye), timeout=20, what="frames")
        owner = eye.owner
        server.kill()
        wait_for(says(eye, SPEC.uri, "went away at", "waiting for it"), what="words")
        assert not eye.status["connected"]
        server.beamline = Beamline((OTHER,), ())
        server.start()
        wait_for(lambda: newer(eye) and eye.poll().geometry == OTHER.geometry, timeout=20, what="other frames")
        assert eye.owner == owner != os.getpid()
        assert eye.status["words"] == ""
        monkeypatch.setattr(candidates, "FRESH", 0.4)
        server.suspend()
        wait_for(says(eye, "the last frame came", "is it acquiring?"), what="words")
        server.resume()
        wait_for(lambda: newer(eye), what="frames")
