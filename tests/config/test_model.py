"""What a file may say, and what holds where it says nothing."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from beamstream.config import (
    Archive,
    Config,
    Epics,
    MotorConfig,
    NumberConfig,
    PvaDetectorConfig,
    Recording,
    RheedConfig,
    SpectrometerConfig,
    load,
)
from beamstream.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
MOTOR = '[devices.m1]\nkind = "motor"\npv = "SIM:MTR1"\n'
CAMERA = '[devices.cam]\nkind = "pva_detector"\npv = "SIM:CAM:Pva1:Image"\n'


def test_an_empty_file_gives_the_defaults_with_paths_beside_the_file(write, tmp_path):
    config = load(write(""))
    assert config.archive.directory == tmp_path / "data"
    assert config.recording.directory == tmp_path / "data" / "recordings"
    assert (config.archive.host, config.archive.port, config.archive.start) == ("127.0.0.1", 8710, "process")
    assert not config.archive.anonymous_read
    assert (config.recording.on_loss, config.recording.queue_size) == ("mark", 50)
    assert config.recording.ring_memory is None
    assert config.epics.control_layer == "caproto"
    assert config.devices == {}


def test_recordings_follow_the_archive_unless_they_have_a_directory_of_their_own(write, tmp_path):
    assert load(write('[archive]\ndirectory = "a"\n')).recording.directory == tmp_path / "a" / "recordings"
    both = load(write('[archive]\ndirectory = "a"\n[recording]\ndirectory = "/fast/disk"\n'))
    assert both.recording.directory == Path("/fast/disk")


def test_paths_start_at_the_file_and_tilde_is_the_home(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "sub").mkdir()
    path = write('[archive]\ndirectory = "../x"\n[recording]\ndirectory = "~/r"\n', "sub/beamstream.toml")
    config = load(os.path.relpath(path))
    assert config.archive.directory == tmp_path / "x"
    assert config.recording.directory == tmp_path / "home" / "r"
    assert config.file == path


def test_defaults_without_any_file_start_at_the_working_directory(tmp_path):
    config = Config()
    assert config.archive.directory == tmp_path / "data"
    assert config.recording.directory == tmp_path / "data" / "recordings"
    assert config.file is None


def test_rings_are_as_large_as_asked_or_as_the_stream_needs(write):
    assert load(write("[recording]\nring_memory_mb = 300\n")).recording.ring_memory == 300 * 2**20
    assert load(write('[recording]\nring_memory_mb = "auto"\n')).recording.ring_memory is None
    for wrong in ("0", "true", "1.5", '"much"'):
        with pytest.raises(ConfigurationError, match=r'ring_memory_mb.*whole number of MiB, 1 or more, or "auto"'):
            load(write(f"[recording]\nring_memory_mb = {wrong}\n"))


def test_devices_are_told_apart_by_their_kind(write):
    devices = load(write(CAMERA + 'control = "SIM:CAM:cam1:"\ntimeout = 3\non_loss = "fail"\n' + MOTOR)).devices
    camera, motor = devices["cam"], devices["m1"]
    assert isinstance(camera, PvaDetectorConfig)
    assert (camera.control, camera.timeout, camera.on_loss) == ("SIM:CAM:cam1:", 3.0, "fail")
    assert isinstance(motor, MotorConfig)
    assert motor.pv == "SIM:MTR1"


@pytest.mark.parametrize(("said", "size"), [("6.5", (6.5, 6.5)), ("[5, 7.5]", (5.0, 7.5))])
def test_a_pixel_is_square_or_has_two_sizes(write, said, size):
    cam = load(write(CAMERA + f'pixel_size = {said}\npixel_units = "mm"\n')).devices["cam"]
    assert isinstance(cam, PvaDetectorConfig)
    assert (cam.pixel_size, cam.pixel_units) == (size, "mm")


@pytest.mark.parametrize("said", ["0", "-1.0", '"6.5 um"', "[1.0]", "[1, 2, 3]", "true", "nan"])
def test_a_size_that_is_none_is_named(write, said):
    with pytest.raises(ConfigurationError, match=r"pixel_size.*a number above 0, or two, \[rows, columns\]"):
        load(write(CAMERA + f"pixel_size = {said}\n"))


def test_nothing_can_be_changed_afterwards(write):
    config = load(write(MOTOR))
    with pytest.raises(ValidationError, match="frozen"):
        config.archive.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.devices["m1"].pv = "other"


def test_the_configuration_of_the_profile_names_the_simulated_beamline():
    config = load(ROOT / "profile" / "beamstream.toml")
    camera, motor = config.devices["camera"], config.devices["motor"]
    assert isinstance(camera, PvaDetectorConfig)
    assert (camera.pv, camera.control) == ("SIM:CAM:Pva1:Image", "SIM:CAM:cam1:")
    assert motor.pv == "SIM:MTR1"
    assert config.archive.directory == ROOT / "data"


def test_what_the_profile_shows_as_default_is_the_default(write):
    """Uncomment what the file shows; only what it shows as an example may then differ."""
    text = (ROOT / "profile" / "beamstream.toml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    uncommented = "\n".join(line for line in lines if line[:1] == "[" or line.partition(" = ")[0].isidentifier())
    bare, shown = load(write(text)), load(write(uncommented))
    assert (shown.archive.tls_cert.name, shown.archive.tls_key.name) == ("beam.pem", "beam.key")
    assert shown.archive.model_copy(update={"tls_cert": None, "tls_key": None}) == bare.archive
    assert shown.recording == bare.recording
    assert shown.epics.control_layer == bare.epics.control_layer
    example = {"on_loss": "fail", "pixel_size": (6.5, 6.5)}
    assert shown.devices["camera"] == bare.devices["camera"].model_copy(update=example)
    for section in (Archive, Recording, Epics, PvaDetectorConfig):
        assert all(f"{key} = " in uncommented for key in section.model_fields), section


def test_a_rheed_camera_knows_of_gun_and_sample_what_the_file_says_as_number_or_record(write):
    section = '[devices.gun]\nkind = "rheed"\npv = "SIM:CAM:Pva1:Image"\n'
    bare = load(write(section)).devices["gun"]
    assert isinstance(bare, RheedConfig)
    assert bare.settings == {"rotations_per_min": 0.0}
    said = 'gun_energy = 15\nrotations_per_min = "MBE:Speed"\ndirection = "[1 1 0]"\ncontrol = "SIM:CAM:cam1:"\n'
    gun = load(write(section + said)).devices["gun"]
    assert isinstance(gun, RheedConfig)
    assert gun.settings == {"gun_energy": 15.0, "rotations_per_min": "MBE:Speed", "direction": "[1 1 0]"}
    assert gun.control == "SIM:CAM:cam1:"


def test_a_number_is_set_in_one_record_and_may_be_read_in_another(write):
    section = '[devices.heater]\nkind = "number"\npv = "MBE:Setpoint"\n'
    bare = load(write(section)).devices["heater"]
    full = load(write(section + 'readback = "MBE:Thermocouple"\nunits = "degC"\n')).devices["heater"]
    assert isinstance(bare, NumberConfig)
    assert isinstance(full, NumberConfig)
    assert (bare.pv, bare.readback, bare.units) == ("MBE:Setpoint", None, None)
    assert (full.pv, full.readback, full.units) == ("MBE:Setpoint", "MBE:Thermocouple", "degC")


def test_a_spectrometer_has_the_band_of_ovro_lwa_unless_it_says_another(write):
    section = '[devices.sun]\nkind = "zmq_spectrometer"\naddress = "tcp://127.0.0.1:9798"\n'
    sun = load(write(section)).devices["sun"]
    assert isinstance(sun, SpectrometerConfig)
    assert (sun.polarization, sun.channel_averaging, sun.timeout, sun.on_loss) == ("all", 1, 10.0, None)
    assert sun.band.axis(3072)[0] == 196 * 600 / 8192
    other = load(write(section + "polarization = 2\nfirst_mhz = 30.0\nstep_mhz = -0.5\n")).devices["sun"]
    assert isinstance(other, SpectrometerConfig)
    assert (other.polarization, other.band.axis(3).tolist()) == (2, [30.0, 29.5, 29.0])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('address = "127.0.0.1:9798"', "an address reads tcp://HOST:PORT"),
        ('address = "tcp://127.0.0.1"', "an address reads tcp://HOST:PORT"),
        ('address = "tcp://127.0.0.1:0"', "the port '0' is none"),
        ('address = "tcp://a:9798"\npolarization = "Q"', "polarization"),
        ('address = "tcp://a:9798"\nchannel_averaging = 0', "channel_averaging"),
        ('address = "tcp://a:9798"\npolarisation = "I"', "polarization"),
    ],
)
def test_what_a_spectrometer_cannot_be_is_named(write, line, words):
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        load(write(f'[devices.sun]\nkind = "zmq_spectrometer"\n{line}\n'))
