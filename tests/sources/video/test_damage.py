"""Damaged films: everything before the damage is delivered, and the error says where it is."""

from itertools import islice

import av
import numpy as np
import pytest
from video_films import BEGAN, Watcher, film_of, foreign, noisy, watch

from beamstream.frames import Geometry
from beamstream.sources.ffv1 import is_whole
from beamstream.sources.video import VideoSource

GREY = Geometry((128, 160), "|u1")
NUMBER = 40


def whole_until_the_damage(watcher, frames):
    """Check what came; return its number, and what was said."""
    assert len(watcher.errors) == 1
    number = len(watcher.frames)
    for frame, written in zip(watcher.frames, frames[:number], strict=True):
        assert np.array_equal(frame.image, written.image)
    error = str(watcher.errors[0])
    assert f"frame {number} is damaged" in error
    assert f"{frames[number - 1].timestamp - BEGAN:.4g} s after the first" in error
    return number, error


def cut(path, share):
    """Keep only the beginning of a file."""
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.96])
@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_a_film_of_ours_that_was_cut_off(tmp_path, name, share):
    frames = noisy(GREY, NUMBER)
    film = film_of(tmp_path / name, frames, **({"lossless": True} if name == "film.mp4" else {}))
    cut(film, share)
    number, error = whole_until_the_damage(watch(film, damaged=True), frames)
    assert "cut off there" in error
    assert abs(number - share * NUMBER) <= 2


def test_a_film_whose_very_last_picture_is_missing(tmp_path):
    frames = noisy(GREY, NUMBER)
    film = film_of(tmp_path / "film.mkv", frames)
    cut(film, 0.985)
    assert whole_until_the_damage(watch(film, damaged=True), frames)[0] == NUMBER - 1


@pytest.mark.parametrize("name", ["film.avi", "film.mkv", "film.mp4"])
def test_somebodys_film_that_was_cut_off(tmp_path, name):
    frames = noisy(GREY, NUMBER)
    codec, options = ("libx264", {"qp": "0", "tune": "zerolatency"}) if name == "film.mp4" else ("ffv1", {})
    images = [frame.image for frame in frames]
    film = foreign(tmp_path / name, images, codec=codec, pix_fmt="gray", full=True, options=options)
    cut(film, 0.5)
    number, error = whole_until_the_damage(watch(film, grey="luma", damaged=True), frames)
    assert abs(number - NUMBER / 2) <= 2
    assert "cut off" in error or "cannot be read" in error


@pytest.mark.parametrize("place", [0.21, 0.5, 0.83])
def test_one_wrong_bit_in_an_ffv1_film_is_found(tmp_path, place):
    frames = noisy(GREY, NUMBER)
    film = film_of(tmp_path / "film.mkv", frames)
    data = bytearray(film.read_bytes())
    data[int(len(data) * place)] ^= 16
    film.write_bytes(data)
    number, error = whole_until_the_damage(watch(film, damaged=True), frames)
    assert abs(number - place * NUMBER) <= 1
    assert "its checksum is wrong" in error


def test_a_damaged_h264_film_does_not_go_on_with_what_the_decoder_made_up(tmp_path):
    frames = noisy(GREY, NUMBER)
    film = film_of(tmp_path / "film.mkv", frames, codec="x264")
    clean = watch(film).frames
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    film.write_bytes(data)
    number, error = whole_until_the_damage(watch(film, damaged=True), clean)
    assert abs(number - NUMBER / 2) <= 2
    assert "cannot be decoded" in error


def test_damage_behind_the_frames_that_were_asked_for_does_no_harm(tmp_path, wait_for):
    frames = noisy(GREY, 10)
    film = film_of(tmp_path / "film.mkv", frames)
    data = bytearray(film.read_bytes())
    data[int(len(data) * 0.55)] ^= 16  # of frame 5
    film.write_bytes(data)
    source, watcher = VideoSource(film, speed=0, held=True), Watcher()
    source.start(watcher, 1)
    source.play(5)
    wait_for(lambda: source.idle)
    assert [np.array_equal(a.image, b.image) for a, b in zip(watcher.frames, frames, strict=False)] == [True] * 5
    assert not watcher.errors
    source.play(1)
    assert watcher.over.wait(20)
    assert "frame 5 is damaged" in str(watcher.errors[0])
    source.close()


def test_a_film_of_ours_that_others_have_cut_and_packed_anew_is_whole(tmp_path):
    frames = noisy(GREY, 20)
    film, cut_down = film_of(tmp_path / "film.mkv", frames), tmp_path / "short.mkv"
    with av.open(str(film)) as source, av.open(str(cut_down), "w") as made:
        copy = made.add_stream_from_template(source.streams.video[0])
        made.metadata.update(source.metadata)
        for packet in islice(source.demux(source.streams.video[0]), 7):
            packet.stream = copy
            made.mux(packet)
    watcher = watch(cut_down)
    assert [np.array_equal(a.image, b.image) for a, b in zip(watcher.frames, frames[:7], strict=True)] == [True] * 7


def test_a_picture_without_sums_is_not_called_damaged():
    assert is_whole(b"") is None
    assert is_whole(bytes(7)) is None
    assert is_whole(b"\xff" * 40) is None


def test_ffv1_without_sums_is_read(tmp_path):
    frames = noisy(GREY, 5)
    images = [frame.image for frame in frames]
    film = foreign(tmp_path / "film.mkv", images, codec="ffv1", pix_fmt="gray", options={"level": "3", "slicecrc": "0"})
    watcher = watch(film)
    assert not watcher.errors
    assert [np.array_equal(a.image, b) for a, b in zip(watcher.frames, images, strict=True)] == [True] * 5
