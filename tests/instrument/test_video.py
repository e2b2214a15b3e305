"""Films and webcams in the configuration become devices."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from beamstream.config import Config, VideoConfig, load
from beamstream.errors import ConfigurationError
from beamstream.instrument.banner import show
from beamstream.instrument.equipment import make_devices
from devices.video import VideoDetector, WebcamDetector

FILM = '[devices.film]\nkind = "video"\npath = "growth.mkv"\n'
EYE = '[devices.eye]\nkind = "webcam"\n'


def config_of(tmp_path: Path, text: str) -> Config:
    (tmp_path / "beamstream.toml").write_text(text)
    return load(tmp_path / "beamstream.toml")


def test_a_film_and_a_webcam_become_devices(tmp_path):
    text = f'{FILM}speed = 0.0\ngrey = "luma"\nlimited = "keep"\nstart = 2024-02-29T12:00:00Z\ntimeout = 3.0\n'
    config = config_of(tmp_path, f'{text}{EYE}camera = 77\ngrey = "red"\nsize = [480, 640]\nfps = 30.0\n')
    devices = make_devices(config)
    film, eye = devices["film"], devices["eye"]
    try:
        assert isinstance(film, VideoDetector)
        assert isinstance(eye, WebcamDetector)
        assert film.prefix == str(tmp_path / "growth.mkv")
        assert (film.speed.get(), film.grey.get(), film.limited.get(), film.timeout.get()) == (0, "luma", "keep", 3)
        assert (eye.prefix, eye.grey.get()) == ("webcam:77", "red")
        assert not film.connected
        assert not eye.connected
    finally:
        for device in devices.values():
            device.destroy()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FILM + "sped = 3\n", "4: .*sped is not a known key; did you mean speed"),
        (FILM + "speed = -1.0\n", "4: .*speed = -1.0: input should be greater than or equal to 0"),
        (FILM + 'grey = "gray"\n', "4: .*grey = 'gray' is not known"),
        (FILM + "start = 2024-02-29T12:00:00\n", "4: .*start = .*timezone"),
        (EYE + "camera = -1\n", "3: .*camera"),
        (EYE + "size = [0, 640]\n", "3: .*size"),
    ],
)
def test_what_they_cannot_be_is_named(tmp_path, text, words):
    with pytest.raises(ConfigurationError, match=words):
        config_of(tmp_path, text)


def test_the_session_says_where_they_are(tmp_path):
    printed = StringIO()
    config, console = config_of(tmp_path, FILM + EYE), Console(file=printed, width=200)
    show(config, {"film": True}, url=None, expected_url=None, seconds=0.1, console=console)
    said = printed.getvalue()
    assert f"film  connected      {tmp_path / 'growth.mkv'}" in said
    assert "eye   NOT CONNECTED  webcam 0" in said


def test_the_times_of_a_film_are_its_own_unless_told(tmp_path):
    film = config_of(tmp_path, FILM).devices["film"]
    assert isinstance(film, VideoConfig)
    assert (film.start, film.fps, film.speed, film.grey, film.limited) == (None, None, 1.0, "error", "error")
