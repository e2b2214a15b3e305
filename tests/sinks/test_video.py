"""Frames as films: every promise of a sink, and what only films promise."""

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from beamstream.errors import DiskFull, SinkError
from beamstream.film import FilmNotes
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.contract import SinkContract, made_frame, made_frames, write_and_fail
from beamstream.sinks.video import VideoSink
from beamstream.sinks.video_pixels import to_8_bit

GREY = Geometry((64, 96), "|u1")
ODD = Geometry((61, 97), "|u1")
READER = """
import av, numpy, os
def read(path):
    films = [path, path + ".mp4", path + ".mp4.parts.mkv"]
    film = av.open(next(each for each in films if os.path.exists(each)))
    try:
        for picture in film.decode(video=0):
            yield pixels(picture)
    except av.error.FFmpegError:
        pass  # the writer was killed in the middle of a picture
    finally:
        film.close()
def pixels(picture):
    form = picture.format.name
    if form == "gbrp16le":
        return picture.to_ndarray(format="rgb48le")
    if form in ("bgr0", "gbrp"):
        return picture.to_ndarray(format="rgb24")
    plane, deep = picture.planes[0], form == "gray16le"  # of others the luma, which is all of a grey film
    lines = numpy.frombuffer(plane, "u1").reshape(-1, plane.line_size)[:picture.height]
    return lines.view("<u2" if deep else "u1")[:, :picture.width]
"""


def noise(geometry: Geometry, number: int) -> list[Frame]:
    """Make frames that nothing makes smaller."""
    random = np.random.default_rng(0)
    top = np.iinfo(geometry.dtype).max
    return [
        replace(frame, payload=random.integers(0, top, geometry.shape, dtype=geometry.dtype, endpoint=True))
        for frame in made_frames(geometry, 0, number)
    ]


class FilmContract(SinkContract):
    reader = READER
    geometry = Geometry((48, 96), "<u2")  # FFV1 is no fast codec

    def test_a_full_disk_is_named_and_leaves_the_frames_readable(self, small_disk):
        (small_disk / "ballast").write_bytes(bytes(15 << 20))
        frames = noise(self.geometry, 60)
        kept = [0]
        with self.make(small_disk / "run") as sink, pytest.raises(DiskFull, match=r"full.*make room"):
            kept.extend(sink.write(frames[start % 60 : start % 60 + 3]) for start in range(0, 20 * 60, 3))
        assert kept[-1] > 10
        self.expect(small_disk / "run", [frames[number % 60] for number in range(kept[-1])])
        found = next(path for path in small_disk.iterdir() if path.name.startswith("run"))
        with av.open(str(found)) as film:  # it does not say that it is longer than it is
            times = [picture.time for picture in film.decode(video=0)]
            assert film.duration is None or film.duration / 1e6 <= times[-1] + 0.2


class TestMatroskaWithFfv1(FilmContract):
    factory = "beamstream.sinks.video:VideoSink"
    kills = 4

    @pytest.mark.parametrize("dtype", ["|u1", "<u2"])
    def test_every_pixel_type_comes_back_bit_exact(self, tmp_path, dtype):
        super().test_every_pixel_type_comes_back_bit_exact(tmp_path, dtype)

    # the other two come back with the notes that are in the film: tests/sources/test_video.py
    @pytest.mark.parametrize("mode", [ColorMode.MONO, ColorMode.BAYER, ColorMode.RGB1])
    def test_every_colour_mode_comes_back_bit_exact(self, tmp_path, mode):
        super().test_every_colour_mode_comes_back_bit_exact(tmp_path, mode)


def lossless_mp4(path: Path, geometry: Geometry) -> VideoSink:
    """Make a sink whose film has every value."""
    return VideoSink(path.with_name(f"{path.name}.mp4"), geometry, lossless=True)


class TestLosslessMp4(FilmContract):
    factory = f"{__name__}:lossless_mp4"
    kills = 2
    geometry = Geometry((48, 96), "|u1")

    @pytest.mark.parametrize("dtype", ["|u1"])
    def test_every_pixel_type_comes_back_bit_exact(self, tmp_path, dtype):
        super().test_every_pixel_type_comes_back_bit_exact(tmp_path, dtype)

    @pytest.mark.parametrize("mode", [ColorMode.MONO, ColorMode.RGB1])
    def test_every_colour_mode_comes_back_bit_exact(self, tmp_path, mode):
        super().test_every_colour_mode_comes_back_bit_exact(tmp_path, mode)

    @pytest.mark.parametrize("shape", [(1, 1), (3, 5), (201, 103)], ids=str)
    def test_every_size_and_place_in_memory_comes_back_bit_exact(self, tmp_path, shape):
        frames = made_frames(Geometry(shape, "|u1"), 0, 3)
        with self.make(tmp_path / "run", Geometry(shape, "|u1")) as sink:
            sink.write(frames)
        self.expect(tmp_path / "run", frames)

    def test_a_frame_of_another_geometry_is_refused_and_the_others_are_kept(self, tmp_path):
        frames = made_frames(self.geometry, 0, 2)
        other = made_frame(Geometry((200, 301), "|u1"), 7)
        with self.make(tmp_path / "run") as sink:
            sink.write(frames)
            with pytest.raises(SinkError, match="200 × 301"):
                sink.write([frames[0], other])
        self.expect(tmp_path / "run", frames)


