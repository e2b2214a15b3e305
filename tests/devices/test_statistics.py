"""Each event of a step scan has numbers of its own frame, and plots have a curve; flights have none."""

from dataclasses import replace

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import event_model
import h5py
import hdf5plugin  # noqa: F401, readers of compressed frames need it
import matplotlib as mpl
import numpy as np
import pytest
from bluesky.callbacks import LiveTable
from bluesky.callbacks.best_effort import BestEffortCallback
from ophyd import EpicsMotor, EpicsSignal

from beamstream.errors import SinkError
from beamstream.frames import ColorMode, Geometry
from beamstream.ops import statistics
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.pattern import Pattern
from beamstream.sim.process import SimProcess
from plans.record import record

CAMERAS = {
    "DEV:A": Geometry((96, 128), "<u2"),
    "DEV:F": Geometry((64, 64), "|u1"),
    "DEV:Z": Geometry((64, 64), "<u2", codec="bslz4"),
    "DEV:C": Geometry((3, 48, 64), "|u1", ColorMode.RGB3),
    "DEV:N": Geometry((48, 64), "<f4"),
}
UNITS = dict.fromkeys(("total", "mean", "min", "max", "std"), "counts") | dict.fromkeys(
    ("centroid_row", "centroid_col", "saturated"), "pixels"
)
KEYS = {f"cam_stats_{name}" for name in UNITS}


@pytest.fixture(scope="module")
def beamline():
    cameras = [CameraSpec(p, g, period=0.005, free_running=p == "DEV:F") for p, g in CAMERAS.items()]
    with SimProcess(Beamline(tuple(cameras), (MotorSpec("DEV:stats", velocity=50.0),))) as process:
        # caproto looks for what it knew from the last beamline every 8 s, unless it looks for something new
        new = EpicsSignal("DEV:stats.VELO", name="velocity")
        new.wait_for_connection(timeout=10)
        new.destroy()
        yield process


@pytest.fixture
def motor(beamline):
    motor = EpicsMotor("DEV:stats", name="motor")
    motor.wait_for_connection(timeout=10)
    yield motor
    motor.destroy()


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """One entry for each frame that is measured, by the real thing."""
    calls: list[int] = []
    real = statistics.frame_statistics

    def counted(image, **kwargs):
        calls.append(len(calls))
        return real(image, **kwargs)

    monkeypatch.setattr(statistics, "frame_statistics", counted)
    return calls


