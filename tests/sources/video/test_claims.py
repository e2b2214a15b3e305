"""Films whose headers and notes claim what cannot be: they are refused by name and take no memory."""

import json
import resource

import numpy as np
import pytest
from video_films import GREY, film_of, foreign, noisy, watch

from beamstream.errors import NotAnImage, SourceError
from beamstream.film import FilmNotes
from beamstream.sources.video import VideoSource

PICTURE = np.zeros((300, 300), "u1")
NOTES = {"start_ns": 10**18, "shape": [48, 64], "dtype": "|u1", "color_mode": "mono", "about": {}}


@pytest.mark.parametrize("claimed", [16_000, 60_000])
@pytest.mark.parametrize("codec", ["ffv1", "rawvideo"])
def test_a_film_that_claims_huge_pictures_is_an_error_and_takes_no_memory(tmp_path, codec, claimed):
    film = foreign(tmp_path / "film.mkv", [PICTURE] * 3, codec=codec, pix_fmt="gray", full=True)
    data = film.read_bytes()
    for mark in (b"\xb0\x82", b"\xba\x82"):  # PixelWidth, PixelHeight
        honest, lie = (mark + size.to_bytes(2, "big") for size in (300, claimed))
        assert data.count(honest) == 1
        data = data.replace(honest, lie)
    film.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = VideoSource(film, grey="luma")
    with pytest.raises(SourceError, match="frame 0 is damaged"):
        source.connect(5.0)
    source.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


@pytest.mark.parametrize(
    "notes",
    [
        {"shape": [10**9, 10**9, 10**9]},
        {"shape": [-48, 64]},
        {"shape": [0, 0]},
        {"shape": []},
        {"shape": 5},
        {"color_mode": "purple"},
        {"color_mode": "rgb1"},
        {"start_ns": 10**30},
        {"start_ns": float("inf")},
        {"window": [1]},
        {"about": 7},
    ],
    ids=str,
)
def test_notes_that_cannot_be_are_no_notes(notes):
    assert FilmNotes.from_text(json.dumps({"beamstream": NOTES})) is not None
    assert FilmNotes.from_text(json.dumps({"beamstream": NOTES | notes})) is None


@pytest.mark.parametrize("text", ["[" * 100_000, "null", '{"beamstream": "x"}', '{"beamstream": [1]}', "{" * 5, ""])
def test_a_comment_that_is_none_of_ours_is_no_notes(text):
    assert FilmNotes.from_text(text) is None


def test_a_thousand_damaged_films_end_with_their_frames_or_an_error_of_ours(tmp_path):
    whole = film_of(tmp_path / "film.mkv", noisy(GREY, 2)).read_bytes()
    film, errors = tmp_path / "damaged.mkv", 0
    for case in range(1000):
        random = np.random.default_rng(case)
        data = bytearray(whole[: random.integers(1, len(whole))] if case % 4 == 0 else whole)
        for _ in range(random.integers(1, 5)):
            data[random.integers(min(len(data), 700))] = random.integers(256)
        film.write_bytes(data)
        try:
            VideoSource(film, grey="luma", limited="keep").connect(5.0)
        except (SourceError, NotAnImage):
            errors += 1
    assert 200 < errors < 1000


def test_a_film_of_ours_with_a_lying_comment_is_somebodys_film(tmp_path):
    frames = noisy(GREY, 2)
    film = film_of(tmp_path / "film.mkv", frames)
    data = film.read_bytes()
    assert data.count(b'"shape": [48, 64]') == 1
    film.write_bytes(data.replace(b'"shape": [48, 64]', b'"shape": [-8, 64]'))
    assert [frame.geometry for frame in watch(film).frames] == [GREY] * 2