def timed(geometry: Geometry, times: list[float]) -> list[Frame]:
    return [replace(frame, timestamp=t) for frame, t in zip(made_frames(geometry, 0, len(times)), times, strict=True)]


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        return [picture.time for picture in film.decode(video=0)]


@pytest.mark.parametrize("name", ["run.mkv", "run.mp4"])
def test_uneven_times_are_kept(tmp_path, name):
    times = [1.7e9 + dt for dt in (0.25, 0.5, 0.515625, 7.0, 7.0078125)]
    with VideoSink(tmp_path / name, GREY) as sink:
        sink.write(timed(GREY, times))
    exact = 1e-9 if name == "run.mkv" else 1e-6
    assert times_of(tmp_path / name) == pytest.approx([t - times[0] for t in times], abs=exact, rel=0)
    with av.open(str(tmp_path / name)) as film:
        fraction = "250000" if name == "run.mkv" else "000000"  # the notes have all of it
        assert film.metadata["creation_time"] == f"2023-11-14T22:13:20.{fraction}Z"


@pytest.mark.parametrize("name", ["run.mkv", "run.mp4"])
def test_a_frame_rate_overrides_the_times(tmp_path, name):
    with VideoSink(tmp_path / name, GREY, fps=8) as sink:
        sink.write(timed(GREY, [5.0, 5.0, 1.0, 9.0]))
    assert times_of(tmp_path / name) == [0, 0.125, 0.25, 0.375]
    with av.open(str(tmp_path / name)) as film:
        assert film.streams.video[0].average_rate == 8


def test_frames_whose_clock_stands_still_are_kept_in_order_and_told_of(tmp_path, caplog):
    frames = timed(GREY, [9.0, 9.0, 8.0, 10.0])
    with caplog.at_level(logging.WARNING), VideoSink(tmp_path / "run.mp4", GREY, name="cam") as sink:
        sink.write(frames)
    assert times_of(tmp_path / "run.mp4") == [0, 1e-6, 2e-6, 1.0]
    assert "cam: 2 frames came no later than those before" in caplog.text


def test_a_lossy_film_looks_like_the_frames_and_is_small(tmp_path):
    rows, columns = np.mgrid[: ODD.shape[0], : ODD.shape[1]]
    spots = [200 * np.exp(-((columns - 40 - i) ** 2 + (rows - 30) ** 2) / 60) + 20 for i in range(30)]
    frames = [
        replace(frame, payload=spot.astype("u1")) for frame, spot in zip(made_frames(ODD, 0, 30), spots, strict=True)
    ]
    with VideoSink(tmp_path / "run.mp4", ODD) as sink:
        sink.write(frames)
    with av.open(str(tmp_path / "run.mp4")) as film:
        pictures = [picture.to_ndarray(format="gray") for picture in film.decode(video=0)]
        assert film.streams.video[0].codec_context.profile == "High"  # that every player knows
    assert pictures[0].shape == (62, 98)  # even, and its edge is repeated
    errors = [pictures[i][:61, :97].astype(float) - frames[i].image for i in range(30)]
    assert np.sqrt(np.mean(np.square(errors))) < 2
    assert np.abs(pictures[9][61, :97].astype(float) - frames[9].image[60]).max() < 20
    assert sink.path.stat().st_size < 0.2 * 30 * ODD.nbytes


