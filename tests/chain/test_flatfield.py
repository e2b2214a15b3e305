"""Darks and flats are runs, and what was recorded is corrected with them in a stream of its own."""

import numpy as np
import pytest
from bluesky.plans import count

from beamstream.callbacks.average import ReferenceAverage
from beamstream.callbacks.flatfield import FlatField
from beamstream.references import ReferenceStore
from plans.record import record
from plans.references import darks, flats


@pytest.fixture
def store(tmp_path):
    return ReferenceStore(tmp_path / "recordings" / "references")


@pytest.fixture
def referenced(engine, chain, docs, cam, store):
    """Take a dark and a flat; return them as they are found again."""
    chain.add(ReferenceAverage(store))
    engine(darks(cam, 3))
    engine(flats(cam, 5))
    return {header.kind: store.load(header.path) for header in store.list()}


def corrected(raw, flat, dark=None):
    """The formula, in float64."""
    offset = 0.0 if dark is None else dark
    gain = np.mean(flat - offset) / (flat - offset)
    return (raw - offset) * gain


def test_a_reference_is_a_run_with_mean_and_standard_deviation_of_its_frames(engine, chain, docs, cam, store):
    chain.add(ReferenceAverage(store))
    engine(flats(cam, 7))
    (header,) = store.list("flat", "cam")
    flat = store.load(header.path)
    images = docs.images("cam_image").astype(np.float64)
    assert len(images) == flat.number == 7
    np.testing.assert_allclose(flat.mean, images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(flat.std, images.std(axis=0, ddof=1), rtol=1e-9)
    assert flat.run == docs.of("start")[-1]["uid"]
    assert flat.exposure == pytest.approx(cam.control.acquire_time.get())
    assert docs.path("cam_mean") == flat.path
    assert docs.stop["num_events"]["primary_reference"] == 1
    assert docs.of("start")[-1]["reference"] == "flat"


@pytest.mark.parametrize("output", ["float32", "raw"])
def test_frames_are_corrected_with_the_latest_references(engine, chain, docs, cam, store, referenced, output):
    chain.add(FlatField(dark="latest", references=store, output=output))
    docs.clear()
    engine(record([cam], num=50, flush_period=0.1))
    raw, made = docs.images("cam_image"), docs.images("cam_corrected_image")
    flat, dark = referenced["flat"].mean, referenced["dark"].mean
    live = flat - dark > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(live, np.mean((flat - dark)[live]) / (flat - dark), 0.0)
    exact = (raw - dark) * gain
    assert made.shape == raw.shape
    if output == "float32":
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, exact, rtol=1e-5, atol=1e-2)
    else:
        assert made.dtype == np.uint16
        assert np.abs(made - np.clip(np.rint(exact), 0, 65535)).max() <= 1
    key = docs.descriptor("primary_corrected")["data_keys"]["cam_corrected_image"]
    assert (key["pixel_size"], key["pixel_units"]) == ([6.5, 6.5], "um")
    about = docs.descriptor("primary_corrected")["configuration"]["cam_corrected"]["data"]
    assert referenced["flat"].run[:8] in about["flat_name"]
    assert referenced["dark"].run[:8] in about["dark_name"]
    assert about["derived_from"] == "cam_image"


def test_runs_that_take_references_are_not_corrected(engine, chain, docs, cam, store, referenced):
    chain.add(FlatField(references=store))
    engine(flats(cam, 3))
    assert "primary_corrected" not in {d["name"] for d in docs.of("descriptor")}


def test_a_missing_flat_ends_the_run_before_its_first_frame_and_says_what_to_do(engine, chain, docs, cam, store):
    chain.add(FlatField(references=store))
    with pytest.raises(Exception, match=r"flat .*asked for, there is none"):
        engine(record([cam], num=5))
    assert docs.stop["exit_status"] == "fail"
    assert "flats(cam" in docs.stop["reason"]


def test_without_a_flat_an_optional_correction_costs_the_run_nothing(engine, chain, docs, cam, store):
    chain.add(FlatField(references=store, required=False))
    engine(record([cam], num=5))
    assert docs.stop["exit_status"] == "success"
    assert docs.told("cam_image") == 5
    assert "there is none" in docs.account["corrected_error"]


def test_a_flat_of_another_geometry_is_refused_with_both_shapes(engine, chain, docs, cam, store):
    chain.add(FlatField(np.ones((10, 12)), references=store))
    with pytest.raises(Exception, match=r"10 × 12.*48 × 64"):
        engine(record([cam], num=5))


def test_a_stale_flat_is_refused_with_its_age(engine, chain, docs, cam, store, referenced):
    chain.add(FlatField(references=store, max_age=1e-3))
    with pytest.raises(Exception, match="old"):
        engine(record([cam], num=5))


def test_a_run_of_references_that_ends_early_makes_none(engine, chain, docs, cam, store, later):
    chain.add(ReferenceAverage(store))
    later(lambda: docs.of("stream_datum"), lambda: engine.abort("enough"))
    with pytest.raises(Exception):  # noqa: B017  # bluesky says RunEngineInterrupted
        engine(flats(cam, 100_000))
    assert store.list() == []
    assert docs.stop["exit_status"] == "abort"


def test_colours_are_corrected_each_for_itself(engine, chain, docs, make, store):
    colour = make("CHAIN:C", name="colour")
    chain.add(ReferenceAverage(store))
    engine(flats(colour, 4))
    flat = store.load(store.list()[0].path).mean
    chain.add(FlatField(references=store))
    docs.clear()
    engine(count([colour], 3))
    raw, made = docs.images("colour_image"), docs.images("colour_corrected_image")
    live = flat > 0
    mean = np.array([flat[:, c][live[:, c]].mean() for c in range(3)])[None, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = np.where(live, raw / flat * mean, 0.0)
    np.testing.assert_allclose(made, exact, rtol=1e-5, atol=1e-3)
