"""A disk that is small enough to be filled."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk_at(where: Path, size: int) -> Iterator[Path]:
    """Mount so many bytes of memory as a filesystem; skip where that is not permitted."""
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a full disk cannot be made: there is no mount command")
    if done.returncode:
        pytest.skip(f"a full disk cannot be made: {done.stderr.strip()}")
    yield where
    subprocess.run(["umount", str(where)], check=True)
