"""What callbacks derive, of a simulated growth as well, is served over HTTP like what was recorded."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import dask
import numpy as np
import pytest
from bluesky.plans import count
from bluesky.utils import RunEngineInterrupted
from ophyd import Device, EpicsSignal
from ophyd.status import DeviceStatus
from PIL import Image

from beamstream.archive.catalog import wait_for_run
from beamstream.archive.documents import Tail
from beamstream.archive.interrupted import InterruptedRun
from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.growth_rate import GrowthRate
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.live_growth import LiveGrowth
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.recorder import Recorder
from beamstream.callbacks.strip import Strip
from beamstream.frames import Geometry
from beamstream.ops.growth_rate import growth_rate
from beamstream.sim.beamline import CameraSpec
from beamstream.sim.rheed import RheedScene, RheedSpec
from plans.ledger import ledger_wrapper
from plans.record import record
from plans.references import darks, flats

dask.config.set(scheduler="synchronous")  # its pool of threads would outlive a test

RATE = 2.0
FILM = RheedSpec(shape=(64, 96), growth_rate=RATE, decay=40.0, rotations_per_min=60.0)
A = CameraSpec("CHAIN:A", Geometry((48, 64), "<u2"), period=0.005)
CAMERA = CameraSpec("CHAIN:R", Geometry(FILM.shape, "|u1"), period=0.02, scene="rheed", rheed=FILM)
ROW, COL, ROWS, COLS = RheedScene(FILM).region


@pytest.fixture(scope="module")
def cameras() -> tuple[CameraSpec, ...]:
    return (A, CAMERA)


@pytest.fixture
def corrected(engine, chain, docs, cam, home):
    """The uid of a corrected run, and of the flat that it was corrected with."""
    chain.add(ReferenceAverage(home / "recordings" / "references"))
    chain.add(FlatField(dark="latest", references=home / "recordings" / "references"))
    chain.add(LiveStats({"spot": (3, 5, 8, 8)}))
    chain.add(Recorder(home / "recordings" / "exports", publish=True))
    engine(darks(cam, 3))
    engine(flats(cam, 4))
    flat = docs.of("start")[-1]["uid"]
    docs.clear()
    engine(record([cam], num=30))
    return docs.of("start")[-1]["uid"], flat


def test_what_callbacks_made_is_served_beside_what_was_recorded(client, corrected, docs):
    wait_for_run(client, corrected[0], timeout=60)
    run = client[corrected[0]]
    raw = docs.images("cam_image")
    assert np.array_equal(run["primary/cam_image"].read(), raw)
    assert np.array_equal(run["primary_corrected/cam_corrected_image"].read(), docs.images("cam_corrected_image"))
    about = run["primary_corrected"].metadata["configuration"]["cam_corrected"]["data"]
    assert "I_flat" in about["formula"]
    assert corrected[1][:8] in about["flat_name"]
    assert np.array_equal(run["primary_tiff/cam_tiff_image"].read(), raw)  # a file a frame
    live, last = run["primary_live"].read(), raw[-1].astype(np.float64)
    assert (live["cam_live_total"][-1], live["cam_live_spot"][-1]) == (last.sum(), last[3:11, 5:13].sum())
    account = run["callbacks"].read()
    assert int(account["corrected_frames"][0]) == int(account["recorder_frames"][0]) == 30

    flat = client[corrected[1]]
    images = flat["primary/cam_image"].read().astype(np.float64)
    np.testing.assert_allclose(flat["primary_reference/cam_mean"].read()[0], images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(flat["primary_reference/cam_std"].read()[0], images.std(axis=0, ddof=1), rtol=1e-9)


def test_each_of_several_streams_has_its_own_frames(engine, docs, cam, client):
    """Darks between the images of a scan, all of them in the detector's one file."""

    @bpp.stage_decorator([cam])
    @bpp.run_decorator()
    def with_darks():
        for images in (2, 1, 3):
            yield from bps.trigger_and_read([cam], name="dark")
            yield from bps.repeat(partial(bps.trigger_and_read, [cam]), num=images)

    engine(with_darks())
    uid, images = docs.of("start")[-1]["uid"], docs.images("cam_image")
    wait_for_run(client, uid, timeout=60)
    for stream, rows in (("dark", [0, 3, 5]), ("primary", [1, 2, 4, 6, 7, 8])):
        served = client[uid][stream]
        assert np.array_equal(served["cam_image"].read(), images[rows])
        assert np.array_equal(served["cam_image"][-2:, 3], images[rows[-2:], 3])
        ids = served["cam_unique_id"].read()
        assert list(ids - ids[0]) == [row - rows[0] for row in rows]
        assert np.array_equal(served.read()["cam_stats_total"], images[rows].sum(axis=(1, 2), dtype=float))


