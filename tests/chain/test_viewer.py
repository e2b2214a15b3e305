"""Runs shown in napari: a camera, a chain, and a viewer that may die or hang without a run noticing."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky.plans import grid_scan, scan
from ophyd.sim import SynAxis

sys.path.insert(0, str(Path(__file__).parents[1] / "viewers" / "napari"))  # for napari_display
from napari_display import address, display, line, viewer_home

from beamstream.callbacks import viewer_link
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.viewer import Viewer
from beamstream.frames import Geometry
from beamstream.sim.beamline import CameraSpec
from beamstream.viewers.napari.address import alive, read_address
from beamstream.viewers.napari.line import Line
from plans.record import record
from plans.viewer import viewer

__all__ = ["address", "display", "line", "viewer_home"]

CAMERA = CameraSpec("CHAIN:A", Geometry((96, 128), "<u2"), period=0.01)


class Degrees(SynAxis):
    """An axis that says its units."""

    def describe(self) -> Any:
        return {key: about | {"units": "deg"} for key, about in super().describe().items()}


class Inverted:
    """An op whose pixels are all others than the camera's."""

    def apply(self, image: Any, _about: Any) -> Any:
        return 65535 - image


@pytest.fixture(scope="module")
def cameras() -> tuple[CameraSpec, ...]:
    return (CAMERA,)


@pytest.fixture
def theta() -> Degrees:
    return Degrees(name="theta")


@pytest.fixture
def shows(chain) -> Iterator[Callable[..., Viewer]]:
    """Put viewers into the chain; their links are closed afterwards, the viewer stays."""
    made: list[Viewer] = []

    def shows(**options: Any) -> Viewer:
        made.append(chain.add(Viewer(**options)))
        return made[-1]

    yield shows
    for one in made:
        one.close()


def state(line: Line) -> dict[str, Any]:
    return line.ask("state")["state"]


def mean_shown(line: Line, name: str = "cam") -> Any:
    return state(line)["layers"].get(name, {}).get("mean")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def lossless(docs: Any) -> bool:
    return docs.stop["exit_status"] == "success" and docs.events("ledger")[-1]["data"]["cam_ledger_lost"] == 0


def mean_of(docs: Any, row: int, key: str = "cam_image") -> Any:
    return pytest.approx(float(np.mean(docs.images(key)[row])))


def test_a_scan_is_shown_with_its_motor_as_a_slider(engine, docs, cam, theta, shows, line, wait_for):
    shows()
    engine(viewer("napari", only="recorded")(scan)([cam], theta, 10, 15, 6))
    wait_for(lambda: state(line)["label"] == "theta 15 deg", timeout=20, what="the last place")
    shown = state(line)
    assert shown["run"] == docs.of("start")[-1]["uid"]
    assert (shown["axes"][0], shown["steps"][0]) == ("theta", 6)
    assert shown["layers"]["cam"]["mean"] == mean_of(docs, 5)
    line.ask("go", axis=0, step=2)
    wait_for(lambda: state(line)["label"] == "theta 12 deg", what="the label of the place")
    assert mean_shown(line) == mean_of(docs, 2)
    assert (docs.account["viewer_refused"], docs.account["viewer_error"]) == (0, "")
    assert lossless(docs)


def test_a_grid_whose_rows_snake_is_shown_in_its_places(engine, docs, cam, theta, shows, line, wait_for):
    shows(runs="all")
    engine(grid_scan([cam], theta, 0, 1, 2, SynAxis(name="x"), 5, 7, 3, snake_axes=True))
    wait_for(lambda: state(line)["axes"][:2] == ["theta", "x"], timeout=20)
    wait_for(lambda: state(line)["label"] == "theta 1 deg · x 5", what="the last place")
    assert state(line)["step"][:2] == [1, 0]
    assert mean_shown(line) == mean_of(docs, 5)


