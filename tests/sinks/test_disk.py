"""What a disk says, and whether a file is still where it was."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from beamstream.sinks.disk import make_directories, still_there


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "recordings" / "cam.h5"
    path.parent.mkdir()
    path.write_bytes(b"frames")
    return path


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_an_open_file_is_there_by_its_own_name_and_through_a_link(fd: int, path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path.parent)
    assert still_there(fd, path)
    assert still_there(fd, tmp_path / "link" / path.name)


def test_a_file_whose_directory_was_deleted_is_not_there(fd: int, path: Path) -> None:
    shutil.rmtree(path.parent)
    assert not still_there(fd, path)


def test_a_file_that_another_one_replaced_is_not_there(fd: int, path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"others")
    other.rename(path)
    assert not still_there(fd, path)


def test_a_file_that_was_moved_away_is_not_there(fd: int, path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    assert not still_there(fd, path)


def test_directories_are_made_with_their_parents_and_left_alone_where_they_are(tmp_path: Path) -> None:
    make_directories(tmp_path / "2026" / "11" / "30")
    make_directories(tmp_path / "2026" / "11" / "30")
    assert (tmp_path / "2026" / "11" / "30").is_dir()
