"""Which file counts, and what is said when it cannot be read."""

from pathlib import Path

import pytest

from beamstream.config import find, load
from beamstream.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


def test_a_named_file_comes_before_the_variable_the_working_directory_and_the_checkout(write, tmp_path, monkeypatch):
    assert find() == ROOT / "profile" / "beamstream.toml"
    here = write("[archive]\nport = 1\n")
    assert load().archive.port == 1
    assert load().file == here
    monkeypatch.setenv("BEAMSTREAM_CONFIG", str(write("[archive]\nport = 2\n", "two.toml")))
    assert load().archive.port == 2
    assert load(write("[archive]\nport = 3\n", "three.toml")).archive.port == 3


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
        ("[archive]\nport = \n", "2: not TOML: Invalid value in column 8"),
        ("a = 1\na = 2\n", "2: not TOML: Cannot overwrite a value"),
        ('a = "x', "1: not TOML: Unterminated string at the end"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(complaint, text, words):
    assert complaint(text).startswith(words)
