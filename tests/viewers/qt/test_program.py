"""The viewer as a program: frames of a real PV on a real (if virtual) screen, and an end that leaves nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from beamstream.errors import ConfigurationError
from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess
from beamstream.viewers.qt.options import Options
from beamstream.viewers.qt.program import main

CAMERA = CameraSpec("QTVIEW:CAM", Geometry((64, 96), "<u2"), period=0.02, free_running=True)
PROGRAM = """
import json, sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from beamstream.viewers.qt.options import Options
from beamstream.viewers.qt.program import main

app = QApplication([])

def look():
    (window,) = [w for w in app.topLevelWidgets() if type(w).__name__ == "Window"]
    if window.canvas.picture.drawn > 20:
        timer.stop()
        window.grab().save(sys.argv[2])
        shown = window.canvas.picture.shown
        said = {"drawn": window.canvas.picture.drawn, "shape": shown.shape, "platform": app.platformName()}
        print(json.dumps(said | {"title": window.windowTitle(), "delay": window._status["delay"]}), flush=True)

timer = QTimer()
timer.timeout.connect(look)
timer.start(20)
there = Path(sys.argv[2]).parent
options = Options(source=sys.argv[1], recordings=there, references=there)
sys.exit(main(options))
"""


@pytest.fixture(scope="module")
def beamline() -> Iterator[SimProcess]:
    with SimProcess(Beamline((CAMERA,), ())) as beamline:
        yield beamline


def started(source: str, place, *before: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM, source, str(place / "window.png")],
        env={**os.environ, "XDG_CONFIG_HOME": str(place), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pv_is_shown_and_ctrl_c_ends_window_threads_and_tap(beamline, tmp_path, number):
    program = started(CAMERA.image, tmp_path, QT_QPA_PLATFORM="offscreen")
    with program:
        said = json.loads(program.stdout.readline() or program.stderr.read())
        assert said["shape"] == [64, 96]
        assert said["title"] == f"{CAMERA.image} – beamstream"
        assert -0.1 < said["delay"] < 5.0
        family = psutil.Process(program.pid).children(recursive=True)
        assert family, "a tap was expected"
        program.send_signal(number)
        assert program.wait(10) == 0
        assert program.stderr.read().replace("This plugin does not support propagateSizeHints()\n", "") == ""
    assert not [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    remembered = json.loads((tmp_path / "beamstream" / "viewer.json").read_text())
    assert remembered["stream"]["about"]["pv"] == CAMERA.image


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="no xvfb-run")
def test_the_last_pv_is_connected_again_and_drawn_on_an_x_server(beamline, tmp_path):
    (tmp_path / "beamstream").mkdir()
    (tmp_path / "beamstream" / "viewer.json").write_text(
        json.dumps({"stream": {"name": "QTVIEW", "about": {"kind": "pva_detector", "pv": CAMERA.image}}})
    )
    program = started("", tmp_path, "xvfb-run", "-a", QT_QPA_PLATFORM="xcb")
    with program:
        said = json.loads(program.stdout.readline() or program.stderr.read())
        assert said["platform"] == "xcb"
        assert said["shape"] == [64, 96]
        (viewer,) = [
            p for p in psutil.Process(program.pid).children(recursive=True) if str(tmp_path) in p.cmdline()[-1]
        ]
        viewer.terminate()
        assert program.wait(10) == 0
    assert (tmp_path / "window.png").stat().st_size > 10_000


def test_without_a_screen_it_says_what_to_do(monkeypatch):
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="there is no screen"):
        main(Options())


@pytest.mark.parametrize("wrong", [{"max_fps": -1.0}, {"display_bin": -2}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="asked for"):
        Options(**wrong)