def _true(image: np.ndarray, axes: tuple[int, int] = (0, 1)) -> dict[str, float]:
    """Return what the numbers should be, by the book; `axes` are rows and columns."""
    pixels = image.astype(float)
    total = pixels.sum()
    other = [tuple(a for a in range(image.ndim) if a != axis) for axis in axes]
    row, col = (pixels.sum(o) @ np.arange(image.shape[axis]) / total for o, axis in zip(other, axes, strict=True))
    saturated = np.sum(image == np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 0
    values = (total, pixels.mean(), pixels.min(), pixels.max(), pixels.std(), row, col, saturated)
    return {f"cam_stats_{n}": float(v) for n, v in zip(UNITS, values, strict=True)}


def _steps(docs) -> list[dict]:
    (uid,) = [d["uid"] for d in docs.of("descriptor") if d["name"] == "primary"]
    return [d for d in docs.of("event") if d["descriptor"] == uid]


def _assert_each_event_is_of_its_own_frame(docs, cam, geometry: Geometry, axes=(0, 1)) -> None:
    with h5py.File(cam.path) as file:
        images, ids = file["entry/data/data"][:], file["entry/data/unique_id"][:].tolist()
    events = _steps(docs)
    assert len(events) == len(images) >= 2
    for event, image, unique_id in zip(events, images, ids, strict=True):
        np.testing.assert_array_equal(image, Pattern(geometry).image(unique_id))
        values = {key: value for key, value in event["data"].items() if "_stats_" in key}
        assert values == pytest.approx(_true(image, axes), rel=1e-6)
    assert len({e["data"]["cam_stats_total"] for e in events}) > 1  # the test could not tell one frame from another


def _without_hurry(detectors, num: int, until):
    """Take frames as `count` does, but let time pass between a frame and the reading of its numbers."""

    @bpp.stage_decorator(detectors)
    @bpp.run_decorator()
    def inner():
        for _ in range(num):
            yield from bps.trigger(detectors[0], wait=True)
            until()
            yield from bps.create("primary")
            yield from bps.read(detectors[0])
            yield from bps.save()

    return inner()


@pytest.mark.parametrize("prefix", ["DEV:A", "DEV:Z", "DEV:N"], ids=["integers", "compressed", "floats"])
def test_count_has_the_numbers_of_the_frame_recorded_for_each_event(engine, docs, make, prefix):
    cam = make(prefix)
    engine(bp.count([cam], num=3))
    _assert_each_event_is_of_its_own_frame(docs, cam, CAMERAS[prefix])


def test_colours_count_together_and_the_centroid_is_in_pixels(engine, docs, make):
    cam = make("DEV:C")
    engine(bp.count([cam], num=3))
    _assert_each_event_is_of_its_own_frame(docs, cam, CAMERAS["DEV:C"], axes=(1, 2))


@pytest.mark.parametrize("frames", [2048, 48], ids=["in-the-ring", "in-the-file"])
def test_a_camera_that_runs_on_does_not_change_the_numbers_of_a_frame(engine, docs, make, wait_for, frames):
    cam = make("DEV:F", control=False, ring_memory=frames * CAMERAS["DEV:F"].nbytes)

    def later_frames_have_come() -> None:
        stop, accepted = cam.ring.bounds()[1], cam._recording._last_accepted
        wait_for(lambda: cam.ring.bounds()[1] > stop + 60)
        assert (cam.ring.bounds()[0] > accepted) is (frames < 60)

    engine(_without_hurry([cam], 5, later_frames_have_come))
    _assert_each_event_is_of_its_own_frame(docs, cam, CAMERAS["DEV:F"])


def test_a_compressed_frame_that_left_the_ring_is_read_from_its_file(engine, docs, make, wait_for):
    cam = make("DEV:Z", ring_memory=4 << 14)

    def pushed_out() -> None:
        frame = cam.ring.frame(cam._recording._last_accepted)
        for _ in range(5):  # the camera waits for its next trigger: nobody else writes
            cam.ring.put(replace(frame, payload=np.zeros(64, np.uint8)))

    engine(_without_hurry([cam], 3, pushed_out))
    _assert_each_event_is_of_its_own_frame(docs, cam, CAMERAS["DEV:Z"])


def test_a_scan_draws_a_curve_and_has_a_column(engine, docs, make, motor, capsys):
    with mpl.rc_context({"figure.max_open_warning": 0}):
        mpl.use("Agg", force=True)
        import matplotlib.pyplot as plt

        cam, curves = make(), BestEffortCallback()
        engine.subscribe(curves)
        engine(bp.scan([cam], motor, 0, 1, 3))
        _assert_each_event_is_of_its_own_frame(docs, cam, CAMERAS["DEV:A"])
        axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes]
        lines = [line for ax in axes if ax.get_ylabel() == "cam_stats_total" for line in ax.get_lines()]
        x, y = lines[0].get_data()
        plt.close("all")
    np.testing.assert_allclose(x, [0, 0.5, 1])
    np.testing.assert_allclose(y, [e["data"]["cam_stats_total"] for e in _steps(docs)])
    table = capsys.readouterr().out
    assert "cam_stats_total" in table
    assert "cam_stats_mean" not in table


def test_a_table_can_have_any_of_them(engine, docs, make, capsys):
    cam = make()
    engine(bp.count([cam], num=2), LiveTable(["cam_stats_std"]))
    assert "cam_stats_std" in capsys.readouterr().out


