"""Films and those who watch them, for tests."""

import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from beamstream.errors import BeamstreamError
from beamstream.frames import Frame, Geometry
from beamstream.sinks.video import VideoSink
from beamstream.sources.video import VideoSource

GREY = Geometry((48, 64), "|u1")
BEGAN = 1_755_537_514.794256


class Watcher:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.missing: list[int | None] = []
        self.errors: list[Exception] = []
        self.over = threading.Event()

    def frame(self, frame: Frame, missing: int | None) -> None:
        self.frames.append(frame)
        self.missing.append(missing)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        self.over.set()

    def repeated(self) -> None:
        raise AssertionError("a film repeats nothing")

    def malformed(self, error: BeamstreamError) -> None:
        raise AssertionError(error)

    def connection(self, up: bool) -> None:
        raise AssertionError(up)


def watch(path: Path, *, damaged: bool = False, **options: Any) -> Watcher:
    """Play a film to its end, or to where it is damaged."""
    watcher = Watcher()
    film = VideoSource(path, **({"speed": 0} | options))
    film.ended = watcher.over.set
    film.start(watcher, 5)
    try:
        assert watcher.over.wait(30)
    finally:
        film.close()
    assert bool(watcher.errors) is damaged, watcher.errors
    return watcher


def noisy(geometry: Geometry, number: int, *, top: int | None = None, step: float = 0.1) -> list[Frame]:
    """Make frames of noise, `step` s apart."""
    random = np.random.default_rng(1)
    most = top or np.iinfo(geometry.dtype).max
    times = [BEGAN + i * step for i in range(number)]
    return [
        Frame(random.integers(0, most, geometry.shape, dtype=geometry.dtype, endpoint=True), geometry, 7 + i, t, t)
        for i, t in enumerate(times)
    ]


def film_of(path: Path, frames: Sequence[Frame], **options: Any) -> Path:
    """Write a film of ours."""
    with VideoSink(path, frames[0].geometry, **options) as sink:
        sink.write(frames)
    return path


def foreign(
    path: Path,
    pictures: Sequence[NDArray[Any]],
    *,
    codec: str,
    pix_fmt: str,
    given: str = "gray",
    full: bool | None = None,
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a film as other programs do: their codecs and pixels, ticks of 1/100 s, none of our notes."""
    n_rows, n_cols = pictures[0].shape[:2]
    whole = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=whole) as film:
        film.metadata.update(metadata or {})
        stream: Any = film.add_stream(codec, rate=100, options=options or {})
        stream.width, stream.height, stream.pix_fmt = n_cols, n_rows, pix_fmt
        levels = {None: 0, True: 2, False: 1}[full]
        stream.codec_context.color_range = levels
        for number, image in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(image, format=given)
            if given != pix_fmt:
                picture.color_range = 2
                picture = picture.reformat(format=pix_fmt, dst_color_range=levels or 1)
            picture.color_range = levels
            picture.pts = number * 10 if pts is None else pts[number]
            picture.time_base = Fraction(1, 100)
            for packet in stream.encode(picture):
                film.mux(packet)
        for packet in stream.encode():
            film.mux(packet)
    return path
