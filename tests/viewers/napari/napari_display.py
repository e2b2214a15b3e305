"""A display without a screen, and one napari on it for all tests of a module."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beamstream.viewers.napari import starting
from beamstream.viewers.napari.address import read_address
from beamstream.viewers.napari.line import Line

_shared: dict[str, Any] = {}  # fixtures of two modules are two, what they start is one


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X server of its own."""
    if "display" in _shared:
        yield _shared["display"]
        return
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1440x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as number:
        _shared["display"] = f":{number.readline().strip()}"
    yield _shared["display"]
    del _shared["display"]
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="session")
def viewer_home(display, tmp_path_factory) -> Iterator[Path]:
    """Where the viewer writes its address; modules share it, and whatever runs there at the end is ended."""
    path = _shared.setdefault("home", tmp_path_factory.mktemp("viewer") / "napari.json")
    yield path
    left = read_address(path)
    if left is not None:
        os.kill(left.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def address(display, viewer_home) -> Iterator[Path]:
    """The same, and the environment in which the viewer is found, or started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", display)
        patch.setenv("NAPARI_CONFIG", "")
        patch.setenv("QT_QPA_PLATFORM", "xcb")
        patch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
        patch.setenv("BEAMSTREAM_NAPARI", str(viewer_home))
        yield viewer_home


@pytest.fixture
def line(address) -> Iterator[Line]:
    """A line to the viewer, which is started when there is none."""
    line = starting.find_or_start()
    yield line
    line.close()
