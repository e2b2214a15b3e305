"""Intensities, growth rates and strips of recorded frames: complete, right, and in the same run."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from growing import EPOCH, SPOT, Documents, frames_of, oscillating, play

from beamstream.archive.documents import Document
from beamstream.archive.interrupted import InterruptedRun
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.curves import Curves
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.growth_rate import GrowthRate
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.strip import Strip
from beamstream.errors import SinkError
from beamstream.frames import ColorMode
from beamstream.ops.growth_rate import growth_rate
from beamstream.sim.rheed import RheedScene, RheedSpec
from beamstream.sinks.hdf5_table import Hdf5Table, TableColumn

TIMES = np.arange(0, 30, 1 / 20)


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture
def chain(docs) -> Chain:
    return Chain(callbacks=[docs])


@pytest.fixture(scope="module")
def film():
    return frames_of(oscillating(0.5), TIMES)


def spot(frame):
    row, col, n_rows, n_cols = SPOT
    return frame.image[row : row + n_rows, col : col + n_cols].astype(np.float64)


# intensity


def test_every_frame_has_its_intensities_in_order_with_its_time(chain, docs, tmp_path, film):
    chain.add(Intensity({"spot": SPOT, "corner": (0, 0, 1, 1)}))
    play(chain, tmp_path, film)
    assert docs.rows("cam_spot_intensity").tolist() == pytest.approx([spot(f).mean() for f in film], rel=1e-12)
    assert docs.rows("cam_corner_intensity").tolist() == [float(f.image[0, 0]) for f in film]
    assert docs.rows("cam_intensity_time").tolist() == [f.timestamp for f in film]
    assert docs.of("stop")[-1]["num_events"]["primary_intensity"] == len(film)
    assert (docs.account["intensity_frames"], docs.account["intensity_undone"]) == (len(film), 0)


def test_the_descriptor_says_what_the_numbers_are(chain, docs, tmp_path, film):
    chain.add(Intensity({"spot": SPOT}))
    play(chain, tmp_path, film[:5], settings={"rotations_per_min": 12.0})
    descriptor = docs.descriptor("primary_intensity")
    key = descriptor["data_keys"]["cam_spot_intensity"]
    assert {k: key[k] for k in ("dtype", "dtype_numpy", "shape", "units", "external")} == {
        "dtype": "number",
        "dtype_numpy": "<f8",
        "shape": [],
        "units": "counts",
        "external": "STREAM:",
    }
    assert descriptor["configuration"]["cam_intensity"]["data"] == {
        "derived_from": "cam_image",
        "detector": "cam",
        "made": "intensity",
        "value": "mean of the region",
        "rotations_per_min": 12.0,
        "spot": list(SPOT),
    }


def test_documents_come_in_batches_and_not_one_a_frame(chain, docs, tmp_path, film):
    chain.add(Intensity({"spot": SPOT}))
    play(chain, tmp_path, film[:200], batch=1)
    mine = {d["uid"] for d in docs.of("stream_resource") if d["data_key"] == "cam_spot_intensity"}
    assert sum(d["stream_resource"] in mine for d in docs.of("stream_datum")) < 20


def test_without_regions_it_is_the_whole_image_and_its_colours(chain, docs, tmp_path):
    rng = np.random.default_rng(0)
    frames = frames_of(lambda _t: rng.integers(0, 4096, (8, 3, 9), np.uint16), TIMES[:10], ColorMode.RGB2)
    chain.add(Intensity())
    play(chain, tmp_path, frames)
    assert docs.rows("cam_image_intensity").tolist() == pytest.approx([f.image.mean() for f in frames])


def test_what_is_derived_has_intensities_too(chain, docs, tmp_path, film):
    class Doubled:
        def apply(self, image, meta):
            return image.astype(np.float32) * 2

    chain.add(Derive("doubled", Doubled))
    chain.add(Intensity({"spot": SPOT}, stream="doubled"))
    play(chain, tmp_path, film[:20])
    assert docs.rows("cam_doubled_spot_intensity").tolist() == pytest.approx([2 * spot(f).mean() for f in film[:20]])
    assert "primary_doubled_intensity" in docs.of("stop")[-1]["num_events"]


@pytest.mark.parametrize("kind", [Intensity, GrowthRate])
def test_a_region_outside_is_said_and_the_run_goes_on(chain, docs, tmp_path, film, kind, caplog):
    chain.add(kind({"spot": (20, 20, 20, 20)}))
    play(chain, tmp_path, film[:5])
    assert "spot of cam_image: statistics: region (20, 20, 20, 20)" in caplog.text
    assert "30 rows and 40 columns" in docs.account[f"{kind.name}_error"]
    assert docs.of("stop")[-1]["exit_status"] == "success"


@pytest.mark.parametrize("kind", [Intensity, GrowthRate])
@pytest.mark.parametrize("regions", [{"not a name": SPOT}, {"spot": (0, 0, 0, 1)}, {"spot": (0, -1, 1, 1)}])
def test_regions_that_cannot_be_are_refused_at_once(kind, regions):
    with pytest.raises(ValueError, match=r"region (named 'not a name'|spot is \(0, )"):
        kind(regions)


def test_what_a_killed_session_kept_is_found_again(chain, docs, tmp_path, film):
    chain.add(Intensity({"spot": SPOT}))
    play(chain, tmp_path, film)
    told = next(d for d in docs.of("stream_resource") if d["data_key"] == "cam_spot_intensity")
    datum = next(d for d in docs.of("stream_datum") if d["stream_resource"] == told["uid"])
    cut = docs.index(("stream_datum", datum))  # before any row of it was announced
    mine = [Document(n, d) for n, d in docs[:cut] if n not in ("stream_datum", "stop") and _is_of_intensity(n, d)]
    found = InterruptedRun(mine).unannounced()
    assert {d["indices"]["stop"] for d in found} == {len(film)}


def _is_of_intensity(name, doc):
    return name == "start" or "intensity" in doc.get("data_key", doc.get("name", ""))


# growth rate


def test_the_rate_is_told_about_once_a_second_and_right_within_one_per_cent(chain, docs, tmp_path, film):
    chain.add(GrowthRate({"spot": SPOT, "corner": (0, 0, 4, 4)}, window=10))
    play(chain, tmp_path, film)
    events = docs.events("primary_growth")
    times = [e["timestamps"]["cam_spot_growth_rate"] - EPOCH for e in events]
    assert np.diff(times).min() > 0.99
    assert 27 <= len(events) <= 30
    late = [e["data"] for e, t in zip(events, times, strict=True) if t > 9]
    for data in late:
        assert data["cam_spot_growth_rate"] == pytest.approx(0.5, rel=0.01)
        assert abs(data["cam_spot_growth_rate"] - 0.5) < 5 * data["cam_spot_growth_rate_sigma"]
        assert data["cam_spot_growth_amplitude"] > 5
        assert np.isnan(data["cam_corner_growth_rate"])
    assert np.isnan(events[0]["data"]["cam_spot_growth_rate"])
    assert docs.of("stop")[-1]["num_events"]["primary_growth"] == len(events)


def test_rates_are_the_same_however_documents_come(chain, docs, tmp_path, film):
    chain.add(GrowthRate({"spot": SPOT}))
    told = []
    for batch in (1, 37, 240):
        play(chain, tmp_path, film[:240], batch=batch)
        told.append(
            [(e["timestamps"]["cam_spot_growth_rate"], *e["data"].values()) for e in docs.events("primary_growth")]
        )
    assert len(told[0]) == 11
    np.testing.assert_array_equal(told[0], told[1])
    np.testing.assert_array_equal(told[0], told[2])


def test_rates_and_sigmas_are_hinted_and_curves_draw_them(chain, docs, tmp_path, film):
    import matplotlib.image
    import matplotlib.pyplot as plt

    curves = Curves(tmp_path / "plots")
    chain.add(curves)
    chain.add(GrowthRate({"spot": SPOT}))
    play(chain, tmp_path, film)
    plt.close("all")
    descriptor = docs.descriptor("primary_growth")
    assert descriptor["hints"]["cam_growth"]["fields"] == ["cam_spot_growth_rate", "cam_spot_growth_rate_sigma"]
    assert descriptor["data_keys"]["cam_spot_growth_rate"]["units"] == "1/s"
    (path,) = (tmp_path / "plots").glob("*growth_rate*.png")
    assert np.ptp(matplotlib.image.imread(path), axis=(0, 1)).max() > 0.5


def test_a_shutter_begins_the_window_anew(chain, docs, tmp_path):
    grow = oscillating(0.5)
    frames = frames_of(lambda t: grow(t) * np.uint8(not 14 < t < 16), np.arange(0, 30, 1 / 20))
    chain.add(GrowthRate({"spot": SPOT}))
    play(chain, tmp_path, frames)
    rates = {
        e["timestamps"]["cam_spot_growth_rate"] - EPOCH: e["data"]["cam_spot_growth_rate"]
        for e in docs.events("primary_growth")
    }
    assert all(np.isnan(rate) for t, rate in rates.items() if 14.2 < t < 20)
    assert [rate for t, rate in rates.items() if t > 25] == pytest.approx([0.5] * 4, rel=0.01)


def test_a_clock_that_is_set_back_does_not_end_it(chain, docs, tmp_path):
    grow = oscillating(0.5)
    frames = frames_of(grow, [*np.arange(100, 112, 1 / 20), *np.arange(0, 12, 1 / 20)])
    chain.add(GrowthRate({"spot": SPOT}))
    play(chain, tmp_path, frames)
    assert docs.account["growth_rate_error"] == ""
    last = docs.events("primary_growth")[-1]
    assert last["timestamps"]["cam_spot_growth_rate"] < EPOCH + 12
    assert last["data"]["cam_spot_growth_rate"] == pytest.approx(0.5, rel=0.01)


def test_a_clock_that_is_corrected_by_milliseconds_changes_nothing(chain, docs, tmp_path):
    grow = oscillating(0.5)
    times = np.arange(0, 20, 1 / 20)
    times[200:] -= 0.07
    chain.add(GrowthRate({"spot": SPOT}))
    play(chain, tmp_path, frames_of(grow, times))
    rates = [e["data"]["cam_spot_growth_rate"] for e in docs.events("primary_growth")]
    assert rates[9:] == pytest.approx([0.5] * len(rates[9:]), rel=0.01)


def test_the_rotation_of_the_sample_is_no_growth(chain, docs, tmp_path):
    grow = oscillating(0.41, noise=1.0, swing=10)
    frames = frames_of(lambda t: grow(t) + np.uint8(20 + 20 * np.cos(2 * np.pi * 0.2 * t)), np.arange(0, 22, 1 / 20))
    chain.add(GrowthRate({"spot": SPOT}))
    play(chain, tmp_path, frames)
    assert docs.events("primary_growth")[-1]["data"]["cam_spot_growth_rate"] == pytest.approx(0.2, rel=0.05)
    play(chain, tmp_path, frames, settings={"rotations_per_min": 12.0})
    assert docs.events("primary_growth")[-1]["data"]["cam_spot_growth_rate"] == pytest.approx(0.41, rel=0.01)
    ignored = docs.descriptor("primary_growth")["configuration"]["cam_growth"]["data"]["ignored"]
    assert ignored == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_a_kept_curve_gives_the_rate_afterwards(chain, docs, tmp_path, film):
    chain.add(Intensity({"spot": SPOT}))
    play(chain, tmp_path, film)
    found = growth_rate(docs.rows("cam_intensity_time"), docs.rows("cam_spot_intensity"))
    assert found.rate == pytest.approx(0.5, rel=0.003)


@pytest.mark.parametrize("options", [{"window": 0}, {"period": 0}, {"window": 1, "period": 2}, {"window": np.inf}])
def test_windows_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="0 < period <= window"):
        GrowthRate({}, **options)


# strip


def test_each_frame_is_a_row_of_the_strip(chain, docs, tmp_path, film):
    chain.add(Strip((10, 2, 6, 30)))
    play(chain, tmp_path, film)
    strip = docs.rows("cam_strip")
    assert (strip.shape, strip.dtype) == ((len(film), 30), np.float32)
    np.testing.assert_allclose(strip, [f.image[10:16, 2:32].mean(axis=0) for f in film], rtol=1e-6)
    assert docs.rows("cam_strip_time").tolist() == [f.timestamp for f in film]
    assert docs.descriptor("primary_strip")["data_keys"]["cam_strip"]["shape"] == [30]


@pytest.fixture(scope="module")
def turning() -> tuple[RheedScene, list]:
    scene = RheedScene(RheedSpec(shape=(48, 64), rotations_per_min=20.0, azimuth=30.0))
    return scene, frames_of(scene.image, np.arange(0, 12, 1 / 60))


def test_each_azimuth_has_a_strip_of_the_frames_that_see_it(chain, docs, tmp_path, turning):
    scene, frames = turning
    chain.add(Strip(angles=(0, 45, 350.0), tolerance=3))
    play(chain, tmp_path, frames, settings={"rotations_per_min": 20.0, "azimuth": 30.0})
    kept = 0
    for angle in (0, 45, 350):
        name = f"cam_strip_{angle:03d}"
        away = [abs((scene.azimuth(f.timestamp - EPOCH) - angle + 180) % 360 - 180) for f in frames]
        seen = [f for f, distance in zip(frames, away, strict=True) if distance <= 3 - 1e-3]
        assert len(seen) >= 8  # four turns
        times = docs.rows(f"{name}_time").tolist()
        assert set(times) >= {f.timestamp for f in seen}
        truth = [scene.azimuth(t - EPOCH) for t in times]
        assert np.abs((docs.rows(f"{name}_azimuth") - truth + 180) % 360 - 180).max() < 1e-3
        images = {f.timestamp: f.image for f in frames}
        np.testing.assert_allclose(docs.rows(name), [images[t].mean(axis=0) for t in times], rtol=1e-6)
        kept += len(times)
    assert docs.account["strip_skipped"] == len(frames) - kept
    about = docs.descriptor("primary_strip_045")["configuration"]["cam_strip_045"]["data"]
    assert (about["rotations_per_min"], about["azimuth"], about["reference"]) == (20.0, 30.0, frames[0].timestamp)


def test_options_say_how_it_turns_where_the_detector_does_not(chain, docs, tmp_path, turning):
    scene, frames = turning
    chain.add(Strip(angles=[90], tolerance=2, rotations_per_min=20, azimuth=30, reference=EPOCH))
    play(chain, tmp_path, frames[100:])
    for t in docs.rows("cam_strip_090_time"):
        assert scene.azimuth(t - EPOCH) == pytest.approx(90, abs=2.001)


@pytest.mark.parametrize(
    "options",
    [{"average": "both"}, {"tolerance": 0}, {"angles": (0, 0.2)}, {"angles": (0, 360)}, {"region": (0, 0, 0, 1)}],
)
def test_strips_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="strip: "):
        Strip(**options)


def test_a_band_outside_or_of_one_pixel_is_said_and_the_run_goes_on(chain, docs, tmp_path, film):
    chain.add(Strip((0, 39, 30, 1)))
    play(chain, tmp_path, film[:5])
    assert "one pixel" in docs.account["strip_error"]
    chain.add(Strip((0, 30, 30, 11)))
    play(chain, tmp_path, film[:5])
    assert "30 rows and 40 columns" in docs.account["strip_2_error"]  # of the second of this name


# the file


@pytest.fixture
def table(tmp_path) -> Iterator[Hdf5Table]:
    columns = {"line": TableColumn("<f4", "counts", (5,)), "when": TableColumn(units="s")}
    with Hdf5Table(tmp_path / "table.h5", columns, time="when", name="t", attributes={"about": {"a": 1}}) as table:
        yield table


def test_a_table_is_read_while_it_grows_and_is_nexus(table):
    lines = np.arange(50, dtype=np.float32).reshape(10, 5)
    assert table.append({"line": lines[:4], "when": range(4)}) == 4
    assert table.append({"line": lines[4:], "when": range(4, 10)}) == 10
    table.close()
    with h5py.File(table.path) as file:
        group = file["entry/data"]
        np.testing.assert_array_equal(group["line"], lines)
        assert (group.attrs["signal"], list(group.attrs["axes"]), group["when"].attrs["units"]) == (
            "line",
            ["when", "."],
            "s",
        )
        assert file["entry"].attrs["complete"] == 1


def test_rows_that_do_not_fit_are_refused_and_leave_the_others(table):
    table.append({"line": np.ones((2, 5)), "when": [1, 2]})
    with pytest.raises(SinkError, match="line of shape"):
        table.append({"line": np.ones((2, 4)), "when": [3, 4]})
    assert table.append({"line": np.ones((1, 5)), "when": [3]}) == 3


def test_a_file_that_exists_is_never_touched(tmp_path):
    path: Path = tmp_path / "mine.h5"
    path.write_text("mine")
    with pytest.raises(SinkError, match="exists"):
        Hdf5Table(path, {"a": TableColumn(), "t": TableColumn()}, time="t", name="x").open()
    assert path.read_text() == "mine"
