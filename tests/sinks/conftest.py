"""A disk that is small enough to be filled."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SMALL_DISK = 16 << 20  # bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 16 MiB of memory as a filesystem; skip where that is not permitted."""
    where = tmp_path / "small"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(where)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a full disk cannot be made: there is no mount command")
    if done.returncode:
        pytest.skip(f"a full disk cannot be made: {done.stderr.strip()}")
    yield where
    subprocess.run(["umount", str(where)], check=True)
