"""Filters do what their definition says, for every pixel type, and do not mix colours."""

import numpy as np
import pytest
from scipy import ndimage

from beamstream.errors import PipelineError
from beamstream.ops.filters import Clip, GaussianFilter, MedianFilter, Threshold

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, np.dtype(dtype).newbyteorder("="), endpoint=True).astype(dtype)


def brute_median(image, size):
    half = size // 2
    padded = np.pad(image, half, mode="symmetric")
    rows, cols = image.shape
    return np.array([[np.sort(padded[r : r + size, c : c + size], axis=None)[size * size // 2] for c in range(cols)]
                     for r in range(rows)])  # fmt: skip


@pytest.mark.parametrize("dtype", [*INTEGERS, ">u2", "f4", "f8"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_median_is_that_of_the_sorted_square_and_keeps_the_pixel_type(dtype, size):
    image = noise((19, 23), dtype)
    if image.dtype.itemsize == 8 and image.dtype.kind in "ui":
        image //= 2**11  # scipy computes in float64, as the docstring says
    made = MedianFilter(size).apply(image, {})
    np.testing.assert_array_equal(made, brute_median(image, size))
    assert made.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (33, 17)])
def test_the_fast_median_of_nine_is_scipys_also_at_the_edges(shape):
    image = noise(shape, "u2")
    np.testing.assert_array_equal(MedianFilter(3).apply(image, {}), ndimage.median_filter(image, 3))


def test_half_precision_is_filtered_as_single():
    image = noise((8, 8), "f2")
    assert MedianFilter(5).apply(image, {}).dtype == np.float32
    assert GaussianFilter(1).apply(image, {}).dtype == np.float32


def test_the_gaussian_of_a_point_has_the_asked_width_and_keeps_the_light():
    image = np.zeros((101, 101), "u2")
    image[50, 50] = 60_000
    made = GaussianFilter(3.0).apply(image, {})
    assert made.dtype == np.float32
    assert made.sum() == pytest.approx(60_000, rel=1e-4)
    rows = np.arange(101) - 50
    assert np.sqrt((made.sum(axis=1) * rows**2).sum() / made.sum()) == pytest.approx(3.0, rel=0.01)


@pytest.mark.parametrize(("mode", "axis"), [("rgb1", 2), ("rgb2", 1), ("rgb3", 0)])
@pytest.mark.parametrize("op", [MedianFilter(3), MedianFilter(5), GaussianFilter(1.5)])
def test_colours_are_filtered_one_by_one(op, mode, axis):
    planes = [noise((12, 14), "u2", seed) for seed in range(3)]
    image = np.stack(planes, axis=axis)
    made = op.apply(image, {"color_mode": mode})
    for number, plane in enumerate(planes):
        np.testing.assert_array_equal(np.take(made, number, axis), op.apply(plane, {}))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "kept"),
    [
        ("u1", -5, 1000, [0, 7, 255]),
        ("u1", 7.5, None, [8, 8, 255]),
        ("u1", None, 7.5, [0, 7, 7]),
        ("u2", 7, 7, [7, 7, 7]),
        ("f4", 0.5, 7.5, [0.5, 7.0, 7.5]),
    ],
)
def test_clipping_never_leaves_bounds_or_pixel_type(dtype, low, high, kept):
    made = Clip(low, high).apply(np.array([[0, 7, 255]], dtype), {})
    assert made.dtype == dtype
    assert made.tolist() == [kept]


def test_bounds_that_no_integer_lies_in_are_an_error():
    with pytest.raises(PipelineError, match=r"clip: uint8 has no value within 1\.2 and 1\.8; widen"):
        Clip(1.2, 1.8).apply(np.zeros((2, 2), "u1"), {})


def test_a_threshold_keeps_values_at_and_above_the_level():
    image = np.array([[1, 5, 9]], "u2")
    kept, mask = Threshold(5).apply(image, {}), Threshold(5, mode="binary").apply(image, {})
    assert (kept.tolist(), kept.dtype) == ([[0, 5, 9]], np.uint16)
    assert (mask.tolist(), mask.dtype) == ([[0, 1, 1]], np.uint8)
    assert Threshold(-1).apply(image, {}).tolist() == [[1, 5, 9]]
    assert Threshold(0.5).apply(np.array([[np.nan, 1.0]], "f4"), {}).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MedianFilter(4), "median: kernel_size = 4 asked for; give an odd number, 5 for example"),
        (lambda: MedianFilter(0), "median: kernel_size = 0 asked for; give a whole number, 1 or more"),
        (lambda: MedianFilter(True), "median: kernel_size = True asked for; give a whole"),  # pyright: ignore
        (lambda: MedianFilter("3"), "median: kernel_size = '3' asked for; give a whole"),  # pyright: ignore
        (lambda: GaussianFilter(0), "gaussian: sigma = 0 asked for; give a finite number above 0"),
        (lambda: GaussianFilter(float("nan")), "gaussian: sigma = nan asked for"),
        (lambda: Clip(), "clip: neither low nor high is given"),
        (lambda: Clip(3, 2), "clip: low = 3 asked for; give at most high = 2"),
        (lambda: Threshold(1, mode="zer"), "threshold: mode = 'zer' asked for; give one of zero, binary"),
    ],
)
def test_a_wrong_option_is_refused_by_name_when_the_op_is_made(make, words):
    with pytest.raises(PipelineError) as error:
        make()
    assert str(error.value).startswith(words)


def test_an_op_describes_itself_by_its_options():
    assert MedianFilter(5).describe() == {"kernel_size": 5}
    assert Clip(low=2).describe() == {"low": 2, "high": None}


def test_a_line_of_pixels_is_no_image():
    with pytest.raises(PipelineError, match="median: an image asked for, an array of shape"):
        MedianFilter().apply(np.zeros(5), {})