def test_colours_of_a_lossy_film_are_the_colours(tmp_path):
    geometry = Geometry((64, 96, 3), "|u1", ColorMode.RGB1)
    image = np.zeros(geometry.shape, "u1")
    image[:, :32], image[:, 32:64], image[:, 64:] = (250, 10, 20), (20, 240, 10), (10, 30, 230)
    with VideoSink(tmp_path / "run.mp4", geometry) as sink:
        sink.write([replace(frame, payload=image) for frame in made_frames(geometry, 0, 3)])
    with av.open(str(tmp_path / "run.mp4")) as film:
        shown = next(film.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    for column in (16, 48, 80):
        assert np.abs(shown[32, column] - image[32, column]).max() < 12


def test_a_window_says_what_becomes_black_and_white(tmp_path):
    geometry = Geometry((2, 64), "<u2")
    image = np.tile(np.array([0, 99, 100, 101, 355, 356, 60000, 227], "u2"), (2, 8))
    with VideoSink(tmp_path / "run.mp4", geometry, window=(100, 355), lossless=True) as sink:
        sink.write([replace(made_frame(geometry, 0), payload=image)])
    with av.open(str(tmp_path / "run.mp4")) as film:
        shown = next(film.decode(video=0)).to_ndarray()[0, :8]
        notes = FilmNotes.from_text(film.metadata["comment"])
    assert shown.tolist() == [0, 0, 0, 1, 255, 255, 255, 127]
    assert notes is not None
    assert notes.window == (100, 355)


def test_a_window_never_wraps():
    values = np.array([-np.inf, -1.0, np.nan, 0.0, 0.5, 1.0, 2.0, np.inf])
    assert to_8_bit(values, (0, 1)).tolist() == [0, 0, 0, 0, 128, 255, 255, 255]


@pytest.mark.parametrize(
    ("name", "dtype", "options", "words"),
    [
        ("run.mp4", "<u2", {}, r"takes 8 bit without a sign; say which values become black and white.*\.mkv"),
        ("run.mkv", "<f4", {}, "takes 8 or 16 bit without a sign"),
        ("run.mkv", "<i2", {}, "takes 8 or 16 bit without a sign"),
        ("run.mkv", "<f4", {"window": (3, 3)}, "the first has to be less"),
    ],
)
def test_frames_that_do_not_fit_are_refused_before_there_is_a_file(tmp_path, name, dtype, options, words):
    with pytest.raises(SinkError, match=words), VideoSink(tmp_path / name, Geometry((4, 6), dtype), **options):
        pass
    assert list(tmp_path.iterdir()) == []


def test_spectra_are_no_pictures(tmp_path):
    with pytest.raises(SinkError, match="takes pictures"), VideoSink(tmp_path / "run", Geometry((1, 9, 4), "|u1")):
        pass


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("run.mp4", {"codec": "ffv1"}, "use x264, or ffv1 in an .mkv"),
        ("run.mkv", {"codec": "divx"}, "use x264, or ffv1"),
        ("run.mkv", {"fps": 0}, "frames per second, above 0"),
    ],
)
def test_options_that_cannot_be_are_named(tmp_path, name, options, words):
    with pytest.raises(ValueError, match=words):
        VideoSink(tmp_path / name, GREY, **options)


def test_the_run_is_in_the_film(tmp_path):
    about = {"run": "3f9a", "limits": np.array([1.0, np.nan])}
    with VideoSink(tmp_path / "run.mkv", GREY, name="cam", attributes=about) as sink:
        sink.write(timed(GREY, [12.5]))
    with av.open(str(tmp_path / "run.mkv")) as film:
        said = json.loads(film.metadata["COMMENT"])["beamstream"]
    assert said["about"] == {"detector": "cam", "run": "3f9a", "limits": [1.0, "nan"]}
    assert (said["start_ns"], said["shape"], said["dtype"]) == (12_500_000_000, [64, 96], "|u1")


def test_players_can_jump_in_a_complete_film(tmp_path):
    frames = timed(GREY, [100 + i / 4 for i in range(80)])
    with VideoSink(tmp_path / "run.mkv", GREY) as sink:
        sink.write(frames[:30])
        sink.write(frames[30:])
    with av.open(str(tmp_path / "run.mkv")) as film:
        assert film.duration == 19_750_000  # µs
        film.seek(15_000_000)
        picture = next(film.decode(video=0))
    assert picture.time == 15.0
    assert np.array_equal(picture.to_ndarray(), frames[60].image)


def test_an_mp4_grows_as_matroska_and_leaves_nothing_else_behind(tmp_path):
    with VideoSink(tmp_path / "run.mp4", GREY) as sink:
        sink.write(made_frames(GREY, 0, 3))
        assert [path.name for path in tmp_path.iterdir()] == ["run.mp4.parts.mkv"]
        assert len(times_of(sink.growing)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["run.mp4"]
    assert (sink.mimetype, sink.uri) == ("video/mp4", f"file://localhost{tmp_path}/run.mp4")
    data = sink.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser begins to play at once


def test_an_mp4_of_nothing_is_no_file(tmp_path):
    with VideoSink(tmp_path / "run.mp4", GREY):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_failed_is_an_mp4_as_well(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(VideoSink(tmp_path / "run.mp4", GREY), made_frames(GREY, 0, 3))
    assert len(times_of(tmp_path / "run.mp4")) == 3


def test_a_disk_without_room_for_the_mp4_keeps_the_frames(small_disk):
    geometry = Geometry((512, 512), "|u1")
    (small_disk / "ballast").write_bytes(bytes(12 << 20))
    frames = noise(geometry, 10)  # 2.6 MB, of 4 that are left
    sink = VideoSink(small_disk / "run.mp4", geometry, lossless=True)
    with pytest.raises(DiskFull, match="the disk is full"), sink:
        assert sink.write(frames) == 10
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "run.mp4.parts.mkv"]
    assert len(times_of(sink.growing)) == 10


def test_without_pyav_the_extra_is_named(tmp_path):
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from beamstream.sinks.video import VideoSink\n"
        "from beamstream.frames import Geometry\n"
        "try:\n    VideoSink(sys.argv[1], Geometry((4, 4), '|u1')).__enter__()\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run.mkv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("SinkError image: films want PyAV")
    assert "pip install 'beamstream[video]'" in done.stdout