def test_derived_images_on_request_and_marks_lie_on_the_raw_ones(engine, docs, chain, cam, shows, line, wait_for):
    chain.add(Derive("inverted", Inverted))
    chain.add(LiveStats())
    chain.add(Intensity({"spot": (8, 16, 20, 30)}))
    shows(runs="all", streams=["inverted"])
    engine(record([cam], num=40, flush_period=0.1))
    wait_for(lambda: state(line)["axes"][:2] == ["detector", "time"], timeout=20)
    wait_for(lambda: mean_shown(line) == mean_of(docs, 39), what="the last frame")
    layers = state(line)["layers"]
    assert layers["cam regions"]["features"] == {"name": ["spot"]}
    assert layers["cam regions"]["data"][0][0] == [7.5, 15.5]
    told = docs.events("primary_live")[-1]["data"]
    place = [[told["cam_live_centroid_row"], told["cam_live_centroid_col"]]]
    wait_for(lambda: state(line)["layers"].get("cam points", {}).get("data") == place, what="the centroid")
    assert state(line)["layers"]["cam points"]["features"]["cam_live_mean"] == [told["cam_live_mean"]]
    line.ask("go", axis=0, step=1)
    wait_for(lambda: mean_shown(line, "cam_inverted") == mean_of(docs, 39, "cam_inverted_image"))
    assert state(line)["label"].startswith("cam_inverted")


def test_runs_that_nobody_declared_are_not_shown(engine, docs, cam, shows, line):
    before = state(line)["run"]
    shows()
    engine(record([cam], num=3))
    engine(record([cam], num=3, md={"viewer": {"other": {}}}))
    assert state(line)["run"] == before
    assert not any("viewer_told" in event["data"] for event in docs.of("event"))
    assert lossless(docs)


def test_one_that_hangs_is_said_once_and_left_alone(engine, docs, cam, shows, line, caplog, monkeypatch, wait_for):
    monkeypatch.setattr(viewer_link, "_ANSWER", 0.5)
    monkeypatch.setattr("beamstream.viewers.napari.starting._HELLO", 0.3)
    shown = shows(runs="all")
    os.kill(line.address.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(3):
            engine(record([cam], num=20, flush_period=0.1))
            assert lossless(docs)
        wait_for(lambda: shown.pid is None and warnings_of(caplog), what="a word about it")
        assert time.monotonic() - began < 10
        shown.close()
        said = [text for text in warnings_of(caplog) if "does not answer" in text]
        assert len(said) == 1
        assert f"pid {line.address.pid}" in said[0]
        assert alive(line.address.pid)
    finally:
        os.kill(line.address.pid, signal.SIGCONT)
    assert line.ask("hello", timeout=20)["pid"] == line.address.pid


def test_one_that_is_killed_is_said_once_and_the_next_run_gets_another(
    engine, docs, cam, shows, line, caplog, wait_for, later, monkeypatch
):
    monkeypatch.setattr(viewer_link, "_ANSWER", 1.0)
    shown = shows(runs="all")
    engine(record([cam], num=10))
    wait_for(lambda: shown.pid == line.address.pid, what="the viewer to be found")
    docs.clear()
    later(lambda: len(docs.of("start")) == 1, lambda: os.kill(line.address.pid, signal.SIGKILL))
    engine(record([cam], num=200, flush_period=0.1))
    assert docs.told("cam_image") == 200
    assert lossless(docs)
    wait_for(lambda: shown.pid is None, what="its end to be noticed")
    said = [text for text in warnings_of(caplog) if "viewer" in text]
    assert len(said) == 1
    assert f"napari (pid {line.address.pid}) has ended; runs go on without it" in said[0]
    monkeypatch.setattr(viewer_link, "_ANSWER", 20.0)
    docs.clear()
    engine(record([cam], num=10))
    assert lossless(docs)
    wait_for(lambda: shown.pid not in (None, line.address.pid), timeout=60, what="another viewer")
    uid = docs.of("start")[-1]["uid"]
    with Line(read_address(Path(os.environ["BEAMSTREAM_NAPARI"]))) as fresh:  # type: ignore[arg-type]
        wait_for(lambda: state(fresh)["run"] == uid, what="the run")
        wait_for(lambda: mean_shown(fresh) == mean_of(docs, 9), what="its last frame")


def test_one_that_was_never_started_is_said_once(engine, docs, cam, shows, address, caplog, monkeypatch, tmp_path):
    monkeypatch.setenv("BEAMSTREAM_NAPARI", str(tmp_path / "none.json"))
    shown = shows(start=False)
    for _ in range(3):
        engine(viewer("napari")(record)([cam], num=5))
        assert lossless(docs)
    shown.close()
    assert [text for text in warnings_of(caplog) if "viewer" in text] == [
        "viewer: none runs; start it with: beamstream view --napari"
    ]


@pytest.mark.parametrize(
    "declared", ["paraview", 7, {"napari": 5}, {"napari": {"streams": 3}}, None, False, ["napari"]]
)
def test_metadata_of_any_kind_cost_no_run(engine, docs, cam, shows, declared, address):
    shows(start=False)
    engine(record([cam], num=3, md={"viewer": declared}))
    assert lossless(docs)
