"""The process that draws, without a RunEngine: what it is told, what it answers, how it ends."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from beamstream.frames import Frame, Geometry
from beamstream.plots.process import PlotProcess
from beamstream.ring import Ring

GEOMETRY = Geometry((64, 48), "<u2")
RUN = "11111111-2222"


@pytest.fixture
def process(tmp_path) -> Iterator[Callable[..., PlotProcess]]:
    made: list[PlotProcess] = []

    def process(**options: Any) -> PlotProcess:
        given = {"kind": "image", "directory": str(tmp_path), "fallback": str(tmp_path), "period": 0.05} | options
        made.append(PlotProcess("plots", given))
        return made[-1]

    yield process
    for one in made:
        one.close()


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring("process", memory=2**16)
    ring.prepare(GEOMETRY)
    yield ring
    ring.close()


def begin(process: PlotProcess) -> None:
    process.tell({"do": "begin", "run": RUN, "scan_id": 3, "plan": "record", "time": time.time()})
    process.tell({"do": "source", "run": RUN, "ring": "process", "correction": {}})


def put(ring: Ring, number: int) -> None:
    image = np.arange(64 * 48, dtype="<u2").reshape(64, 48) + number
    ring.put(Frame(image, GEOMETRY, number, time.time(), time.time()))


def test_frames_of_a_ring_are_drawn_and_answered_for(process, ring, tmp_path, wait_for):
    plots = process()
    begin(plots)
    numbers = iter(range(1, 10_000))
    wait_for(lambda: put(ring, next(numbers)) or plots.account(RUN).get("drawn", 0) > 2, what="frames to be drawn")
    assert plots.alive
    assert not plots.hangs
    plots.end(RUN)
    plots.close()  # lets it finish
    assert plots.account(RUN)["is"] == "done"
    assert (plots.account(RUN)["errors"], plots.account(RUN)["error"]) == (0, "")
    assert {p.name for p in tmp_path.glob("*.png")} == {"process_live.png", "00003_11111111_process.png"}


def test_it_takes_less_than_half_of_a_core_however_often_it_is_to_draw(process, ring, wait_for):
    plots = process(period=0.001)
    begin(plots)
    numbers = iter(range(1, 10_000))
    wait_for(lambda: put(ring, next(numbers)) or plots.account(RUN).get("drawn"), what="a frame to be drawn")
    child, pause = psutil.Process(plots.pid), threading.Event()
    before, began = sum(child.cpu_times()[:2]), time.monotonic()
    while time.monotonic() - began < 1.2:
        put(ring, next(numbers))
        pause.wait(0.01)  # the rate of the frames
    share = (sum(child.cpu_times()[:2]) - before) / (time.monotonic() - began)
    assert 0.05 < share < 0.5


def test_what_goes_wrong_is_said_once_and_drawing_goes_on(process, ring, caplog, wait_for):
    plots = process(look={"cmap": "nonsense"})
    begin(plots)
    put(ring, 1)
    plots.end(RUN)
    assert plots.wait_for(lambda: plots.account(RUN).get("is") == "done", 10)
    assert plots.account(RUN)["errors"] >= 1
    assert "cmap 'nonsense' asked for" in plots.account(RUN)["error"]
    assert caplog.text.count("nonsense") == 1
    assert plots.alive


def test_a_process_that_cannot_draw_says_why(process, caplog, wait_for):
    plots = process(directory=5)
    wait_for(lambda: not plots.alive)
    assert caplog.text.count("the process that draws ended with 1 and said") == 1
    assert "TypeError" in caplog.text
    plots.tell({"do": "begin", "run": RUN})
    assert plots.refused == 1


def test_closing_before_it_has_started_ends_it_all_the_same(process, wait_for):
    plots = process()
    plots.close()
    assert not plots.alive
    assert plots.pid is None or not psutil.pid_exists(plots.pid)
