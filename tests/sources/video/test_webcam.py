"""Webcams through OpenCV; there is none here, so that a film and a sequence of pictures play them."""

import threading

import cv2
import numpy as np
import pytest
from video_films import Watcher

from beamstream.errors import NotAnImage, NotConnected, SourceError
from beamstream.frames import ColorMode, Geometry
from beamstream.sources.webcam import WebcamSource


@pytest.fixture
def grabbed(tmp_path):
    """Ten pictures as a lossless sequence, and what they are (blue, green, red)."""
    random = np.random.default_rng(2)
    images = [random.integers(0, 255, (48, 64, 3), dtype="u1") for _ in range(10)]
    for number, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"img_{number:02d}.png"), image)
    return str(tmp_path / "img_%02d.png"), images


@pytest.fixture
def avi(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "cam.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), number * 20, "u1"))
    writer.release()
    return str(tmp_path / "cam.avi")


def follow(source):
    watcher = Watcher()
    source.start(watcher, 5)
    assert watcher.over.wait(20)
    source.close()
    return watcher


@pytest.mark.parametrize(
    ("grey", "made"),
    [
        ("keep", lambda bgr: bgr[..., ::-1]),
        ("red", lambda bgr: bgr[..., 2]),
        ("blue", lambda bgr: bgr[..., 0]),
        ("mean", lambda bgr: np.rint(bgr.astype(float).mean(axis=2))),
    ],
)
def test_frames_are_what_was_declared_of_the_colours(grabbed, grey, made):
    path, images = grabbed
    source = WebcamSource(path, name="cam", grey=grey)
    mode = ColorMode.RGB1 if grey == "keep" else ColorMode.MONO
    assert source.connect(1) == Geometry((48, 64, 3) if grey == "keep" else (48, 64), "|u1", mode)
    assert source.connected
    watcher = follow(source)
    assert [f.unique_id for f in watcher.frames] == list(range(10))
    for frame, image in zip(watcher.frames, images, strict=True):
        assert np.array_equal(frame.image, made(image))
    assert [f.timestamp for f in watcher.frames] == sorted(f.received for f in watcher.frames)
    assert "gave 10 frames and no more" in str(watcher.errors[0])
    assert not source.connected


def test_colours_become_nothing_by_accident(grabbed):
    with pytest.raises(NotAnImage, match=r'have colours; say .* grey = "luma"'):
        WebcamSource(grabbed[0]).connect(1)


def test_a_motion_jpeg_and_its_rate(avi):
    source = WebcamSource(avi, grey="luma")
    source.connect(1)
    assert source.period == pytest.approx(0.04)
    watcher = follow(source)
    assert [round(float(f.image.mean()) / 20) for f in watcher.frames] == list(range(12))


def test_stopping_ends_the_thread_and_frees_the_camera(avi):
    class Slow(Watcher):
        def frame(self, frame, missing):
            super().frame(frame, missing)
            first.set()
            go_on.wait(20)

    first, go_on = threading.Event(), threading.Event()
    source, watcher = WebcamSource(avi, grey="luma"), Slow()
    source.start(watcher, 1)
    assert first.wait(20)
    stopper = threading.Thread(target=source.stop)
    stopper.start()
    go_on.set()
    stopper.join(20)
    assert not stopper.is_alive()
    assert not watcher.errors
    assert len(follow(source).frames) == 12  # it can be started again


def test_a_camera_that_is_not_there_is_named():
    source = WebcamSource(77, name="cam")
    with pytest.raises(NotConnected, match=r"cam: there is no webcam://77"):
        source.connect(1)
    with pytest.raises(NotConnected, match=r"cam: there is no webcam://77"):
        source.start(Watcher(), 1)
    assert not source.connected


def test_a_size_that_the_camera_has_not_is_told(avi):
    with pytest.raises(SourceError, match="480 × 640 asked for, the camera gives 48 × 64"):
        WebcamSource(avi, grey="luma", size=(480, 640)).connect(1)


@pytest.mark.parametrize("options", [{"grey": "gray"}, {"fps": 0}, {"size": (0, 3)}])
def test_options_that_cannot_be_are_named(options):
    with pytest.raises(ValueError, match="given; use"):
        WebcamSource(0, **options)
