"""napari fed with a camera's frames: drawn a second, how old when they are on the screen, and memory."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "viewers" / "napari"))  # for napari_display
from napari_display import address, display, line, viewer_home

from beamstream.frames import Frame, Geometry
from beamstream.ring import Ring
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.viewers.napari.line import Line

__all__ = ["address", "display", "line", "viewer_home"]

FULL = Geometry((1024, 1024), "<u2")
_SETTLED = 3.0  # s


class Camera:
    """Put frames into a ring, at a rate, from a thread; recorded to a file as well if asked.

    Parameters
    ----------
    rate : float
        Frames/s.
    """

    def __init__(self, rate: float) -> None:
        self.ring = Ring("cam", memory=64 * 2**20)
        self.made = 0
        self._rate = rate
        noise = np.random.default_rng(5).poisson(80, (8, *FULL.shape)).astype("<u2")
        row, col = np.mgrid[: FULL.shape[0], : FULL.shape[1]]
        spots = [3000 * np.exp(-((row - 512) ** 2 + (col - 300 - 60 * i) ** 2) / 2e4) for i in range(8)]
        self.images = [(n + s).astype("<u2") for n, s in zip(noise, spots, strict=True)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._over.wait(max(0.0, due - time.perf_counter())):
            due += 1 / self._rate
            self.ring.put(self.frame(self.made))
            self.made += 1

    def frame(self, number: int) -> Frame:
        now = time.time()
        return Frame(self.images[number % 8], FULL, number, now, now)

    def __enter__(self) -> "Camera":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.ring.close()


@pytest.fixture
def camera(request) -> Iterator[Camera]:
    """A camera of ``request.param`` frames/s."""
    with Camera(request.param) as camera:
        yield camera


def state(line: Line) -> dict[str, Any]:
    return line.ask("state", timeout=30)["state"]


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@pytest.mark.benchmark
@pytest.mark.timeout(300)
@pytest.mark.parametrize("camera", [50, 60, 200], indirect=True)
def test_napari_draws_a_camera(camera, line, seconds, report: Callable[[str, str], None]):
    line.ask("watch", name="cam", about={})
    time.sleep(_SETTLED)
    process = psutil.Process(line.address.pid)
    line.ask("measure")
    before, busy, idle, began = state(line), cpu(process), psutil.cpu_times().idle, time.monotonic()
    time.sleep(seconds)
    after, busy, took = state(line), cpu(process) - busy, time.monotonic() - began
    idle = (psutil.cpu_times().idle - idle) / took / (os.cpu_count() or 1)
    stream = after["streams"]["cam"]
    drawn = (stream["drawn"] - before["streams"]["cam"]["drawn"]) / took
    swaps = (after["canvas"] - before["canvas"]) / took
    report(
        f"napari, 1024² uint16 at {camera._rate} fps, Xvfb, software GL",
        f"{drawn:.1f} drawn/s (canvas {swaps:.1f}/s), age on the screen p50 {stream['age_50'] * 1e3:.1f} ms, "
        f"p95 {stream['age_95'] * 1e3:.1f} ms, CPU {100 * busy / took:.0f} %, machine idle {100 * idle:.0f} %",
    )
    line.ask("forget", name="cam")
    assert swaps >= 0.95 * drawn > 0


@pytest.mark.soak
@pytest.mark.benchmark
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("camera", [60], indirect=True)
def test_its_memory_stays_flat(camera, line, tmp_path, report: Callable[[str, str], None]):
    """Ten minutes of live frames, with a run that is recorded and looked through meanwhile."""
    length = float(os.environ.get("BEAMSTREAM_SOAK_SECONDS", "600"))
    process, sizes, rows = psutil.Process(line.address.pid), [], 0
    path = tmp_path / "run.h5"
    about = {"name": "cam", "shape": list(FULL.shape), "dtype": FULL.dtype, "axes": [{"name": "time"}]}
    line.ask("begin", run="soak", time=time.time())
    line.ask("source", run="soak", key="cam_image", ring="cam", owner=os.getpid(), **about)
    began = time.monotonic()
    with Hdf5Sink(path, FULL, name="cam") as sink:
        while (at := time.monotonic() - began) < length:
            if rows < 400:  # 800 MB on disk
                rows = sink.write([camera.frame(rows + i) for i in range(4)])
                where = {"path": str(path), "dataset": "/entry/data/data", "stop": rows}
                line.ask("rows", run="soak", key="cam_image", **where, timeout=30)
            if int(at) % 20 == 10:  # somebody looks at earlier frames, and goes on
                line.ask("go", axis=0, step=int(at * 7) % rows, timeout=30)
            elif int(at) % 20 == 15:
                line.ask("follow", timeout=30)
            sizes.append((at, process.memory_info().rss))
            time.sleep(0.5)
    stream = state(line)["streams"]["cam"]
    settled = [size for at, size in sizes if at > length / 10]
    quarter = len(settled) // 4
    first, last = (float(np.mean(part)) for part in (settled[:quarter], settled[-quarter:]))
    report(
        f"napari, {length:.0f} s of 1024² uint16 at 60 fps with a run of {rows} frames",
        f"{stream['drawn']} drawn, {stream['read']} read from the file; {first / 1e6:.0f} MB in the first quarter, "
        f"{last / 1e6:.0f} MB in the last ({100 * (last / first - 1):+.1f} %)",
    )
    line.ask("end", run="soak")
    assert last / first - 1 < 0.05
