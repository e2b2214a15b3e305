"""Recorded runs, and nothing left of zarr."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from zarr.core.sync import cleanup_resources

sys.path.insert(0, str(Path(__file__).parent))  # for recorded_runs

from recorded_runs import Runs


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "archive")


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()
