"""Films as sources: every frame, its values, its time, at the pace that was asked for."""

import logging
import os
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from video_films import BEGAN, GREY, Watcher, film_of, foreign, noisy, watch

from beamstream.errors import NotAnImage, NotConnected
from beamstream.frames import ColorMode, Geometry
from beamstream.sources.video import VideoSource


def same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.geometry == b.geometry
        assert np.array_equal(a.image, b.image)


SHAPES = [
    Geometry((61, 67), "|u1"),
    Geometry((61, 67), "<u2"),
    Geometry((60, 64), "|u1", ColorMode.BAYER),
    *(
        Geometry(shape, dtype, mode)
        for dtype in ("|u1", "<u2")
        for shape, mode in (((31, 45, 3), "rgb1"), ((31, 3, 45), "rgb2"), ((3, 31, 45), "rgb3"))
        for mode in [ColorMode(mode)]
    ),
]


@pytest.mark.parametrize("geometry", SHAPES, ids=str)
def test_frames_and_times_of_a_film_of_ours_come_back_as_they_were_written(tmp_path, geometry):
    frames = noisy(geometry, 6, step=1 / 7)
    film = film_of(tmp_path / "run.mkv", frames)
    assert VideoSource(film).connect(1) == geometry
    watcher = watch(film)
    same(watcher.frames, frames)
    assert [f.timestamp for f in watcher.frames] == [f.timestamp for f in frames]  # bit by bit
    assert [f.unique_id for f in watcher.frames] == list(range(6))
    assert watcher.missing == [0] * 6
    assert {f.source for f in watcher.frames} == {film.as_uri()}
    assert {f.clock for f in watcher.frames} == {"film"}
    assert not watcher.frames[0].image.flags.writeable


@pytest.mark.parametrize(
    ("geometry", "lossless"),
    [(Geometry((61, 67), "|u1"), True), (Geometry((31, 45, 3), "|u1", ColorMode.RGB1), True)],
    ids=str,
)
def test_a_lossless_mp4_comes_back_as_well(tmp_path, geometry, lossless):
    frames = noisy(geometry, 6, step=1 / 7)
    watcher = watch(film_of(tmp_path / "run.mp4", frames, lossless=lossless))
    same(watcher.frames, frames)
    assert [f.timestamp for f in watcher.frames] == pytest.approx([f.timestamp for f in frames], abs=1e-6, rel=0)


def test_a_lossy_film_comes_back_cut_to_its_size(tmp_path):
    frames = noisy(Geometry((61, 67), "|u1"), 6, top=20)
    watcher = watch(film_of(tmp_path / "run.mp4", frames))
    assert {f.geometry for f in watcher.frames} == {frames[0].geometry}
    pairs = zip(watcher.frames, frames, strict=True)
    assert np.mean([np.abs(a.image.astype(int) - b.image).mean() for a, b in pairs]) < 4


def test_a_window_makes_a_film_of_any_frames(tmp_path):
    frames = noisy(Geometry((48, 64), "<u2"), 3, top=4095)
    watcher = watch(film_of(tmp_path / "run.mkv", frames, window=(0, 4095)))
    assert watcher.frames[0].geometry == GREY
    assert np.array_equal(watcher.frames[2].image, np.rint(frames[2].image / 4095 * 255))


@pytest.mark.parametrize(
    ("pix_fmt", "dtype", "top"),
    [("gray", "u1", 255), ("gray10le", "u2", 1023), ("gray12le", "u2", 4095), ("gray16le", "u2", 65535)],
)
def test_grey_of_8_to_16_bits_is_taken_as_it_is(tmp_path, pix_fmt, dtype, top):
    images = [frame.image for frame in noisy(Geometry((48, 64), f"<{dtype}"), 4, top=top)]
    film = foreign(tmp_path / "film.mkv", images, codec="ffv1", pix_fmt=pix_fmt, given=pix_fmt)
    for frame, image in zip(watch(film).frames, images, strict=True):
        assert np.array_equal(frame.image, image)
        assert frame.geometry == Geometry((48, 64), np.dtype(dtype).str)


def coloured(number=3):
    random = np.random.default_rng(3)
    return [random.integers(0, 255, (48, 64, 3), dtype="u1") for _ in range(number)]


