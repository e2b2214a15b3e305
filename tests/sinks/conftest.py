"""A disk that is small enough to be filled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_disks import small_disk_at


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 16 MiB."""
    with small_disk_at(tmp_path / "small", 16 << 20) as where:
        yield where
