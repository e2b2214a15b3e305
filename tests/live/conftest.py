"""Rings and servers for the live page."""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for live_ring
from live_ring import Writer

from beamstream.live import LiveServer

_names = count()


@pytest.fixture
def name() -> str:
    return f"live{os.getpid()}-{next(_names)}"


@pytest.fixture
def writer(name) -> Iterator[Writer]:
    writer = Writer(name)
    yield writer
    writer.close()


@pytest.fixture
def server(name) -> Iterator[Callable[..., LiveServer]]:
    """Start servers of the test's ring at a free port; they end with the test."""
    made: list[LiveServer] = []

    def server(**options: Any) -> LiveServer:
        made.append(LiveServer(name, **{"port": 0, "owner": os.getpid(), **options}))
        return made[-1].start()

    yield server
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def idle() -> Iterator[LiveServer]:
    """A server of a ring that nobody writes."""
    with LiveServer("nobody-writes-this", port=0) as server:
        yield server