class Counter(Device):
    """A point detector that does not end before it is told to."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.asked, self.may_end = threading.Event(), threading.Event()

    def trigger(self) -> DeviceStatus:
        self.asked.set()
        status = DeviceStatus(self)
        threading.Thread(target=lambda: (self.may_end.wait(20), status.set_finished()), name="counter").start()
        return status

    def read(self) -> dict:
        return {"counter": {"value": 1.0, "timestamp": 0.0}}

    def describe(self) -> dict:
        return {"counter": {"source": "test", "dtype": "number", "shape": []}}


def test_a_point_taken_again_after_a_pause_has_its_last_frame(engine, docs, cam, client, later):
    counter = Counter(name="counter")
    later(lambda: counter.asked.is_set() and cam.ledger.account.recorded > 0, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(count([cam, counter], 3))
    counter.may_end.set()
    engine.resume()
    uid, images, recorded = docs.of("start")[-1]["uid"], docs.images("cam_image"), cam.ledger.account.recorded
    wait_for_run(client, uid, timeout=60)
    assert recorded == 4
    read = client[uid]["primary"].read()
    assert np.array_equal(read["cam_image"], images[1:])
    assert np.array_equal(read["cam_stats_total"], images[1:].sum(axis=(1, 2), dtype=float))


def test_frames_derived_by_a_session_that_was_killed_are_found_again(engine, chain, docs, cam, home, served):
    chain.add(FlatField(np.full((48, 64), 2.0)))
    engine(count([cam], 5))
    uid = docs.of("start")[-1]["uid"]
    journal = next(p for p in (served.journal / "filed", served.journal) for p in p.glob(f"{uid}.jsonl"))
    documents = list(Tail(journal).read(1 << 24))
    derived = {doc["uid"] for name, doc in documents if name == "stream_resource" and "corrected" in doc["data_key"]}
    kept = [d for d in documents if d.name != "stop" and d[1].get("stream_resource") not in derived]
    unannounced = [d for d in InterruptedRun(kept).unannounced() if d["stream_resource"] in derived]
    assert {d["stream_resource"] for d in unannounced} == derived
    assert {d["indices"]["stop"] for d in unannounced} == {5}


def test_a_chain_feeds_a_tiled_writer_as_well_as_a_journal(engine, cam, client, docs):
    from bluesky_tiled_plugins import TiledWriter  # takes seconds

    mine = Chain(TiledWriter(client, batch_size=1), [FlatField(np.full((48, 64), 2.0)), docs])
    engine.dispatcher.unsubscribe_all()
    engine.preprocessors[:] = [ledger_wrapper]  # without the wrapper that waits: the stop document waits as well
    engine.subscribe(mine)
    engine(record([cam], num=10))
    run = client[docs.of("start")[-1]["uid"]]
    assert np.array_equal(run["primary_corrected/cam_corrected_image"].read(), docs.images("cam_corrected_image"))
    assert run.metadata["stop"]["num_events"]["primary_corrected"] == 10


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
    assert (account["intensity_frames"], account["live_growth_errors"]) == (280, 0)
    assert live.wait_drawn(30)
    assert live.drawn == 280
    (path,) = live_pictures(live)
    with Image.open(path) as picture:
        assert picture.size[1] > 900  # with the strips

    uid = docs.of("start")[-1]["uid"]
    wait_for_run(client, uid, timeout=60)
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
    signal = EpicsSignal("CHAIN:R:sim1:Source", name="source", string=True)
    signal.wait_for_connection(timeout=10)
    signal.put("Open", wait=True, timeout=10)
    signal.destroy()


def live_pictures(live: LiveGrowth) -> list[Path]:
    directory = Path(str(live._options["directory"]))
    return [path for path in directory.glob("*_growth.png") if path.name[:5].isdigit()]
