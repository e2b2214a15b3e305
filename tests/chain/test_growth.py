"""A simulated growth, filmed: its intensities, rates and strips are in the run, and served like what was recorded."""

from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
from PIL import Image

from beamstream.archive.catalog import connect, wait_for_run
from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server
from beamstream.callbacks.growth_rate import GrowthRate
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.live_growth import LiveGrowth
from beamstream.callbacks.strip import Strip
from beamstream.frames import Geometry
from beamstream.ops.growth_rate import growth_rate
from beamstream.sim.beamline import CameraSpec
from beamstream.sim.rheed import RheedScene, RheedSpec
from plans.record import record

dask.config.set(scheduler="synchronous")  # its pool of threads would outlive a test

RATE = 2.0
FILM = RheedSpec(shape=(64, 96), growth_rate=RATE, decay=40.0, rotations_per_min=60.0)
CAMERA = CameraSpec("CHAIN:R", Geometry(FILM.shape, "|u1"), period=0.02, scene="rheed", rheed=FILM)
ROW, COL, ROWS, COLS = RheedScene(FILM).region


@pytest.fixture(scope="module")
def cameras() -> tuple[CameraSpec, ...]:
    return (CAMERA,)


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Layout]:
    layout = Layout(tmp_path_factory.mktemp("archive"))
    with running_server(layout.directory):
        yield layout


@pytest.fixture
def home(served) -> Path:
    return served.directory


@pytest.fixture
def client(served):
    client = connect(served.directory)
    yield client
    client.context.close()


@pytest.fixture
def live(tmp_path) -> Iterator[LiveGrowth]:
    live = LiveGrowth(directory=tmp_path / "pictures", period=0.5)
    assert live.wait_ready()
    yield live
    live.close()


def test_a_growth_is_measured_while_it_is_filmed_and_queried_afterwards(engine, chain, docs, make, client, live):
    region = (ROW, COL, ROWS, COLS)
    chain.add(Intensity({"specular": region}))
    chain.add(GrowthRate({"specular": region}, rotations_per_min=0))
    chain.add(Strip((ROW, 0, ROWS, 96)))
    chain.add(Strip((ROW, 0, ROWS, 96), angles=(0, 180), tolerance=15, rotations_per_min=60, name="turned"))
    chain.add(live)
    source = make("CHAIN:R")
    open_the_source()
    engine(record([source], num=280, flush_period=0.5))

    last = docs.events("primary_growth")[-1]["data"]
    assert last["cam_specular_growth_rate"] == pytest.approx(RATE, rel=0.01)
    assert last["cam_specular_growth_rate_sigma"] < 0.01 * RATE
    account = docs.account
    assert (account["intensity_frames"], account["live_growth_drawn"], account["live_growth_errors"]) == (280, 280, 0)
    assert live.wait_drawn(30)
    (path,) = live_pictures(live)
    with Image.open(path) as picture:
        assert picture.size[1] > 900  # with the strips

    uid = docs.of("start")[-1]["uid"]
    wait_for_run(client, uid)
    run = client[uid]
    raw = docs.images("cam_image").astype(np.float64)
    curve = run["primary_intensity"]
    spot = curve["cam_specular_intensity"].read()
    np.testing.assert_allclose(spot, raw[:, ROW : ROW + ROWS, COL : COL + COLS].mean(axis=(1, 2)), rtol=1e-12)
    found = growth_rate(curve["cam_intensity_time"].read(), spot)
    assert found is not None
    assert found.rate == pytest.approx(RATE, rel=0.01)
    strip = run["primary_strip"]["cam_strip"].read()
    np.testing.assert_allclose(strip, raw[:, ROW : ROW + ROWS].mean(axis=1), rtol=1e-5)
    turned = run["primary_strip_180"]
    assert turned["cam_strip_180"].shape == (len(turned["cam_strip_180_time"].read()), 96)
    assert np.abs(turned["cam_strip_180_azimuth"].read() - 180).max() <= 15
    rates = run["primary_growth"].read()["cam_specular_growth_rate"]
    assert np.isnan(float(rates[0]))
    assert float(rates[-1]) == last["cam_specular_growth_rate"]


def open_the_source() -> None:
    from ophyd import EpicsSignal

    signal = EpicsSignal("CHAIN:R:sim1:Source", name="source", string=True)
    signal.wait_for_connection(timeout=10)
    signal.put("Open", wait=True, timeout=10)
    signal.destroy()


def live_pictures(live: LiveGrowth) -> list[Path]:
    directory = Path(str(live._options["directory"]))
    return [path for path in directory.glob("*_growth.png") if path.name[:5].isdigit()]
