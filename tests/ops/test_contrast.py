"""Which values become black and white: those of nearly all pixels, whatever single ones are."""

import warnings

import numpy as np
import pytest

from beamstream.ops.contrast import SAMPLES, as_seen, limits, samples

RNG = np.random.default_rng(3)
TYPES = ["u1", "u2", "u4", "u8", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">f4"]


def spoilt(dtype, size=40):
    """Return a field of 100 to 199 with one pixel as hot as the type allows, up to 1e9, and a dead one."""
    image = RNG.integers(100, 200, (size, size)).astype(dtype)
    most = np.finfo(dtype).max if image.dtype.kind == "f" else np.iinfo(dtype).max
    image[7, 9], image[11, 3] = min(1e9, float(most)), 0
    return image


@pytest.mark.parametrize("size", [12, 40, 1000])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_hot_and_a_dead_pixel_leave_the_contrast_to_the_field(dtype, size):
    low, high = limits(samples(spoilt(dtype, size)))
    assert 100 <= low < 115
    assert 185 < high <= 199


@pytest.mark.parametrize("odd", [[np.nan], [np.inf], [-np.inf], [np.nan, np.inf, -np.inf], [1e300, -1e300]], ids=str)
def test_what_is_not_finite_does_not_count(odd):
    image = RNG.integers(100, 200, (60, 80)).astype(float)
    image[20:40] = np.resize(odd, (20, 80))
    low, high = limits(samples(image))
    assert 100 <= low < 105
    assert 195 < high <= 199


@pytest.mark.parametrize("value", [0.0, 7.0, -3e9, 5e-324, np.nan, np.inf, -np.inf, 1e300])
def test_an_even_image_has_a_contrast_as_well(value):
    image = np.full((10, 10), value)
    low, high = limits(samples(image))
    assert np.isfinite([low, high]).all()
    assert low < high
    assert len(np.unique(as_seen(image))) == 1


@pytest.mark.parametrize("values", [[5.0], [5.0, 6.0], [6.0, 5.0, 7.0], [0.0, 0.0, 0.0, 9.0]])
def test_a_handful_of_pixels_has_one_too(values):
    low, high = limits(samples(np.array([values])))
    assert low == min(values)
    assert high > low


def test_percentiles_of_0_and_100_are_the_extremes():
    assert limits(samples(spoilt("u4")), (0.0, 100.0)) == (0.0, 1e9)


@pytest.mark.parametrize("shape", [(2048, 2048), (1024, 512), (1, 300_000), (300_000, 1), (480, 640, 3)])
def test_a_large_image_is_sampled_and_a_hot_column_counts_for_what_it_is(shape):
    image = RNG.integers(100, 200, shape).astype(np.uint16)
    if shape[1] > 500:
        image[:, 256] = 60_000  # 1 of 512 to 2048 columns, where a grid of samples takes one of a few dozen
    few = samples(image)
    assert SAMPLES / 3 < few.size <= SAMPLES
    assert np.count_nonzero(few == 60_000) <= few.size / 256
    assert limits(few)[0] < 105


@pytest.mark.parametrize("dtype", TYPES)
def test_a_picture_shows_the_field_and_warns_of_nothing(dtype):
    image = spoilt(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = as_seen(image)
    assert seen.dtype == np.uint8
    assert (seen[7, 9], seen[11, 3]) == (255, 0)
    assert seen.std() > 50
    field = image.astype(float)
    darker, brighter = field < 120, (field > 180) & (field < 200)
    assert seen[darker].max() < seen[brighter].min()


def test_nan_is_black_in_a_picture_and_infinities_are_its_ends():
    image = RNG.integers(100, 200, (30, 30)).astype(np.float32)
    image[0, :3] = np.nan, np.inf, -np.inf
    assert as_seen(image)[0, :3].tolist() == [0, 255, 0]


def test_colours_of_8_bit_are_shown_as_the_camera_made_them():
    image = RNG.integers(50, 60, (8, 9, 3)).astype(np.uint8)
    assert as_seen(image) is image


def test_parts_of_an_image_are_sampled_without_a_copy_of_it():
    image = np.zeros((4, 700, 900))
    image[1:3, 100:600, 100:800] = 5.0
    part = image[1, 100:600, 100:800]
    assert set(samples(part)) == {5.0}
    assert samples(part.T).size <= SAMPLES
