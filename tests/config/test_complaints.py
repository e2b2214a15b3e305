"""A wrong file is told line by line what is wrong and what to write instead."""

import pytest

from beamstream.config import KINDS, load

CAMERA = '[devices.cam]\nkind = "pva_detector"\npv = "SIM:CAM:Pva1:Image"\n'
RHEED = '[devices.gun]\nkind = "rheed"\npv = "SIM:CAM:Pva1:Image"\n'


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
        (
            RHEED + "gun_energy = true\n",
            "4: [devices.gun] gun_energy = True: write a number, or the name of the record",
        ),
        (RHEED + "azimuth = 'a b'\n", "4: [devices.gun] azimuth = 'a b': a PV is one word"),
        (RHEED + "azimuth = nan\n", "4: [devices.gun] azimuth = nan: write a number"),
        (RHEED + "gun_enery = 1\n", "4: [devices.gun] gun_enery is not a known key; did you mean gun_energy?"),
        (
            "[devices.m]\npv = 'X'\n",
            f"1: [devices.m] kind is missing; add one of {', '.join(KINDS)}",
        ),
        (
            "[devices.m]\nkind = 'moter'\npv = 'X'\n",
            "2: [devices.m] kind = 'moter' is not known; did you mean motor?",
        ),
        (
            "[devices.m]\nkind = 3\npv = 'X'\n",
            f"2: [devices.m] kind = 3 is not known; known are {', '.join(KINDS)}",
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
