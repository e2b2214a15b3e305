"""What beamstream.toml may say about the live page."""

import pytest

from beamstream.config import load
from beamstream.errors import ConfigurationError


def read(tmp_path, text):
    file = tmp_path / "beamstream.toml"
    file.write_text(text)
    return load(file)


def test_the_page_is_served_on_this_machine_unless_somebody_says_otherwise(tmp_path):
    live = read(tmp_path, "").live
    assert (live.enabled, live.host, live.port, live.key_file) == (True, "127.0.0.1", 8712, None)
    live = read(tmp_path, '[live]\nenabled = false\nhost = "0.0.0.0"\nport = 0\nkey_file = "key"').live
    assert (live.enabled, live.host, live.port, live.key_file) == (False, "0.0.0.0", 0, tmp_path / "key")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("enable = true", "did you mean enabled?"),
        ("enabled = 1", "enabled"),
        ("port = 70000", "port"),
        ('host = ""', "host"),
        ('api_key = "0123456789abcdef"', "is a secret"),
        ('key = "0123456789abcdef"', "known are enabled, host, port, key_file"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(tmp_path, line, words):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, f"[live]\n{line}")
    assert words in str(caught.value)
    assert "beamstream.toml:2" in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_a_device_must_not_be_called_like_the_function_that_shows_it(tmp_path):
    with pytest.raises(ConfigurationError, match="something else of this name"):
        read(tmp_path, '[devices.watch]\nkind = "motor"\npv = "X"')
