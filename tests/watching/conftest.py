"""Streams to look at: rings that a session writes, and simulated cameras that only a tap can fetch."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for looking

from beamstream.frames import Frame, Geometry
from beamstream.ring import Ring
from beamstream.watching.follow import Follow
from beamstream.watching.streams import StreamSpec

SMALL = Geometry((48, 64), "<u2")


class Session:
    """The ring of a session that acquires: frames whose pixels are all their unique_id.

    Parameters
    ----------
    name : str
        Of the ring.
    """

    def __init__(self, name: str, source: str = "", slots: int = 16) -> None:
        self.ring = Ring(name, source=source, slots=slots)
        self.last_id = 0

    def put(self, number: int = 1, *, skip: int = 0, geometry: Geometry = SMALL, age: float = 0.0) -> None:
        """Let frames come, the first of them after `skip` lost ones, received `age` s ago."""
        self.last_id += skip
        for _ in range(number):
            self.last_id += 1
            image = np.full(geometry.shape, self.last_id, geometry.dtype)
            now = time.time() - age
            self.ring.put(Frame(image, geometry, self.last_id, now - 0.01, now))


@pytest.fixture
def session() -> Iterator[Callable[..., Session]]:
    """Return a function that opens the ring of a session; closed afterwards."""
    opened: list[Session] = []

    def start(name: str = "camera", **options: Any) -> Session:
        opened.append(Session(name, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.ring.close()


@pytest.fixture
def follow() -> Iterator[Callable[..., Follow]]:
    """Return a function that follows a stream; closed afterwards."""
    opened: list[Follow] = []

    def start(spec: StreamSpec, **options: Any) -> Follow:
        opened.append(Follow(spec, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
