"""Numbers about frames for tables and curves: in events of the same run, shown by bluesky's own callbacks."""

import matplotlib.image
import numpy as np
import pytest
from bluesky.callbacks import LiveTable
from bluesky.plans import count, scan
from ophyd import EpicsMotor

from beamstream.callbacks.curves import Curves
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.live_stats import LiveStats
from plans.record import record


class Doubled:
    def apply(self, image, meta):
        return image.astype(np.float32) * 2


@pytest.fixture
def motor(beamline):
    motor = EpicsMotor("CHAIN:M", name="motor")
    motor.wait_for_connection(timeout=10)
    yield motor
    motor.destroy()


@pytest.fixture
def curves(tmp_path):
    curves = Curves(tmp_path / "plots")
    yield curves
    import matplotlib.pyplot as plt

    plt.close("all")


def test_each_step_has_its_numbers_and_they_are_those_of_its_frame(engine, chain, docs, cam):
    chain.add(LiveStats({"spot": (4, 6, 10, 12)}))
    engine(count([cam], 5, delay=0.1))
    images = docs.images("cam_image").astype(np.float64)
    events = {e["data"]["cam_live_unique_id"]: e["data"] for e in docs.events("primary_live")}
    assert len(events) >= 4  # the newest of what is told at once
    with_ids = dict(zip(ids(docs), images, strict=True))
    for unique_id, data in events.items():
        image = with_ids[unique_id]
        assert data["cam_live_total"] == image.sum()
        assert data["cam_live_max"] == image.max()
        assert data["cam_live_spot"] == image[4:14, 6:18].sum()
        rows = np.arange(48) @ image.sum(axis=1) / image.sum()
        assert data["cam_live_centroid_row"] == pytest.approx(rows)


def ids(docs):
    import h5py

    with h5py.File(docs.path("cam_image"), swmr=True) as file:
        return file["entry/data/unique_id"][:].tolist()


def test_a_flight_is_looked_at_now_and_then_and_the_rest_counted(engine, chain, docs, cam):
    chain.add(LiveStats())
    engine(record([cam], num=200, flush_period=0.2))
    looked = len(docs.events("primary_live"))
    assert 2 <= looked < 100
    assert docs.account["live_stats_frames"] == looked
    assert docs.account["live_stats_skipped"] == 200 - looked
    assert docs.stop["num_events"]["primary_live"] == looked


def test_corrected_frames_have_numbers_too(engine, chain, docs, cam):
    chain.add(Derive("doubled", Doubled))
    chain.add(LiveStats(stream="doubled"))
    engine(record([cam], num=20))
    last = docs.events("primary_doubled_live")[-1]["data"]
    assert last["cam_doubled_live_total"] == 2 * docs.images("cam_image")[-1].astype(np.float64).sum()


def test_tables_and_curves_of_a_flight_show_them(engine, chain, docs, cam, curves, capsys):
    chain.add(LiveStats())
    chain.add(LiveTable(["cam_live_max"], stream_name="primary_live"))
    chain.add(curves)
    engine(record([cam], num=100, flush_period=0.2))
    table = capsys.readouterr().out
    assert "cam_live_max" in table
    assert f"{docs.events('primary_live')[-1]['data']['cam_live_max']:.3f}" in table
    assert list(curves.directory.glob("*.png"))


def test_a_flight_without_numbers_prints_no_table(engine, chain, docs, cam, curves, capsys):
    chain.add(curves)
    engine(record([cam], num=10))
    assert capsys.readouterr().out == ""
    assert not curves.directory.exists()


def test_a_scan_prints_a_table_and_keeps_its_curve_where_there_is_no_display(
    engine, chain, docs, cam, motor, curves, capsys
):
    chain.add(curves)
    engine(scan([cam], motor, 0, 1, 4))
    table = capsys.readouterr().out
    assert "cam_stats_total" in table
    (path,) = curves.directory.glob("*cam_stats_total*.png")
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 200
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("name", ["mean", "not a name"])
def test_a_region_needs_a_name_of_its_own(name):
    with pytest.raises(ValueError, match="region named"):
        LiveStats({name: (0, 0, 1, 1)})
