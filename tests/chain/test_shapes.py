"""Traces, stacks and colours from a real server: each callback works on them, or refuses in words before the first."""

import sys
from pathlib import Path

import bluesky.plans as bp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for read_formats

from PIL import Image
from read_formats import only

from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.derive import Derive
from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.growth_rate import GrowthRate
from beamstream.callbacks.intensity import Intensity
from beamstream.callbacks.live import LiveImage, LiveWaterfall
from beamstream.callbacks.live_stats import LiveStats
from beamstream.callbacks.recorder import Recorder
from beamstream.callbacks.strip import Strip
from beamstream.callbacks.uploader import RheedUploader
from beamstream.frames import ColorMode, Geometry
from beamstream.ops.filters import MedianFilter
from beamstream.references import ReferenceStore
from beamstream.sim.beamline import CameraSpec
from beamstream.sim.pattern import Pattern
from plans.record import record
from plans.references import flats

GEOMETRIES = {
    "TRACE": Geometry((500,), "<f8"),
    "STACK": Geometry((7, 40, 30), "<u2"),
    "DEEP": Geometry((2, 3, 20, 30), "<f4"),
    "CUBE": Geometry((40, 30, 3), "|u1"),
    "ROW": Geometry((1, 1, 500), "<i4"),
    "RGB": Geometry((40, 30, 3), "|u1", ColorMode.RGB1),
    "LZ4": Geometry((5, 40, 30), "<u2", codec="lz4"),
}
every = pytest.mark.parametrize("name", GEOMETRIES)


@pytest.fixture(scope="module")
def cameras():
    return tuple(CameraSpec(f"CHAIN:{name}", geometry, period=0.01) for name, geometry in GEOMETRIES.items())


def plain(name):
    g = GEOMETRIES[name]
    return Geometry(g.shape, g.dtype, g.color_mode)


def shown(name, docs):
    """Return the images that the camera showed, by the ids that were recorded."""
    import h5py

    with h5py.File(docs.path("cam_image"), swmr=True) as file:
        return np.stack([Pattern(plain(name)).image(i) for i in file["entry/data/unique_id"][:].tolist()])


@every
def test_every_value_is_recorded_and_counted(engine, docs, make, name):
    engine(record([make(f"CHAIN:{name}")], num=20))
    assert docs.stop["exit_status"] == "success"
    images = docs.images("cam_image")
    assert len(images) == 20
    np.testing.assert_array_equal(images, shown(name, docs))
    ledger = docs.events("ledger")[-1]["data"]
    assert (ledger["cam_ledger_recorded"], ledger["cam_ledger_lost"]) == (20, 0)


@every
def test_a_step_scan_reads_the_statistics_of_all_values(engine, docs, make, name):
    engine(bp.count([make(f"CHAIN:{name}")], 2))
    images = shown(name, docs).astype(float)
    read = [event["data"] for event in docs.events("primary")]
    assert [data["cam_stats_total"] for data in read] == pytest.approx([image.sum() for image in images])
    assert [data["cam_stats_max"] for data in read] == [image.max() for image in images]


@every
def test_numbers_curves_and_strips_are_made_of_them(engine, chain, docs, make, name):
    for callback in (LiveStats(), Intensity(required=True), Strip(required=True), GrowthRate()):
        chain.add(callback)
    engine(record([make(f"CHAIN:{name}")], num=20))
    assert docs.stop["exit_status"] == "success"
    errors = {key: value for key, value in docs.account.items() if key.endswith("_error") and value}
    assert errors == {}
    images = shown(name, docs).astype(float)
    assert (docs.account["intensity_frames"], docs.account["strip_frames"]) == (20, 20)
    import h5py

    with h5py.File(docs.path("cam_image_intensity")) as file:
        found = file["entry/data/image_intensity"][:]
    np.testing.assert_allclose(found, images.reshape(20, -1).mean(axis=1), rtol=1e-6)


@every
def test_a_region_outside_is_refused_in_words_before_the_first_frame(engine, chain, docs, make, name):
    chain.add(Intensity({"spot": (0, 900, 1, 10)}, required=True))
    with pytest.raises(Exception, match=r"intensity.*spot of cam_image.*columns"):
        engine(record([make(f"CHAIN:{name}")], num=5))


@every
def test_flats_are_taken_and_correct_them(engine, chain, docs, make, home, name):
    cam, store = make(f"CHAIN:{name}"), ReferenceStore(home / "recordings" / "references")
    chain.add(ReferenceAverage(store))
    engine(flats(cam, 5))
    chain.add(FlatField("latest", None, references=store))
    docs.clear()
    engine(record([cam], num=10))
    assert docs.account["corrected_error"] == ""
    corrected = docs.images("cam_corrected_image")
    assert corrected.shape == (10, *GEOMETRIES[name].shape)
    assert np.isfinite(corrected).all()


