"""How many frames the desktop viewer draws, and what that costs: the window's process and the one that fetches."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from beamstream.frames import Geometry
from beamstream.references import Reference, ReferenceStore
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess
from beamstream.watching.streams import spec_of_uri

pytestmark = pytest.mark.benchmark

_LONGEST = 20.0  # s of one measurement
_SIZES = ((512, "|u1", 200), (1024, "<u2", 100), (2048, "<u2", 50))


@pytest.fixture
def camera(request) -> Iterator[CameraSpec]:
    """A camera that runs: (size, dtype, fps)."""
    size, dtype, fps = request.param
    spec = CameraSpec(f"QTBENCH{size}:CAM", Geometry((size, size), dtype), period=1 / fps, free_running=True)
    with SimProcess(Beamline((spec,), ())):
        yield spec


def watched(kind: str, spec: CameraSpec, seconds: float, place: Path) -> dict[str, float]:
    """Watch a camera in a process of its own, on a virtual X server if there is one."""
    screen = shutil.which("xvfb-run")
    before = ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24"] if screen else []
    program = [sys.executable, str(Path(__file__).with_name("qt_watching.py")), kind, spec.image]
    done = subprocess.run(
        [*before, *program, str(min(seconds, _LONGEST)), str(place)],
        env={**os.environ, "QT_QPA_PLATFORM": "xcb" if screen else "offscreen", "XDG_CONFIG_HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def words(said: dict[str, float]) -> str:
    cpu = 100 * (said["viewer"] + said["taps"])
    return f"{said['shown']:.0f} shown, {cpu:.0f} % of a core (window {100 * said['viewer']:.0f} %)"


@pytest.mark.parametrize("camera", _SIZES, indirect=True, ids=str)
def test_frames_are_drawn_for_less_than_a_plain_image_item_needs(camera, seconds, report, tmp_path):
    ours = watched("viewer", camera, seconds, tmp_path)
    plain = watched("plain", camera, seconds, tmp_path)
    per_frame = [(said["viewer"] + said["taps"]) / said["shown"] for said in (ours, plain)]
    report(
        f"Qt, {camera.geometry} at {1 / camera.period:.0f} fps",
        f"{words(ours)}; a monitor with pyqtgraph's ImageItem: {words(plain)}; "
        f"shown {ours['shown'] / plain['shown']:.2f} ×, CPU a frame {per_frame[0] / per_frame[1]:.2f} ×",
    )
    assert ours["shown"] > 0


@pytest.mark.parametrize("camera", _SIZES[2:], indirect=True, ids=str)
def test_frames_are_drawn_with_a_flat_field(camera, seconds, report, tmp_path):
    geometry = camera.geometry
    mean = np.linspace(500, 1500, geometry.shape[0] * geometry.shape[1]).reshape(geometry.shape)
    name = spec_of_uri(f"pva://{camera.image}").name
    flat = Reference("flat", mean, np.zeros_like(mean), 1, name, geometry, None, time.time())
    ReferenceStore(tmp_path).keep(flat)
    ours = watched("flat", camera, seconds, tmp_path)
    assert ours["corrected"]
    report(f"Qt, {geometry} at {1 / camera.period:.0f} fps, flat field", words(ours))
