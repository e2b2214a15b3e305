"""What a person calls a stream, and what it is."""

import os

import pytest

from beamstream.errors import ConfigurationError
from beamstream.watching.streams import StreamSpec, rings, spec_of_uri


def test_a_pv_becomes_a_camera_whose_frames_say_the_same_uri():
    spec = spec_of_uri("pva://13SIM1:Pva1:Image")
    assert spec.name == "13SIM1-Pva1-Image"
    assert spec.about == {"kind": "pva_detector", "pv": "13SIM1:Pva1:Image"}
    assert spec.uri == "pva://13SIM1:Pva1:Image"
    assert spec.tappable
    assert not spec.spectra
    assert spec_of_uri("13SIM1:Pva1:Image") == spec


def test_a_publisher_has_the_name_of_the_ring_that_a_receiver_of_it_writes():
    spec = spec_of_uri("zmq://127.0.0.1:9798")
    assert (spec.name, spec.uri, spec.spectra) == ("spectra-9798", "zmq://127.0.0.1:9798", True)


def test_a_film_is_found_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = spec_of_uri("video:my film.mkv")
    assert (spec.name, spec.about["path"]) == ("my-film", str(tmp_path / "my film.mkv"))
    assert spec.uri == (tmp_path / "my film.mkv").as_uri()


def test_a_webcam_is_fetched_only_where_no_session_has_it():
    assert spec_of_uri("webcam:0").tappable
    assert spec_of_uri("webcam:0").about["camera"] == 0
    assert not StreamSpec("webcam", {"kind": "webcam", "camera": 0}).tappable


def test_anything_else_is_the_name_of_a_ring():
    assert spec_of_uri("camera_corrected") == StreamSpec("camera_corrected")
    assert spec_of_uri("ring:camera") == StreamSpec("camera")
    assert not StreamSpec("camera").tappable


@pytest.mark.parametrize("text", ["pva://", "ftp://x", "zmq://nowhere", "zmq://host:99999", "a b", "pva://a b", ""])
def test_what_is_no_source_is_refused_in_words(text):
    with pytest.raises(ConfigurationError, match=r"use|write"):
        spec_of_uri(text)


def test_rings_are_listed_with_the_processes_that_write_them(session):
    assert "camera" not in rings()
    session("camera").put()
    session("camera_corrected").put()
    assert rings()["camera"] == rings()["camera_corrected"] == [os.getpid()]
