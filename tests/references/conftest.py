"""A store, references to keep in it, and a disk that takes no more."""

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from beamstream.frames import Geometry
from beamstream.references import Reference, ReferenceStore


@contextlib.contextmanager
def _small_files(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores the signal, so that writing says EFBIG
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_files() -> Callable[[int], AbstractContextManager[None]]:
    """Let no file grow beyond some bytes: ``with small_files(1000): …``."""
    return _small_files


@pytest.fixture
def store(tmp_path: Path) -> ReferenceStore:
    return ReferenceStore(tmp_path / "references")


@pytest.fixture
def reference() -> Callable[..., Reference]:
    """Make a flat of 3 × 5 pixels, taken a minute ago, or another: ``reference(kind="dark")``."""
    return _reference


def _reference(**changes) -> Reference:
    geometry = changes.setdefault("geometry", Geometry((3, 5), "<u2"))
    defaults = {
        "kind": "flat",
        "mean": np.random.default_rng(2).normal(1000, 3, geometry.shape),
        "std": np.random.default_rng(3).normal(3, 0.1, geometry.shape),
        "number": 20,
        "detector": "cam",
        "exposure": 0.1,
        "taken": time.time() - 60,
        "run": "1f0c8a3e-aaaa",
    }
    return Reference(**{**defaults, **changes})