def test_the_data_keys_are_numbers_with_units_and_the_documents_are_valid(engine, docs, make):
    cam = make()
    engine(bp.count([cam], num=2))
    (descriptor,) = (d for d in docs.of("descriptor") if d["name"] == "primary")
    for name, units in UNITS.items():
        key = descriptor["data_keys"][f"cam_stats_{name}"]
        assert (key["dtype"], key["shape"], key["units"]) == ("number", [], units)
    assert descriptor["hints"]["cam"] == {"fields": ["cam_stats_total"]}
    for name, doc in docs:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def test_the_time_of_the_numbers_is_that_of_the_exposure(engine, docs, make):
    cam = make()
    engine(bp.count([cam], num=2))
    with h5py.File(cam.path) as file:
        exposed = file["entry/data/timestamp"][:].tolist()
    assert [e["timestamps"]["cam_stats_total"] for e in _steps(docs)] == exposed


def test_a_frame_is_measured_once_and_only_when_somebody_reads(engine, make, computed):
    cam = make()
    cam.stage()
    cam.describe()
    cam.read()
    assert not computed
    cam.trigger().wait(10)
    cam.describe()
    assert not computed
    first = cam.read()
    assert first == cam.read()
    assert len(computed) == 1
    cam.unstage()
    assert cam.stats.total.get() == first["cam_stats_total"]["value"]


def test_a_frame_that_is_still_in_the_ring_is_not_read_from_the_disk(make):
    cam = make()
    cam.stage()
    cam.trigger().wait(10)
    cam.path.unlink()
    assert cam.stats.total.get() > 0
    with pytest.raises(SinkError, match="deleted"):
        cam.unstage()


def test_readings_and_their_description_have_the_same_keys_before_and_after_a_trigger(make):
    cam = make()
    for _ in cam.stage(), cam.trigger().wait(10):
        numbers = {key for key, described in cam.describe().items() if "external" not in described}
        assert numbers == set(cam.read()) == {"cam_lost"} | KEYS
    cam.unstage()


def test_numbers_are_zero_until_a_trigger_of_this_run_has_brought_a_frame(make, faults):
    cam = make(timeout=1.0)
    before = {key: reading["value"] for key, reading in cam.stats.read().items()}
    assert before == dict.fromkeys(KEYS, 0.0)
    cam.stage()
    cam.trigger().wait(10)
    assert cam.stats.total.get() > 0
    faults("SilentAfter", 0)
    failed = cam.trigger()
    assert cam.stats.total.get() == 0
    with pytest.raises(Exception, match="no frame for"):
        failed.wait(20)
    assert cam.stats.total.get() == 0
    cam.unstage()
    cam.stage()
    assert cam.stats.total.get() == 0
    cam.unstage()


def test_switched_off_there_are_no_keys_and_nothing_is_computed(engine, docs, make, computed):
    cam = make()
    cam.stats.kind = "omitted"
    engine(bp.count([cam], num=2))
    (descriptor,) = (d for d in docs.of("descriptor") if d["name"] == "primary")
    assert not KEYS & set(descriptor["data_keys"])
    assert not [key for event in _steps(docs) for key in event["data"] if "_stats_" in key]
    assert descriptor["hints"]["cam"] == {"fields": []}
    assert not computed


def test_a_flight_has_no_numbers_and_none_are_hinted_at(engine, docs, make, computed, caplog, capsys):
    mpl.use("Agg", force=True)
    cam = make()
    engine.subscribe(BestEffortCallback())
    engine(bp.count([cam], num=1))
    computed.clear()
    docs.clear()
    engine(record([cam], num=20, flush_period=0.1))
    (descriptor,) = (d for d in docs.of("descriptor") if d["name"] == "primary")
    arrays = ("image", "unique_id", "timestamp", "received", "attr_Model", "attr_AcquireTime")
    assert set(descriptor["data_keys"]) == {f"cam_{key}" for key in arrays}
    assert descriptor["hints"]["cam"] == {"fields": []}
    assert not computed
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    engine(bp.count([cam], num=1))
    assert docs.of("descriptor")[-2]["hints"]["cam"] == {"fields": ["cam_stats_total"]}