@pytest.mark.parametrize(
    ("grey", "made"),
    [
        ("red", lambda rgb: rgb[..., 0]),
        ("green", lambda rgb: rgb[..., 1]),
        ("blue", lambda rgb: rgb[..., 2]),
        ("mean", lambda rgb: np.rint(rgb.astype(float).mean(axis=2))),
        ("luma", lambda rgb: np.rint(rgb @ [0.299, 0.587, 0.114])),
        ("keep", lambda rgb: rgb),
    ],
)
def test_colours_become_what_was_declared(tmp_path, grey, made):
    images = coloured()
    film = foreign(tmp_path / "film.mkv", images, codec="ffv1", pix_fmt="bgr0", given="rgb24")
    watcher = watch(film, grey=grey)
    assert watcher.frames[0].geometry.color_mode == ("rgb1" if grey == "keep" else "mono")
    for frame, image in zip(watcher.frames, images, strict=True):
        assert np.array_equal(frame.image, made(image))


def test_colours_become_nothing_by_accident(tmp_path):
    film = foreign(tmp_path / "film.mkv", coloured(), codec="ffv1", pix_fmt="bgr0", given="rgb24")
    with pytest.raises(NotAnImage, match=r'bgr0, which has colours; say .* grey = "luma"'):
        VideoSource(film).connect(1)


def limited(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 64).round().astype("u1"), (48, 1))
    options = {"qp": "0"}
    return ramp, foreign(
        tmp_path / "film.mp4", [ramp] * 3, codec="libx264", pix_fmt="yuv420p", full=False, options=options
    )


def test_limited_range_becomes_what_was_declared(tmp_path):
    ramp, film = limited(tmp_path)
    with pytest.raises(NotAnImage, match=r"black is 16, white 235.*limited = \"expand\""):
        VideoSource(film, grey="luma").connect(1)
    kept = watch(film, grey="luma", limited="keep").frames[0].image
    assert (kept[0, 0], kept[0, -1]) == (16, 235)
    full = watch(film, grey="luma", limited="expand").frames[0].image
    assert (full[0, 0], full[0, -1]) == (0, 255)
    assert np.abs(full.astype(int) - ramp).max() <= 1


def test_full_range_is_taken_as_it_is(tmp_path):
    image = noisy(GREY, 1)[0].image
    options = {"qp": "0"}
    film = foreign(tmp_path / "film.mp4", [image], codec="libx264", pix_fmt="yuvj420p", full=True, options=options)
    assert np.array_equal(watch(film, grey="luma").frames[0].image, image)


def test_uneven_times_and_the_films_date_are_the_timestamps(tmp_path):
    images = [frame.image for frame in noisy(GREY, 5)]
    metadata = {"creation_time": "2025-08-18T17:18:34.794256Z"}
    film = foreign(
        tmp_path / "film.mkv", images, codec="ffv1", pix_fmt="gray", pts=[300, 301, 310, 500, 501], metadata=metadata
    )
    watcher = watch(film)
    times = [f.timestamp - BEGAN for f in watcher.frames]
    assert times == pytest.approx([0, 0.01, 0.1, 2.0, 2.01], abs=1e-6)
    assert watcher.frames[0].clock == "film"


def test_a_film_without_a_date_has_its_files_or_the_declared_one(tmp_path):
    film = foreign(tmp_path / "film.avi", [noisy(GREY, 1)[0].image] * 3, codec="ffv1", pix_fmt="gray")
    os.utime(film, (BEGAN, BEGAN))
    frame = watch(film).frames[0]
    assert (frame.timestamp, frame.clock) == (pytest.approx(BEGAN, abs=1e-6), "file")
    start = datetime(2024, 2, 29, 12, tzinfo=UTC)
    frame = watch(film, start=start).frames[0]
    assert (frame.timestamp, frame.clock) == (start.timestamp(), "declared")


def test_a_declared_rate_overrides_the_films_times(tmp_path):
    film = film_of(tmp_path / "run.mkv", noisy(GREY, 5))
    times = [f.timestamp - BEGAN for f in watch(film, fps=250).frames]
    assert times == pytest.approx([0, 0.004, 0.008, 0.012, 0.016], abs=1e-6)


@pytest.mark.parametrize(("speed", "least"), [(1.0, 0.6), (4.0, 0.15)])
def test_a_film_is_never_faster_than_its_pace(tmp_path, speed, least):
    film = film_of(tmp_path / "run.mkv", noisy(GREY, 4, step=0.2))
    watcher = watch(film, speed=speed)
    received = [frame.received for frame in watcher.frames]
    assert received[-1] - received[0] >= least - 0.02
    assert [f.timestamp - BEGAN for f in watcher.frames] == pytest.approx([0, 0.2, 0.4, 0.6], abs=1e-6)


def test_it_begins_with_the_first_frame_at_each_start(tmp_path):
    frames = noisy(GREY, 5)
    source = VideoSource(film_of(tmp_path / "run.mkv", frames), speed=0)
    for _ in range(2):
        watcher = Watcher()
        source.ended = watcher.over.set
        source.start(watcher, 1)
        assert watcher.over.wait(20)
        same(watcher.frames, frames)
    source.close()


