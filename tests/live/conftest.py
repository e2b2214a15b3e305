"""Rings, servers and a browser for the live page."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for live_ring
from live_ring import Writer

from beamstream.live import LiveServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_names = count()
_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=SpareRendererForSitePerProcess",
]


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


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A real Chromium without a window; a test that has none is skipped, in CI it fails."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        message = "chromium and playwright asked for; apt install chromium, pip install playwright"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()