class Inverted:
    def apply(self, image, meta):
        return image.max() - image


@every
def test_ops_of_somebodys_own_get_them_as_they_are(engine, chain, docs, make, name):
    chain.add(Derive("inverted", Inverted, required=True))
    engine(record([make(f"CHAIN:{name}")], num=5))
    raw = shown(name, docs)
    np.testing.assert_array_equal(docs.images("cam_inverted_image"), [image.max() - image for image in raw])


@every
def test_ops_of_images_work_on_each_plane_and_refuse_a_trace_in_words(engine, chain, docs, make, name):
    chain.add(Derive("filtered", lambda: MedianFilter(3)))
    engine(record([make(f"CHAIN:{name}")], num=5))
    assert docs.stop["exit_status"] == "success"  # it is not required
    if name == "TRACE":
        assert "shape (500,) came; give it rows and columns" in docs.account["filtered_error"]
    else:
        assert docs.account["filtered_error"] == ""
        assert docs.images("cam_filtered_image").shape == (5, *GEOMETRIES[name].shape)


@pytest.mark.parametrize("name", ["TRACE", "STACK", "RGB"])
def test_a_flat_from_somebodys_npy_file_corrects_them(engine, chain, docs, make, tmp_path, name):
    flat = np.linspace(1, 2, np.prod(GEOMETRIES[name].shape)).reshape(GEOMETRIES[name].shape)
    np.save(tmp_path / "flat.npy", flat)
    chain.add(FlatField(tmp_path / "flat.npy", None, required=True))
    engine(record([make(f"CHAIN:{name}")], num=5))
    mean = flat.mean(axis=(0, 1)) if name == "RGB" else flat.mean()
    np.testing.assert_allclose(docs.images("cam_corrected_image"), shown(name, docs) * mean / flat, rtol=1e-5)


@every
def test_a_recorder_writes_them_in_its_format(engine, chain, docs, make, tmp_path, name):
    chain.add(Recorder(tmp_path / "out", format="npy"))
    engine(record([make(f"CHAIN:{name}")], num=5))
    np.testing.assert_array_equal(np.load(only(tmp_path / "out")), shown(name, docs))


@pytest.mark.parametrize("name", ["TRACE", "STACK", "DEEP"])
def test_a_film_of_them_is_refused_in_words_and_nothing_is_written(engine, chain, docs, make, tmp_path, name):
    chain.add(Recorder(tmp_path / "out", format="mp4"))
    with pytest.raises(Exception, match="takes pictures; use hdf5 or zarr"):
        engine(record([make(f"CHAIN:{name}")], num=5))
    assert not list((tmp_path / "out").rglob("*.*"))


@pytest.fixture(scope="module")
def plots(tmp_path_factory):
    """Two processes that draw, for all tests: each start takes a second."""
    made = [kind(directory=tmp_path_factory.mktemp("plots"), period=0.2) for kind in (LiveImage, LiveWaterfall)]
    assert all(plot.wait_ready() for plot in made)
    yield made
    for plot in made:
        plot.close()


@every
def test_pictures_are_drawn_of_them(engine, chain, docs, make, plots, name):
    for plot in plots:
        chain.add(plot)
    engine(record([make(f"CHAIN:{name}")], num=20))
    assert all(plot.wait_drawn() for plot in plots)
    assert {key: value for key, value in docs.account.items() if key.endswith("_error") and value} == {}
    start = docs.of("start")[-1]
    for plot, suffix in zip(plots, ("", "_waterfall"), strict=True):
        (path,) = Path(plot._options["directory"]).glob(f"*_{start['uid'][:8]}_cam{suffix}.png")
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize("name", ["TRACE", "STACK", "DEEP", "RGB"])
def test_an_upload_of_them_is_refused_in_words(engine, chain, docs, make, home, name):
    uploader = chain.add(RheedUploader(home, endpoint="http://127.0.0.1:9"))
    try:
        engine(record([make(f"CHAIN:{name}")], num=5))
    finally:
        uploader.close()
    assert docs.stop["exit_status"] == "success"
    size = " × ".join(map(str, GEOMETRIES[name].shape))
    assert f"images are {size}" in docs.account["rheed_uploader_error"]
    assert "rows and columns of grey" in docs.account["rheed_uploader_error"]
