"""What those who know the key have done to a stream: references, recordings; and frames as files."""

import io
import threading

import imagecodecs
import numpy as np
import pytest
import tifffile
from hub_rig import noise
from hub_viewer import Viewer, ask

from beamstream.references import ReferenceStore


@pytest.fixture
def running(camera):
    """Let the camera put frames all the time."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.01):
            camera.put()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_a_flat_is_captured_kept_and_used_by_pages_that_wish_it(url, camera, places):
    flat = noise((64, 96), "<u2").clip(1000)
    camera.put(flat)
    with Viewer(url, control=True) as viewer, Viewer(url) as raw:
        viewer.say(correct={"flat": True})
        viewer.say(cross=[3, 4])
        viewer.view(64, 96)
        shown = viewer.frame()
        assert not shown.treated
        status = viewer.text("status", lambda status: status["correction"]["failed"])
        assert "flat" in status["correction"]["failed"]
        ended = threading.Event()
        putting = threading.Thread(target=lambda: _again(camera, flat, ended))
        putting.start()
        answer = viewer.do("capture", kind="flat", frames=5)
        ended.set()
        putting.join()
        assert answer["ok"], answer
        (kept,) = ReferenceStore(places["references"]).list("flat", camera.name)
        assert kept.name in answer["words"]
        image = camera.put(noise((64, 96), "<u2", seed=5))
        shown = viewer.frame(lambda shown: shown.index == camera.number - 1)
        raw.view(64, 96)
        np.testing.assert_array_equal(raw.frame(lambda shown: shown.index == camera.number - 1).pixels, image)
        name = viewer.text("status", lambda status: status["correction"]["flat"])["correction"]["flat"]
    expected = image / flat.astype(float) * flat.mean()
    assert shown.treated
    np.testing.assert_allclose(shown.values, expected, rtol=1e-6)
    assert shown.notes["cross"]["value"] == pytest.approx(expected[3, 4], rel=1e-6)
    assert name == kept.name


def _again(camera, image, ended) -> None:
    while not ended.wait(0.01):
        camera.put(image)


def test_a_capture_of_a_silent_camera_and_of_too_many_frames_fails_in_words(url, camera):
    camera.put()
    with Viewer(url, control=True) as viewer:
        for frames, words in (
            (0, "use 1 to"),
            (10**9, "use 1 to"),
            (True, "use 1 to"),
            ("3", "nothing that can be done"),
        ):
            answer = viewer.do("capture", kind="dark", frames=frames)
            assert not answer["ok"]
            assert words in answer["words"]
        answer = viewer.do("capture", kind="dark", frames=3)
        assert not answer["ok"]
        assert "is the camera acquiring" in answer["words"]


def test_a_recording_has_every_frame_and_is_finished_when_it_is_stopped(url, camera, places, running):
    with Viewer(url, control=True) as viewer:
        answer = viewer.do("record", directory="today", prefix="look", format="tiff")
        assert answer["ok"], answer
        viewer.text("status", lambda status: (status["recording"] or {}).get("written", 0) >= 5)
        assert viewer.last["status"]["recording"]["state"] == "recording"
        again = viewer.do("record", directory="today", prefix="look", format="tiff")
        assert not again["ok"]
        assert viewer.do("stop")["ok"]
        done = viewer.text("status", lambda status: status["recording"]["state"] == "done")["recording"]
        assert not viewer.do("stop")["ok"]
    files = sorted((places["recordings"] / "today").rglob("look_*.tiff"))
    assert len(files) == done["written"]
    assert done["lost"] == 0
    assert files[0].name == "look_000001.tiff"
    assert tifffile.imread(files[0]).shape == (64, 96)


@pytest.mark.parametrize(
    "asked",
    [
        {"directory": "../out", "prefix": "p", "format": "tiff"},
        {"directory": "/etc", "prefix": "p", "format": "tiff"},
        {"directory": "", "prefix": "../p", "format": "tiff"},
        {"directory": "", "prefix": "p", "format": "exe"},
        {"directory": 3, "prefix": "p", "format": "tiff"},
        {"prefix": "p"},
    ],
)
def test_a_recording_that_would_lead_elsewhere_is_refused(url, camera, places, asked):
    camera.put()
    with Viewer(url, control=True) as viewer:
        answer = viewer.do("record", **asked)
    assert not answer["ok"]
    assert not list(places["recordings"].parent.rglob("p_*"))


def test_the_newest_frame_is_a_file_with_every_pixel(url, camera):
    camera.put()
    image = camera.put(noise((64, 96), "<u2"))
    status, headers, body = ask(f"{url}frame?format=npy")
    assert status == 200, body
    np.testing.assert_array_equal(np.load(io.BytesIO(body)), image)
    assert headers["content-disposition"] == f'attachment; filename="{camera.name}_000001.npy"'
    np.testing.assert_array_equal(imagecodecs.png_decode(ask(f"{url}frame?format=png")[2]), image)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(ask(f"{url}frame?format=tiff")[2])), image)


def test_the_frame_of_a_paused_page_is_the_file_that_it_saves(url, camera):
    first = camera.put(noise((64, 96), "<u2"))
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        viewer.frame()
        viewer.say(pause=True)
        viewer.text("status", lambda status: status["state"] == "paused")
        for _ in range(40):
            camera.put()
        np.testing.assert_array_equal(np.load(io.BytesIO(ask(f"{url}frame?index=0")[2])), first)
        assert not np.array_equal(np.load(io.BytesIO(ask(f"{url}frame")[2])), first)


@pytest.mark.parametrize(
    ("query", "status"), [("format=exe", 422), ("correct=magic", 422), ("correct=flat", 409), ("correct=pipeline", 409)]
)
def test_a_file_that_cannot_be_made_is_refused_with_words(url, camera, query, status):
    camera.put()
    answered, _, body = ask(f"{url}frame?{query}")
    assert answered == status
    assert b"error" in body
