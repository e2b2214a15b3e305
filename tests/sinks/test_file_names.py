"""Names that stay where they are put."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstream.sinks.file_names import safe_name


@pytest.mark.parametrize("name", ["frame", "GaAs wafer 7", "probe-1.5_K", "größe", "試料", "a" * 200, "console", "x@y"])
def test_names_of_files_pass(name):
    assert safe_name(name, "prefix") == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        (".hidden", "begins with a dot"),
        (" x", "begins with"),
        ("x ", "ends with"),
        ("x.", "ends with"),
        ("..", "begins with a dot"),
        ("a..b", r"\.\."),
        ("a/b", "contains"),
        ("a\\b", "contains"),
        ("a\0b", "contains"),
        ("a\nb", "contains"),
        ("a\u202eb", "contains"),
        ("a:b", "contains"),
        ("a{b", "contains"),
        ("%s", "contains"),
        ("a#b", "contains"),
        ("é" * 101, "longer than 200 bytes"),
        ("con", "Windows"),
        ("Lpt1.run", "Windows"),
    ],
)
def test_other_names_are_refused_with_the_reason(name, why):
    with pytest.raises(ValueError, match=f"cam: prefix: .*{why}"):
        safe_name(name, "cam: prefix")


@given(st.text())
def test_whatever_passes_is_one_part_of_a_path_and_one_of_a_template(text):
    try:
        name = safe_name(text, "name")
    except ValueError:
        return
    path = Path("/data") / f"{name}_1.tiff"
    assert path.resolve().parent == Path("/data")
    assert f"{name}_{{:06d}}".format(7) == f"{name}_000007"
    assert len(path.name.encode()) < 255
