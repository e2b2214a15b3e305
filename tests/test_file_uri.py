"""The URI of a file in documents."""

import os
from pathlib import Path

import pytest
from tiled.utils import path_from_uri

from beamstream.file_uri import path_of, uri_of

NAMES = [
    "plain",
    "sample #3",
    "why?",
    "50%41",
    "100%",
    "käse",
    "a\nb",
    "a\tb",
    "试样",
    "semi;colon",
    "[1]",
    "a&b=c",
    "\x85",
    " x ",
]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"latin-\xe9")])
def test_a_path_with_any_sign_in_it_is_the_same_after_its_uri(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "cam.h5"
    uri = uri_of(path)
    assert path_of(uri) == path
    uri.encode()  # documents are UTF-8


@pytest.mark.parametrize("name", ["plain", "with blanks", "käse", "试样", "semi;colon", "[1]"])
def test_stock_tiled_reads_the_uri_of_every_path_that_it_can_read_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "cam.h5"
    assert path_from_uri(uri_of(path)) == path


def test_a_uri_that_others_made_is_read_by_the_rules() -> None:
    assert path_of("file:///data/with%20blank/k%C3%A4se.h5") == Path("/data/with blank/käse.h5")
