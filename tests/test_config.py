"""Configuration: what a file may say, where it is found, and how it is told that it is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from beamstream.config import (
    Archive,
    Config,
    Epics,
    MotorConfig,
    PvaDetectorConfig,
    Recording,
    apply_environment,
    find,
    load,
)
from beamstream.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]
MOTOR = '[devices.m1]\nkind = "motor"\npv = "SIM:MTR1"\n'
CAMERA = '[devices.cam]\nkind = "pva_detector"\npv = "SIM:CAM:Pva1:Image"\n'


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch, tmp_path):
    monkeypatch.delenv("BEAMSTREAM_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path):
    def _write(text, name="beamstream.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture
def complaint(write):
    """Return what the user reads, without the path that every line starts with."""

    def _complaint(text):
        path = write(text)
        with pytest.raises(ConfigurationError) as caught:
            load(path)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        lines = str(caught.value).splitlines()
        assert all(line.startswith(f"{path}:") for line in lines)
        return "\n".join(line.removeprefix(f"{path}:") for line in lines)

    return _complaint


def test_an_empty_file_gives_the_defaults_with_paths_beside_the_file(write, tmp_path):
    config = load(write(""))
    assert config.archive.directory == tmp_path / "data"
    assert config.recording.directory == tmp_path / "data" / "recordings"
    assert (config.archive.host, config.archive.port, config.archive.start) == ("127.0.0.1", 8710, "process")
    assert not config.archive.anonymous_read
    assert (config.recording.on_loss, config.recording.queue_size) == ("mark", 50)
    assert config.recording.ring_memory == 512 * 2**20
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


def test_devices_are_told_apart_by_their_kind(write):
    devices = load(write(CAMERA + 'control = "SIM:CAM:cam1:"\ntimeout = 3\non_loss = "fail"\n' + MOTOR)).devices
    camera, motor = devices["cam"], devices["m1"]
    assert isinstance(camera, PvaDetectorConfig)
    assert (camera.control, camera.timeout, camera.on_loss) == ("SIM:CAM:cam1:", 3.0, "fail")
    assert isinstance(motor, MotorConfig)
    assert motor.pv == "SIM:MTR1"


def test_nothing_can_be_changed_afterwards(write):
    config = load(write(MOTOR))
    with pytest.raises(ValidationError, match="frozen"):
        config.archive.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.devices["m1"].pv = "other"


def test_a_named_file_comes_before_the_variable_the_working_directory_and_the_checkout(write, tmp_path, monkeypatch):
    assert find() == ROOT / "profile" / "beamstream.toml"
    here = write("[archive]\nport = 1\n")
    assert load().archive.port == 1
    assert load().file == here
    monkeypatch.setenv("BEAMSTREAM_CONFIG", str(write("[archive]\nport = 2\n", "two.toml")))
    assert load().archive.port == 2
    assert load(write("[archive]\nport = 3\n", "three.toml")).archive.port == 3


def test_defaults_without_any_file_start_at_the_working_directory(tmp_path):
    config = Config()
    assert config.archive.directory == tmp_path / "data"
    assert config.recording.directory == tmp_path / "data" / "recordings"
    assert config.file is None


def test_a_missing_file_is_named_with_the_variable_that_names_it(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"absent\.toml: asked for .*no such file.*; correct the path"):
        load(tmp_path / "absent.toml")
    monkeypatch.setenv("BEAMSTREAM_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(ConfigurationError, match=r"gone\.toml: .*BEAMSTREAM_CONFIG names it"):
        load()


def test_a_directory_and_a_binary_file_are_refused_in_words(tmp_path):
    with pytest.raises(ConfigurationError, match="is a directory"):
        load(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"a = 1\n\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 6"):
        load(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[archive]\nprot = 1\n", "2: [archive] prot is not a known key; did you mean port?"),
        ("\n[archiv]\nport = 1\n", "2: archiv is not a known section; did you mean archive?"),
        (
            "[archive]\non_loss = 'fail'\n",
            "2: [archive] on_loss is not known here; it belongs into [recording]",
        ),
        ("port = 1\n", "1: port is not known here; it belongs into [archive]"),
        ("archive.prot = 1\n", "1: [archive] prot is not a known key; did you mean port?"),
        ("archive = {port = 1, prot = 2}\n", "1: [archive] prot is not a known key; did you mean port?"),
        (CAMERA + "timout = 3\n", "4: [devices.cam] timout is not a known key; did you mean timeout?"),
        ('["devices" . "m1"]\nkind = "motor"\nvp = "X"\npv = "X"\n', "3: [devices.m1] vp is not a known key"),
        ("[epics]\nxyzzy = 3\n", "2: [epics] xyzzy is not a known key; known are control_layer, "),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(complaint, text, words):
    assert complaint(text).startswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[archive]\nport = "8710"\n', "2: [archive] port = '8710': input should be a valid integer"),
        ("[archive]\nport = true\n", "2: [archive] port = True: input should be a valid integer"),
        (
            "[archive]\nport = 65536\n",
            "2: [archive] port = 65536: input should be less than or equal to 65535",
        ),
        ("[archive]\ndirectory = 3\n", "2: [archive] directory = 3: a path is text in quotes"),
        ('[archive]\ndirectory = "~no-such-user/x"\n', "2: [archive] directory = '~no-such-user/x': "),
        (
            "[recording]\non_loss = 'fial'\n",
            "2: [recording] on_loss = 'fial' is not known; did you mean fail?",
        ),
        ("[recording]\nqueue_size = 1\n", "2: [recording] queue_size = 1: input should be greater"),
        ("[epics]\nca_addr_list = [3]\n", "2: [epics] ca_addr_list = 3: input should be a valid string"),
        (CAMERA + "timeout = inf\n", "4: [devices.cam] timeout = inf: input should be a finite number"),
        (CAMERA + "control = 'X:cam1'\n", "4: [devices.cam] control = 'X:cam1': a PV prefix ends in a colon"),
        ("[devices.m]\nkind = 'motor'\npv = ''\n", "3: [devices.m] pv = '': a PV is one word"),
        ("[devices.m]\nkind = 'motor'\n", "1: [devices.m] pv is missing; add it"),
        ("[devices.m]\npv = 'X'\n", "1: [devices.m] kind is missing; add one of pva_detector, motor"),
        (
            "[devices.m]\nkind = 'moter'\npv = 'X'\n",
            "2: [devices.m] kind = 'moter' is not known; did you mean motor?",
        ),
        (
            "[devices.m]\nkind = 3\npv = 'X'\n",
            "2: [devices.m] kind = 3 is not known; known are pva_detector, motor",
        ),
        ("[devices]\ncam = 3\n", "2: [devices] cam is a value, a section was expected; write [devices.cam]"),
        ("archive = 3\n", "1: archive is a value, a section was expected; write [archive]"),
        ("[[devices]]\nkind = 'motor'\n", "1: devices is a value, a section was expected"),
    ],
)
def test_a_wrong_value_is_shown_with_its_line_and_what_is_expected(complaint, text, words):
    assert complaint(text).startswith(words)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(complaint):
    lines = complaint("[recording]\non_los = 1\n\n[archive]\nprot = 2\nport = -1\n").splitlines()
    assert [line.split(":")[0] for line in lines] == ["2", "5", "6"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[archive]\nport = \n", "2: not TOML: Invalid value in column 8"),
        ("a = 1\na = 2\n", "2: not TOML: Cannot overwrite a value"),
        ('a = "x', "1: not TOML: Unterminated string at the end"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(complaint, text, words):
    assert complaint(text).startswith(words)


@pytest.mark.parametrize("key", ["api_key", "apikey", "API_KEY", "password", "token", "client_secret"])
@pytest.mark.parametrize("section", ["", "[archive]\n", "[devices.cam]\n"])
def test_a_secret_is_refused_with_the_place_where_it_belongs_and_is_not_repeated(complaint, section, key):
    text = complaint(f'{section}{key} = "xyzzy-42"\n')
    assert f"{key} is a secret" in text
    assert "BEAMSTREAM_API_KEY" in text
    assert "mode 600" in text
    assert "xyzzy" not in text


@pytest.mark.parametrize("name", ["2cam", "my-cam", '"a b"', "lambda", "_cam", "RE", "cat", "print", "In"])
def test_a_device_may_not_take_a_name_that_the_session_needs(complaint, name):
    text = complaint(f'[devices.{name}]\nkind = "motor"\npv = "X"\n')
    assert text.startswith(f"1: [devices] {name.strip(chr(34))!r} as a device's name: ")


def test_readers_beyond_loopback_always_need_a_key(complaint, write):
    assert complaint('[archive]\nhost = "0.0.0.0"\nanonymous_read = true\n').startswith("1: [archive] anonymous_read")
    for host in ("127.0.0.1", "::1", "localhost"):
        assert load(write(f'[archive]\nhost = "{host}"\nanonymous_read = true\n')).archive.anonymous_read
    assert load(write('[archive]\nhost = "0.0.0.0"\n')).archive.host == "0.0.0.0"


def test_the_environment_gets_what_the_file_says_and_keeps_the_rest(write):
    environ = {
        "EPICS_CA_ADDR_LIST": "1.2.3.4",
        "OPHYD_CONTROL_LAYER": "pyepics",
        "EPICS_PVA_ADDR_LIST": "5.6.7.8",
    }
    silent = dict(environ)
    assert apply_environment(load(write("")), silent) == {}
    assert silent == environ
    text = '[epics]\nca_addr_list = "10.0.0.1 10.0.0.2"\npva_addr_list = ["10.0.0.3"]\nauto_addr_list = false\n'
    assert apply_environment(load(write(text)), environ) == {
        "EPICS_CA_ADDR_LIST": "10.0.0.1 10.0.0.2",
        "EPICS_PVA_ADDR_LIST": "10.0.0.3",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    }
    assert environ["OPHYD_CONTROL_LAYER"] == "pyepics"
    assert environ["EPICS_CA_ADDR_LIST"] == "10.0.0.1 10.0.0.2"


LATE = """
import os, sys
from beamstream.config import apply_environment, load
os.environ.pop("OPHYD_CONTROL_LAYER", None)
config = load(sys.argv[1])
if sys.argv[2] == "late":
    import ophyd
print(apply_environment(config)["OPHYD_CONTROL_LAYER"])
import ophyd
print(ophyd.cl.name)
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_ophyd_takes_the_control_layer_that_is_applied_before_its_import_and_a_late_one_fails(write, when):
    path = write('[epics]\ncontrol_layer = "caproto"\n')
    done = subprocess.run([sys.executable, "-c", LATE, path, when], capture_output=True, text=True, timeout=60)
    if when == "early":
        assert done.stdout.split() == ["caproto", "caproto"]
        return
    assert done.returncode == 1
    assert "ConfigurationError" in done.stderr
    assert "ophyd is imported already" in done.stderr


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
    assert shown.archive == bare.archive
    assert shown.recording == bare.recording
    assert shown.epics.control_layer == bare.epics.control_layer
    assert shown.devices["camera"] == bare.devices["camera"].model_copy(update={"on_loss": "fail"})
    for section in (Archive, Recording, Epics, PvaDetectorConfig):
        assert all(f"{key} = " in uncommented for key in section.model_fields), section
