"""Which file counts, and what is said when it cannot be read."""

from pathlib import Path

import pytest

from beamstream.config import find, load
from beamstream.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
MARK = b"\xef\xbb\xbf"
SINGLE_QUOTES = "write a path in single quotes"


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


@pytest.mark.parametrize("mark", [b"", MARK])
def test_a_file_saved_by_windows_notepad_works(tmp_path, mark):
    file = tmp_path / "beamstream.toml"
    file.write_bytes(mark + b'[archive]\r\ndirectory = "data"\t# tab\r\nport\t=\t1\r\n')
    assert (load(file).archive.directory, load(file).archive.port) == (tmp_path / "data", 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("[archive]\nport = 1\n".encode("utf-16"), ": UTF-16 text, .*; save it as UTF-8 text"),
        ("[archive]\nport = 1\n".encode("utf-16-le"), ": UTF-16 text, .*; save it as UTF-8 text"),
        ("[archive]\nport = 1\n".encode("utf-32"), ": UTF-32 text, .*; save it as UTF-8 text"),
        (
            b"[archive]\n# Gr\xf6\xdfe\n",
            ":2: not UTF-8 at byte 14 .*'ö' in the ANSI text of Windows.*; save it as UTF-8",
        ),
        (MARK + b"# \xb0\n", ":1: not UTF-8 at byte 5 .*; save it as UTF-8"),
    ],
)
def test_a_file_in_another_encoding_is_named_with_its_line_and_what_to_do(tmp_path, data, words):
    file = tmp_path / "beamstream.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"beamstream\.toml" + words):
        load(file)


@pytest.mark.parametrize(
    "value", [r'"D:\rheed\new"', r'"C:\Users\me"', r'"D:\data"', r'"D:\"', r'"\\server\new"', r'"\fast"', r'"a\u0007"']
)
def test_a_path_of_windows_in_double_quotes_is_named_with_what_to_write(complaint, value):
    words = complaint(f"[archive]\ndirectory = {value}\n")
    assert words.startswith("2:")
    assert SINGLE_QUOTES in words


@pytest.mark.parametrize("value", [r"'D:\rheed\new'", '"D:/rheed/new"', r'"D:\\rheed\\new"'])
def test_what_the_advice_says_is_read(write, tmp_path, value):
    path = load(write(f"[archive]\ndirectory = {value}\n")).archive.directory
    assert str(path.relative_to(tmp_path)).replace("\\", "/") == "D:/rheed/new"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[archive]\ndirectory = “data”\n", 'no quote here, an editor may have put it there; write "'),
        ("[archive]\ndirectory = ‘data’\n", "no quote here, an editor may have put it there; write '"),
        ('[archive]\ndirectory = "data”\n', 'no quote here, an editor may have put it there; write "'),
        ("[archive]\nport\u00a0= 1\n", "no-break space (U+00A0), which cannot be seen"),
        ("[live]\n\ufeff[archive]\nport = 1\n", "zero width no-break space (U+FEFF), which cannot be seen"),
    ],
)
def test_signs_that_editors_put_are_named_with_what_to_write(complaint, text, words):
    found = complaint(text)
    assert found.startswith("2:")
    assert words in found


@pytest.mark.parametrize(
    "text",
    [
        '[recording]\ndirectory = "a\\tb"',
        "[devices.film]\nkind = 'video'\npath = '''a\nb'''",
        '[callbacks.recorder]\nformat = "tiff"\ndirectory = "x\\ry"',
        '[callbacks.flat_field]\nflat = "D:\\new.npy"',
        '[ingest]\nkey_file = "a\\u0085b"',
    ],
)
def test_every_path_with_a_control_character_is_refused(complaint, text):
    assert "it has the control character" in complaint(text)
