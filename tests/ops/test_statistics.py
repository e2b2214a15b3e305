"""Frame statistics against plain float64 and whole-number evaluation: every pixel type, colours, regions, extremes."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.frames import ColorMode
from beamstream.ops.intensity import mean_intensity
from beamstream.ops.statistics import frame_statistics, roi_sum
from beamstream.ops.strip import line_profile

INTEGERS = ["u1", "i1", "<u2", ">u2", "i2", "u4", ">i4", "u8", "i8"]
FLOATS = ["<f4", ">f4", "f8"]
RGB = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}


@st.composite
def images(draw, dtypes):
    """Draw an image with rows, columns, colours in this order, extremes in it, and a region or None."""
    rows, columns, colours = draw(st.integers(1, 9)), draw(st.integers(1, 40)), draw(st.sampled_from([1, 3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = (rows, columns, colours)
    if dtype.kind == "f":
        image = rng.normal(100, 50, shape).astype(dtype)
        image[rng.random(shape) < draw(st.sampled_from([0, 0.2, 1]))] = rng.choice([np.nan, np.inf, -np.inf])
    else:
        limits = np.iinfo(dtype)
        image = rng.integers(limits.min, limits.max, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)
        image[rng.random(shape) < draw(st.sampled_from([0, 0.3, 1]))] = draw(st.sampled_from([limits.max, limits.min]))
    row, column = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    region = (row, column, draw(st.integers(1, rows - row)), draw(st.integers(1, columns - column)))
    return image, draw(st.sampled_from([None, region]))


def arrangements(image):
    """Yield each memory order that these rows, columns and colours can have, with its colour mode."""
    if image.shape[2] == 1:
        yield ColorMode.MONO, image[:, :, 0]
        yield ColorMode.BAYER, image[:, :, 0]
    else:
        for mode, axis in RGB.items():
            yield mode, np.ascontiguousarray(np.moveaxis(image, 2, axis))
            yield mode, np.moveaxis(image, 2, axis)


def centroid(weights):
    """Return the weighted mean position, in exact arithmetic for integers."""
    total = sum(weights)
    if not 0 < total < math.inf:
        return (len(weights) - 1) / 2
    return float(sum(i * w for i, w in enumerate(weights)) / total)


@given(images(INTEGERS + FLOATS))
@settings(deadline=None, max_examples=150)
def test_every_number_is_that_of_a_plain_evaluation(drawn):
    image, region = drawn
    row, column, n_rows, n_cols = region or (0, 0, *image.shape[:2])
    part = image[row : row + n_rows, column : column + n_cols]
    finite = np.isfinite(part)
    values = [v.item() for v in part[finite]]
    exact = np.where(finite, part, 0).astype(object)
    for mode, arranged in arrangements(image):
        got = frame_statistics(arranged, color_mode=mode, roi=region)
        assert got.not_finite == (~finite).sum()
        assert got.total == pytest.approx(float(sum(values)), rel=0 if part.dtype.kind in "iu" else 1e-12, abs=0)
        assert roi_sum(arranged, (row, column, n_rows, n_cols), color_mode=mode) == pytest.approx(got.total, rel=1e-12)
        assert (got.min, got.max) == ((min(values), max(values)) if values else (0, 0))
        assert got.saturated == (sum(v == np.iinfo(part.dtype).max for v in values) if part.dtype.kind in "iu" else 0)
        mean = sum(values) / len(values) if values else 0.0
        spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values)) if values else 0.0
        scale = max(map(abs, values), default=0)
        assert got.mean == pytest.approx(mean, rel=1e-12, abs=1e-12 * scale)
        assert got.std == pytest.approx(spread, rel=1e-9, abs=1e-12 * scale)
        assert got.centroid_row == pytest.approx(row + centroid(exact.sum(axis=(1, 2))), rel=1e-6, abs=1e-6)
        assert got.centroid_col == pytest.approx(column + centroid(exact.sum(axis=(0, 2))), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i8"])
def test_the_total_of_a_full_detector_at_its_limit_is_exact(dtype):
    top = int(np.iinfo(dtype).max)
    image = np.full((1024, 1024), top, dtype)
    got = frame_statistics(image)
    assert got.total == float(top << 20)
    assert roi_sum(image, (0, 0, 1024, 1024)) == got.total
    assert (got.saturated, got.min, got.max) == (1 << 20, top, top)
    assert got.centroid_row == got.centroid_col == pytest.approx(511.5)
    assert got.std <= 1e-9 * top


def test_a_bright_spot_is_found_in_pixels_of_the_whole_image():
    image = np.zeros((480, 640), "u2")
    image[100, 200], image[102, 206] = 3000, 1000
    for region in (None, (90, 150, 30, 100)):
        got = frame_statistics(image, roi=region)
        assert (got.centroid_row, got.centroid_col) == (100.5, 201.5)
        assert (got.total, got.max) == (4000, 3000)


def test_without_intensity_the_centroid_is_the_middle():
    dark = np.zeros((5, 8), "u2")
    assert (frame_statistics(dark).centroid_row, frame_statistics(dark).centroid_col) == (2.0, 3.5)
    below = frame_statistics(dark.astype("i2") - 3, roi=(2, 4, 3, 2))
    assert (below.centroid_row, below.centroid_col) == (3.0, 4.5)


def test_a_small_spread_on_a_high_level_is_not_lost():
    image = np.full((300, 300), 4_000_000_000, "u4")
    image[::2] += 2
    assert frame_statistics(image).std == pytest.approx(1.0, rel=1e-9)
    assert frame_statistics(image.astype("f8")).std == pytest.approx(1.0, rel=1e-9)


def test_the_numbers_are_plain_and_fit_json():
    for dtype in ("u2", "i8", "f4"):
        got = dataclasses.asdict(frame_statistics(np.ones((3, 3), dtype)))
        assert json.loads(json.dumps(got, allow_nan=False)) == got
        assert {type(v) for v in got.values()} == {int, float}
    nothing = frame_statistics(np.full((3, 3), np.nan))
    json.dumps(dataclasses.asdict(nothing), allow_nan=False)
    assert (nothing.not_finite, nothing.total) == (9, 0.0)


@pytest.mark.parametrize(
    "region", [(-1, 0, 2, 2), (0, 0, 0, 2), (0, 0, 2, 0), (3, 0, 2, 2), (0, 5, 1, 2), (0, 0, 5, 1)]
)
def test_a_region_outside_the_image_is_refused(region):
    image = np.zeros((4, 6), "u2")
    for ask in (lambda: frame_statistics(image, roi=region), lambda: roi_sum(image, region)):
        with pytest.raises(ValueError, match="4 rows and 6 columns"):
            ask()


def test_a_shape_that_is_not_of_the_colour_mode_is_refused():
    for image, mode in [(np.zeros((4, 4)), ColorMode.RGB1), (np.zeros((2, 4, 4, 3)), ColorMode.RGB1)]:
        with pytest.raises(ValueError, match=str(mode)):
            frame_statistics(image, color_mode=mode)
    with pytest.raises(ValueError, match="shape"):
        frame_statistics(np.zeros((0, 4), "u2"))


@pytest.mark.parametrize("dtype", ["?", "c8", "f2"])
def test_other_pixel_types_are_refused(dtype):
    with pytest.raises(TypeError, match=np.dtype(dtype).name):
        frame_statistics(np.zeros((2, 2), dtype))


def test_a_total_beyond_float64_is_infinite_and_has_its_centroid_in_the_middle():
    image = np.full((3, 5), 1e308)
    got = frame_statistics(image)
    assert (got.total, got.max, got.not_finite) == (math.inf, 1e308, 0)
    assert (got.centroid_row, got.centroid_col) == (1.0, 2.0)
    assert roi_sum(image, (0, 0, 3, 5)) == math.inf


def test_the_image_stays_as_it_was():
    image = np.arange(12, dtype="u2").reshape(3, 4)
    frame_statistics(image)
    assert image.flags.writeable
    np.testing.assert_array_equal(image, np.arange(12).reshape(3, 4))


def test_read_only_views_with_gaps_are_taken():
    whole = np.arange(64, dtype="u2").reshape(8, 8)
    whole.flags.writeable = False
    got = frame_statistics(whole[::2, 1::3])
    assert got.total == whole[::2, 1::3].sum()
    assert not whole.flags.writeable


@pytest.mark.parametrize("dtype", ["u2", "i8", "f4"])
@pytest.mark.parametrize("shape", [(500,), (1,), (7, 40, 30), (2, 3, 20, 30), (1, 500), (1, 1, 50)], ids=str)
def test_traces_and_stacks_have_the_numbers_of_all_their_values(shape, dtype):
    image = np.random.default_rng(5).integers(0, 1000, shape).astype(dtype)
    found = frame_statistics(image)
    assert (found.total, found.min, found.max) == (image.sum(), image.min(), image.max())
    assert found.mean == pytest.approx(image.mean())
    assert found.std == pytest.approx(image.std())
    columns = image.reshape(-1, shape[-1]).sum(axis=0, dtype=float)
    assert found.centroid_col == pytest.approx(np.arange(shape[-1]) @ columns / columns.sum())
    rows = image.reshape(-1, *(1, *shape)[-2:]).sum(axis=(0, 2), dtype=float)
    assert found.centroid_row == pytest.approx(np.arange(len(rows)) @ rows / rows.sum())


def test_a_region_is_of_the_last_two_axes_and_of_a_trace_in_its_one_row():
    stack, trace = np.arange(7 * 8 * 9).reshape(7, 8, 9), np.arange(50)
    assert roi_sum(stack, (1, 2, 3, 4)) == stack[:, 1:4, 2:6].sum()
    assert roi_sum(trace, (0, 10, 1, 5)) == trace[10:15].sum()
    assert mean_intensity(stack, (1, 2, 3, 4)) == stack[:, 1:4, 2:6].mean()
    assert mean_intensity(trace.astype("f4")) == trace.mean()
    with pytest.raises(ValueError, match="1 rows and 50 columns"):
        roi_sum(trace, (1, 0, 1, 5))


@pytest.mark.parametrize(("shape", "over"), [((7, 8, 9), (0, 1)), ((50,), ()), ((2, 3, 4, 5), (0, 1, 2))], ids=str)
def test_the_profile_of_a_stack_is_over_its_planes_too_and_a_trace_is_its_own(shape, over):
    image = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(line_profile(image), image.mean(axis=over))
