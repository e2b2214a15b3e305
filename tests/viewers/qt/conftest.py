"""A window without a screen, and somebody who puts frames into a ring."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt has a screen

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parent))  # for qt_window

from qt_window import Camera, settled

from beamstream.frames import ColorMode
from beamstream.viewers.qt.options import Options
from beamstream.viewers.qt.program import check_version
from beamstream.viewers.qt.window import Window


@pytest.fixture(scope="session")
def app() -> QApplication:
    check_version()
    there = QApplication.instance()
    return there if isinstance(there, QApplication) else QApplication(["test"])


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    yield camera
    camera.close()


@pytest.fixture
def spin(app) -> Callable[..., None]:
    """Run the window until a condition holds: ``spin(lambda: x, what="x")``."""

    def spin(condition: Callable[[], object], timeout: float = 15.0, what: str = "") -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout} s: {what or condition}")
            app.processEvents()
            time.sleep(0.001)

    return spin


@pytest.fixture
def options(tmp_path, monkeypatch) -> Options:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Options(source="ring:camera", recordings=tmp_path / "recordings", references=tmp_path / "references")


@pytest.fixture
def open_window(app, options) -> Iterator[Callable[..., Window]]:
    """Open a window with the options, some of them changed; all are closed in the end."""
    windows: list[Window] = []

    def open_window(**changes: Any) -> Window:
        window = Window(replace(options, **changes))
        windows.append(window)
        window.resize(1000, 800)
        window.show()
        app.processEvents()
        return window

    yield open_window
    for window in windows:
        window.close()
        window.deleteLater()
    app.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    app.processEvents()


@pytest.fixture
def window(open_window) -> Window:
    return open_window()


@pytest.fixture
def show(camera, spin) -> Callable[..., None]:
    """Put a frame and run the window until it is painted."""

    def show(window: Window, image: NDArray[Any], mode: ColorMode = ColorMode.MONO) -> None:
        number = camera.put(image, mode)
        drawn = window.canvas.picture
        spin(lambda: drawn.shown is not None and drawn.shown.frame.unique_id == number, what=f"frame {number}")
        spin(lambda: settled(window), what="the window to come to rest")

    return show
