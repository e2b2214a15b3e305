"""Films that say how their pictures are turned and mirrored, as phones write them: frames are what players show."""

import logging
import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_films import film_of, noisy, watch

from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sources.video import VideoSource

ONE = 1 << 16
SEEN = {  # what is shown of a picture, by a, b, c and d of the matrix
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "counter-clockwise": ((0, -1, 1, 0), np.rot90),
    "180 degrees": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "left to right": ((-1, 0, 0, 1), np.fliplr),
    "top to bottom": ((1, 0, 0, -1), np.flipud),
    "top left": ((0, 1, 1, 0), lambda image: np.swapaxes(image, 0, 1)),
    "top right": ((0, -1, -1, 0), lambda image: np.swapaxes(np.rot90(image, 2), 0, 1)),
}


def turned(film: Path, matrix: tuple[float, float, float, float]) -> Path:
    """Write into a film's track header what a phone writes there."""
    data = film.read_bytes()
    at = data.index(b"tkhd") + 4 + 40  # version 0
    a, b, c, d = (round(ONE * value) for value in matrix)
    film.write_bytes(data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :])
    return film


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("shape", [(48, 64), (49, 65)])
def test_pictures_are_turned_and_mirrored_as_the_film_says(tmp_path, name, shape):
    matrix, seen = SEEN[name]
    frames = noisy(Geometry(shape, "|u1"), 4)
    film = turned(film_of(tmp_path / "film.mp4", frames, lossless=True), matrix)
    source = VideoSource(film)
    geometry = source.connect(5.0)
    found = watch(film).frames
    assert [frame.geometry for frame in found] == [geometry] * 4
    assert all(np.array_equal(a.image, seen(b.image)) for a, b in zip(found, frames, strict=True))
    assert name in source.orientation or (name, source.orientation) == ("as it is", "")


def test_colours_are_turned_with_their_pixels_and_it_is_reported_once(tmp_path, caplog):
    frames = noisy(Geometry((32, 48, 3), "|u1", ColorMode.RGB1), 2)
    film = film_of(tmp_path / "film.mp4", frames, lossless=True)
    straight = watch(film, grey="keep").frames
    found = watch(turned(film, (0, 1, -1, 0)), grey="keep").frames
    assert all(np.array_equal(a.image, np.rot90(b.image, -1)) for a, b in zip(found, straight, strict=True))
    caplog.set_level(logging.INFO)
    source = VideoSource(film, grey="keep")
    assert [source.connect(5.0).shape for _ in range(2)] == [(48, 32, 3)] * 2
    assert caplog.text.count("are rotated by 90 degrees clockwise") == 1


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (0, -1, 1, 0), (-1, 0, 0, -1)])
def test_opencv_shows_the_same(tmp_path, matrix):
    image = np.zeros((48, 64), "u1")
    image[:8, :16] = 255
    frames = [Frame(image, Geometry.of(image), number, 1e9 + number, 0.0) for number in range(2)]
    film = turned(film_of(tmp_path / "film.mp4", frames, lossless=True), matrix)
    capture = cv2.VideoCapture(str(film))
    shown = capture.read()[1].max(axis=2)
    capture.release()
    found = watch(film).frames[0].image
    assert found.shape == shown.shape
    assert np.abs(found.astype(int) - shown).max() < 8


def test_what_an_encoder_writes_into_the_pictures_themselves_counts_too(tmp_path):
    frames = noisy(Geometry((48, 64), "|u1"), 3)
    film, turned_film = film_of(tmp_path / "film.mp4", frames, lossless=True), tmp_path / "turned.mkv"
    with av.open(str(film)) as source, av.open(str(turned_film), "w") as made:
        stream = source.streams.video[0]
        made.add_stream_from_template(stream)
        options = "h264_metadata=display_orientation=insert:rotate=90"  # counter-clockwise
        orientation = av.BitStreamFilterContext(options, in_stream=stream)
        for packet in source.demux(stream):
            for changed in orientation.filter(packet) if packet.size else ():
                changed.stream = made.streams.video[0]
                made.mux(changed)
    found = watch(turned_film, grey="luma", limited="keep").frames
    assert all(np.array_equal(a.image, np.rot90(b.image)) for a, b in zip(found, frames, strict=True))


def test_pictures_that_are_to_be_turned_by_another_angle_stay_as_they_are_with_a_warning(tmp_path, caplog):
    frames = noisy(Geometry((48, 64), "|u1"), 2)
    film = turned(film_of(tmp_path / "film.mp4", frames, lossless=True), (0.7, 0.7, -0.7, 0.7))
    source = VideoSource(film)
    assert source.connect(5.0).shape == (48, 64)
    assert "as stored" in source.orientation
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert np.array_equal(watch(film).frames[0].image, frames[0].image)


def test_a_path_with_a_control_character_is_no_film():
    with pytest.raises(ValueError, match="control character"):
        VideoSource("D:\rheed\new.mp4")
