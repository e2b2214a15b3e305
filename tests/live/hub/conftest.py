"""Live pages of an instrument for tests: one for a whole file, and a camera for each test."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hub_rig import KEY, Camera

from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage

_names = count()
NAMES = [f"cam{os.getpid()}-{i}" for i in range(90)]
"""Streams of the page, one for each test: a feed that another test used knows its frames still."""


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hub")
    return {"recordings": root / "recordings", "references": root / "references", "archive": root / "archive"}


@pytest.fixture(scope="module")
def page(places) -> Iterator[LivePage]:
    """A live page of many streams."""
    streams = [{"name": name, "about": {"pixel_size": [6.5, 6.5], "pixel_units": "um"}} for name in NAMES]
    more = {name: str(path) for name, path in places.items()}
    with LivePage(HubSettings(streams=streams, port=0, key=KEY, **more)) as page:
        yield page


@pytest.fixture
def camera() -> Iterator[Camera]:
    """A camera whose frames the test puts, on a stream that no other test has used."""
    camera = Camera(NAMES[next(_names)], (64, 96), "<u2")
    yield camera
    camera.close()


@pytest.fixture
def url(page, camera) -> str:
    """Where the camera's page is."""
    return f"{page.url}streams/{camera.name}/"
