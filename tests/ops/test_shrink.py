"""Area means: every output pixel is the mean of those it covers, edges and NaN included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.ops import shrink_kernels
from beamstream.ops.shrink import area_means


def _means(image: np.ndarray, region: tuple[int, int, int, int], factor: int) -> np.ndarray:
    """Return what has to come out, the slow way."""
    row, col, rows, cols = region
    part = image[row : row + rows, col : col + cols].astype(np.float64)
    out = [
        [np.nanmean(part[r : r + factor, c : c + factor], axis=(0, 1)) for c in range(0, cols, factor)]
        for r in range(0, rows, factor)
    ]
    return np.array(out)


def _image(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        return rng.normal(50, 20, shape).astype(dtype)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, np.int64, endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i1", "i2", "u4", "i8", "f4", "f8"])
def test_means_are_true_for_all_pixel_types(dtype):
    for shape in ((37, 53), (23, 31, 3)):
        image = _image(shape, dtype)
        region = (2, 3, shape[0] - 5, shape[1] - 4)
        for factor in (1, 2, 3, 8, 100):
            means = area_means(image, region, factor)
            expected = _means(image, region, factor)
            np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-5 * np.abs(image).max())
            assert means.dtype == np.float32


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_region_by_any_factor_is_the_mean_of_what_it_covers(data):
    image = _image((19, 26), "u2")
    row, col = data.draw(st.integers(0, 18)), data.draw(st.integers(0, 25))
    region = (row, col, data.draw(st.integers(1, 19 - row)), data.draw(st.integers(1, 26 - col)))
    factor = data.draw(st.integers(1, 30))
    np.testing.assert_allclose(area_means(image, region, factor), _means(image, region, factor), rtol=1e-5)


def test_nan_and_infinity_do_not_count_and_nothing_else_is_nan():
    image = np.array([[1, np.nan, np.nan, np.nan], [3, np.inf, np.nan, -np.inf], [5, 7, 9, np.nan]], "f4")
    means = area_means(image, (0, 0, 3, 4), 2)
    np.testing.assert_array_equal(means, np.array([[2, np.nan], [6, 9]], "f4"))


def test_sums_of_large_areas_of_large_values_do_not_overflow():
    image = np.full((700, 700), 65535, "u2")
    assert area_means(image, (0, 0, 700, 700), 700).tolist() == [[65535.0]]


def test_the_image_is_neither_changed_nor_copied_into_the_result():
    image = np.arange(12, dtype="u2").reshape(3, 4)
    image.flags.writeable = False
    means = area_means(image, (0, 0, 3, 4), 1)
    means[:] = 0
    assert image.sum() == 66


@pytest.mark.parametrize(
    ("region", "factor"), [((0, 0, 4, 4), 1), ((-1, 0, 2, 2), 1), ((0, 0, 0, 2), 1), ((0, 0, 2, 2), 0)]
)
def test_regions_outside_and_no_factor_are_refused(region, factor):
    with pytest.raises(ValueError, match="area means"):
        area_means(np.zeros((3, 4), "u1"), region, factor)


def test_quantised_values_are_rounded_clipped_and_never_nan():
    out = np.empty(6, np.uint8)
    values = np.array([-5, 0.24, 0.26, 100, 1e9, np.nan], np.float32)
    shrink_kernels.quantised(values, 0.0, 2.0, 255.0, out)
    assert out.tolist() == [0, 0, 1, 200, 255, 0]
    low, high = shrink_kernels.limits(values)
    assert (low, high) == (-5, 1e9)
    assert shrink_kernels.limits(np.array([np.nan], np.float32)) == (0, 0)
