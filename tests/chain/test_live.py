"""Live plots: they show what is recorded, say what they do not show, and never slow a run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from bluesky.plans import count
from bluesky.utils import RunEngineInterrupted
from numpy.typing import NDArray
from PIL import Image

from beamstream.callbacks.derive import Derive
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.live import LiveImage, LiveWaterfall
from beamstream.callbacks.live_plot import LivePlot
from beamstream.file_uri import path_of
from beamstream.frames import ColorMode, Geometry
from beamstream.ops.flatfield import FlatField as FlatFieldOp
from beamstream.ops.picture import picture_of
from beamstream.plots import look
from beamstream.plots.image import ImagePicture
from beamstream.plots.picture import HEADER, Picture, Shot
from beamstream.plots.screens import Files
from beamstream.sim.beamline import CameraSpec
from plans.record import monitor, record

SHAPE = (512, 512)
FAST = CameraSpec("CHAIN:A", Geometry(SHAPE, "<u2"), period=0.005)
COLOUR = CameraSpec("CHAIN:C", Geometry((96, 3, 128), "|u1", ColorMode.RGB2), period=0.01)
TOP = round((HEADER - 0.05) * look.DPI)  # px of text


@pytest.fixture(scope="module")
def cameras() -> tuple[CameraSpec, ...]:
    return (FAST, COLOUR)


@pytest.fixture
def make_cam(make) -> Callable[[], Any]:
    return lambda: make(ring_memory=32 * 2**20)


@pytest.fixture
def cam(make_cam):
    return make_cam()


@pytest.fixture
def pictures(tmp_path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Iterator[tuple[LiveImage, Path]]:
    """Share one process among tests that do it no harm: each start takes a second."""
    pictures = tmp_path_factory.mktemp("pictures")
    live = LiveImage(directory=pictures, period=0.2)
    assert live.wait_ready()
    yield live, pictures
    live.close()


@pytest.fixture
def shared(patient, chain) -> tuple[LiveImage, Path]:
    chain.add(patient[0])
    return patient


@pytest.fixture
def plot(chain, pictures) -> Iterator[Callable[..., Any]]:
    """Make live plots of a chain, ready to draw; they are closed afterwards."""
    made: list[LivePlot] = []

    def plot(kind: type = LiveImage, *, ready: bool = True, **options: Any) -> Any:
        made.append(chain.add(kind(**({"directory": pictures, "period": 0.2} | options))))
        assert not ready or made[-1].wait_ready()
        return made[-1]

    yield plot
    for one in made:
        one.close()


@pytest.fixture
def record_until(engine, cam, later) -> Callable[[Callable[[], object]], None]:
    """Record until a condition holds, and end the run then."""

    def record_until(condition: Callable[[], object]) -> None:
        later(lambda: bool(condition()), engine.request_pause)
        with pytest.raises(RunEngineInterrupted):
            engine(monitor([cam], flush_period=0.1))
        engine.stop()

    return record_until


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def kept(pictures: Path, docs: Any, name: str, run: int = -1) -> Path:
    start = docs.of("start")[run]
    return pictures / f"{start['scan_id']:05d}_{start['uid'][:8]}_{name}.png"


def drawn_here(image: NDArray[Any], mode: ColorMode = ColorMode.MONO) -> NDArray[np.uint8]:
    """Draw an image in this process, as the other one should."""
    import matplotlib

    with matplotlib.rc_context(look.STYLE):  # pyright: ignore[reportArgumentType]
        picture: Picture = ImagePicture(Files("/nowhere").figure("here"))
        picture.add(Shot(picture_of(image, mode).image, 0, 0.0))
        picture.render()
    canvas: Any = picture.figure.canvas
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def assert_shows(path: Path, image: NDArray[Any], mode: ColorMode = ColorMode.MONO) -> None:
    """Compare everything but the text on top; contrast and axes may lag by a few per cent after many frames."""
    shown, expected = pixels(path).astype(int), drawn_here(image, mode).astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected)[TOP:].mean() < 1.5


def warned(path: Path) -> bool:
    """Return whether there is a note of something that could not be done."""
    colour = np.array([int(look.BAD[i : i + 2], 16) for i in (1, 3, 5)])
    return bool((np.abs(pixels(path)[:TOP].astype(int) - colour).sum(axis=2) < 12).any())


def test_a_flight_is_drawn_while_it_goes_on_and_its_last_frame_is_kept(record_until, docs, shared):
    live, pictures = shared
    record_until(lambda: live.drawn >= 2)
    assert live.wait_drawn()
    assert docs.stop["exit_status"] == "success"
    assert docs.events("ledger")[-1]["data"]["cam_ledger_lost"] == 0
    told = docs.told("cam_image")
    account = {key: docs.account[f"live_image_{key}"] for key in ("drawn", "dropped", "errors", "error")}
    assert 2 <= account["drawn"] < told / 10
    assert account == account | {"dropped": told - account["drawn"], "errors": 0, "error": ""}
    assert_shows(kept(pictures, docs, "cam"), docs.images("cam_image")[-1])
    assert pixels(pictures / "cam_live.png").shape == pixels(kept(pictures, docs, "cam")).shape
    assert not list(pictures.glob(".*"))


def test_documents_cost_the_engine_less_than_a_millisecond(engine, docs, cam, shared, monkeypatch):
    live, _ = shared
    spent: list[float] = []
    begin = live.begin

    def timed_begin(*args: Any) -> Any:
        work = begin(*args)
        call = work.__call__

        class Timed:
            def __call__(self, name: str, doc: Any) -> None:
                began = time.thread_time()
                call(name, doc)
                spent.append(time.thread_time() - began)

            def __getattr__(self, name: str) -> Any:
                return getattr(work, name)

        return Timed()

    monkeypatch.setattr(live, "begin", timed_begin)
    engine(record([cam], num=100, flush_period=0.02))
    assert docs.told("cam_image") == 100
    assert len(spent) > 20
    assert max(spent) < 1e-3


def test_steps_are_drawn_and_a_first_run_does_not_wait_for_the_process(engine, docs, cam, plot, pictures):
    live = plot(ready=False)
    engine(count([cam], 3))
    assert live.wait_drawn(30)
    assert_shows(kept(pictures, docs, "cam"), docs.images("cam_image")[-1])


def test_colours_are_drawn_as_colours(engine, docs, make, shared):
    live, pictures = shared
    engine(record([make("CHAIN:C", name="colour")], num=60))
    assert live.wait_drawn()
    assert_shows(kept(pictures, docs, "colour"), docs.images("colour_image")[-1], ColorMode.RGB2)


def test_what_was_derived_is_drawn_when_asked_for(engine, chain, docs, cam, make, plot, pictures):
    chain.add(Derive("inverted", Inverted))
    live = plot(stream="inverted", detectors=["cam"])
    engine(record([cam, make("CHAIN:C", name="colour")], num=60))
    assert live.wait_drawn()
    assert_shows(kept(pictures, docs, "cam_inverted"), docs.images("cam_inverted_image")[-1])
    assert docs.account["live_image_inverted_errors"] == 0
    assert {p.name.partition("_")[0] for p in pictures.glob("*_live.png")} == {"cam"}


class Inverted:
    def apply(self, image: Any, meta: Any) -> Any:
        return np.iinfo(image.dtype).max - image


def test_frames_are_flat_fielded_for_the_eye_alone(engine, docs, cam, plot, pictures):
    flat = np.linspace(500.0, 3000.0, SHAPE[1]) * np.ones(SHAPE)
    live = plot(flat_field=FlatField(flat))
    engine(record([cam], num=40))
    assert live.wait_drawn(20)
    raw = docs.images("cam_image")[-1]
    assert docs.account["live_image_errors"] == 0
    assert not warned(kept(pictures, docs, "cam"))
    assert_shows(kept(pictures, docs, "cam"), FlatFieldOp(flat).apply(raw))
    assert [d["name"] for d in docs.of("descriptor")] == ["primary", "ledger", "callbacks"]


def test_without_a_reference_the_raw_frame_is_shown_and_the_picture_says_so(
    engine, docs, cam, plot, pictures, tmp_path
):
    live = plot(flat_field=FlatField("latest", references=tmp_path / "references"))
    engine(record([cam], num=20))
    assert live.wait_drawn()
    assert warned(kept(pictures, docs, "cam"))
    assert_shows(kept(pictures, docs, "cam"), docs.images("cam_image")[-1])


def test_frames_go_through_a_pipeline_and_a_broken_one_is_left_out(engine, docs, cam, plot, pictures, tmp_path):
    path = tmp_path / "pipeline.json"
    (tmp_path / "processors").mkdir()
    (tmp_path / "processors" / "mine.py").write_text("def process(image):\n    return image[::-1]\n")
    entry = {"name": "turned", "module": "mine"}
    path.write_text(json.dumps({"processors_dir": "processors", "pipeline": [entry]}))
    live = plot(pipeline=path)
    engine(record([cam], num=20))
    assert live.wait_drawn()
    assert not warned(kept(pictures, docs, "cam"))
    assert_shows(kept(pictures, docs, "cam"), docs.images("cam_image")[-1][::-1])
    path.write_text("{")
    engine(record([cam], num=20))
    assert live.wait_drawn()
    assert warned(kept(pictures, docs, "cam"))


def test_a_waterfall_shows_a_profile_of_each_frame_that_it_looked_at(record_until, docs, plot, pictures):
    live = plot(LiveWaterfall, average="columns", region=(10, 0, 400, 512), profiles=30)
    record_until(lambda: live.drawn >= 4)
    assert live.wait_drawn()
    assert docs.account["live_waterfall_drawn"] >= 4
    assert docs.account["live_waterfall_errors"] == 0
    picture = pixels(kept(pictures, docs, "cam_waterfall"))[TOP:]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 300
    assert (pictures / "cam_waterfall_live.png").exists()


def test_an_image_that_cannot_be_drawn_is_counted_and_said_and_the_run_goes_on(record_until, docs, plot, caplog):
    plot(LiveWaterfall, region=(0, 0, 2000, 10))
    record_until(lambda: "over the edge" in caplog.text)
    assert docs.stop["exit_status"] == "success"
    assert docs.account["live_waterfall_errors"] >= 1
    assert "over the edge of an image" in docs.account["live_waterfall_error"]
    assert caplog.text.count("over the edge of an image") == 1


def test_a_process_that_is_killed_costs_nothing_and_the_next_run_gets_another(
    engine, docs, cam, plot, pictures, later, caplog
):
    live = plot()
    first = live.pid
    later(lambda: cam.ledger.account.recorded > 40, lambda: os.kill(first, signal.SIGKILL))
    engine(record([cam], num=120))
    assert docs.stop["exit_status"] == "success"
    assert docs.told("cam_image") == 120
    assert caplog.text.count("the process that draws ended with -9") == 1
    assert live.wait_ready()
    assert live.pid not in (None, first)
    engine(record([cam], num=40))
    assert live.wait_drawn()
    assert_shows(kept(pictures, docs, "cam"), last_image(docs))


def last_image(docs: Any) -> NDArray[Any]:
    """Return the last frame of the last of several runs."""
    import h5py

    path = path_of(docs.of("stream_resource")[-1]["uri"])
    with h5py.File(path, swmr=True) as file:
        return file["entry/data/data"][-1]  # type: ignore[index]


def test_a_process_that_stands_still_does_not_slow_the_run_and_is_replaced(
    engine, docs, cam, plot, pictures, later, caplog, monkeypatch, wait_for
):
    live = plot()
    first = live.pid
    later(lambda: cam.ledger.account.recorded > 40, lambda: os.kill(first, signal.SIGSTOP))
    began = time.monotonic()
    engine(record([cam], num=120))
    assert time.monotonic() - began < 120 * FAST.period + 3.0
    assert docs.stop["exit_status"] == "success"
    assert docs.told("cam_image") == 120
    assert caplog.text.count("does not answer") == 1
    monkeypatch.setattr("beamstream.plots.process._HANGS", 0.0)
    live.start()
    monkeypatch.undo()
    assert live.wait_ready()
    assert live.pid != first
    wait_for(lambda: not psutil.pid_exists(first), what="the one that stood still to be gone")
    engine(record([cam], num=40))
    assert live.wait_drawn()
    assert_shows(kept(pictures, docs, "cam"), last_image(docs))


def test_ctrl_c_in_the_terminal_does_not_reach_it_and_sigterm_ends_it(plot, wait_for):
    live = plot()
    process = psutil.Process(live.pid)
    assert os.getsid(process.pid) != os.getsid(0)
    assert os.getpgid(process.pid) != os.getpgid(0)
    assert process.nice() >= 10 or os.nice(0) > 9
    process.terminate()
    wait_for(lambda: live.pid is None, what="it to end")


def test_it_ends_with_whoever_started_it(pictures, wait_for):
    code = f"""
import sys
from beamstream.callbacks.live import LiveImage
live = LiveImage(directory={str(pictures)!r})
live.wait_ready()
print(live.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_session_that_ends_leaves_none_behind(pictures, wait_for):
    code = f"""
from beamstream.callbacks.live import LiveImage
live = LiveImage(directory={str(pictures)!r})
live.wait_ready()
print(live.pid, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    wait_for(lambda: not psutil.pid_exists(int(done.stdout)))


@pytest.mark.parametrize(
    ("kind", "options", "match"),
    [
        (LiveImage, {"period": 0}, "period 0 given; use s above 0"),
        (LiveImage, {"percentile": (60, 50)}, "the smaller one first"),
        (LiveWaterfall, {"average": "lines"}, "use 'rows' or 'columns'"),
        (LiveWaterfall, {"profiles": 1}, "use 2 or more"),
        (LiveWaterfall, {"region": (0, 0, 0, 4)}, "use .row, col, n_rows, n_cols. in px"),
    ],
)
def test_wrong_options_are_refused_at_once(kind, options, match):
    with pytest.raises(ValueError, match=match):
        kind(**options)