def test_a_held_film_gives_what_it_is_asked_for(tmp_path, wait_for):
    frames = noisy(GREY, 6)
    source, watcher = VideoSource(film_of(tmp_path / "run.mkv", frames), speed=0, held=True), Watcher()
    source.ended = watcher.over.set
    source.start(watcher, 1)
    assert source.idle
    for asked, there in ((1, 1), (3, 4)):
        source.play(asked)
        wait_for(lambda there=there: source.delivered == there)
        wait_for(lambda: source.idle)
    assert not watcher.over.is_set()
    source.play(None)
    assert watcher.over.wait(20)
    same(watcher.frames, frames)
    source.close()


def test_a_film_that_is_held_while_it_waits_goes_on_where_it_was(tmp_path, wait_for):
    frames = noisy(GREY, 3, step=3600.0)  # an hour from one to the next
    source, watcher = VideoSource(film_of(tmp_path / "run.mkv", frames), speed=1), Watcher()
    pauses = []
    source.pausing = pauses.append
    source.start(watcher, 1)
    wait_for(lambda: pauses)
    assert 3500 < pauses[0] <= 3600
    assert source.hold() is None
    assert len(watcher.frames) == 1
    source.speed = 0
    source.ended = watcher.over.set
    source.play(None)
    assert watcher.over.wait(20)
    same(watcher.frames, frames)
    source.close()


def test_a_film_waits_for_room(tmp_path):
    frames = noisy(GREY, 20)
    source, watcher = VideoSource(film_of(tmp_path / "run.mkv", frames), speed=0), Watcher()
    room = threading.Semaphore(0)
    source.room = lambda timeout: room.acquire(timeout=timeout)
    source.ended = watcher.over.set
    source.start(watcher, 1)
    for number in range(20):
        assert len(watcher.frames) <= number
        room.release()
    assert watcher.over.wait(20)
    same(watcher.frames, frames)
    source.close()


def test_stopping_does_not_wait_for_the_next_frame(tmp_path):
    source, watcher = VideoSource(film_of(tmp_path / "run.mkv", noisy(GREY, 3, step=3600.0))), Watcher()
    source.start(watcher, 1)
    begun = time.monotonic()
    source.stop()
    source.stop()
    assert time.monotonic() - begun < 10
    assert not watcher.errors


def test_a_listener_that_raises_is_told(tmp_path):
    class Broken(Watcher):
        def frame(self, frame, missing):
            raise ZeroDivisionError("mine")

    source, watcher = VideoSource(film_of(tmp_path / "run.mkv", noisy(GREY, 3)), speed=0), Broken()
    source.start(watcher, 1)
    assert watcher.over.wait(20)
    assert "ZeroDivisionError: mine" in str(watcher.errors[0])
    source.close()


def test_a_film_that_is_being_written_gives_what_there_is(tmp_path, caplog):
    from beamstream.sinks.video import VideoSink

    frames = noisy(GREY, 5)
    with caplog.at_level(logging.WARNING), VideoSink(tmp_path / "run.mkv", GREY) as sink:
        sink.write(frames)
        same(watch(tmp_path / "run.mkv").frames, frames)
    assert "was never finished by its writer; it has 5 frames" in caplog.text


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, NotConnected, r"film\.mkv cannot be opened: No such file"),
        (b"", NotAnImage, "is no film|has no picture"),
        (b"for i in range(10): print(i)\n" * 100, NotAnImage, "is no film that FFmpeg knows"),
    ],
)
def test_what_is_no_film_is_told(tmp_path, content, error, words):
    if content is not None:
        (tmp_path / "film.mkv").write_bytes(content)
    source = VideoSource(tmp_path / "film.mkv", name="cam")
    with pytest.raises(error, match=f"cam: .*({words})"):
        source.connect(1)
    assert source.connected is (content is not None)


def test_a_sound_has_no_pictures(tmp_path):
    import av

    with av.open(str(tmp_path / "song.wav"), "w") as song:
        stream = song.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), "i2"), format="s16", layout="mono")
        sound.sample_rate = 8000
        for packet in (*stream.encode(sound), *stream.encode()):
            song.mux(packet)
    with pytest.raises(NotAnImage, match="has no pictures, only audio"):
        VideoSource(tmp_path / "song.wav").connect(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed": -1}, "use 1 for the film's own pace"),
        ({"grey": "gray"}, "use one of error, keep, luma"),
        ({"limited": "yes"}, "use 'keep', 'expand' or 'error'"),
        ({"fps": 0}, "pictures per second, above 0"),
        ({"start": datetime(2024, 1, 1)}, "without a time zone"),
    ],
)
def test_options_that_cannot_be_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        VideoSource("film.mkv", **options)
