"""Cropping and binning give the right pixels, and sums do not wrap around."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstream.errors import PipelineError
from beamstream.ops.reduce import Bin, Crop


def test_a_crop_is_the_region_asked_for_and_no_copy():
    image = np.arange(30, dtype="u2").reshape(5, 6)
    made = Crop(row=1, col=2, n_rows=2, n_cols=3).apply(image, {})
    assert made.tolist() == image[1:3, 2:5].tolist()
    assert np.shares_memory(made, image)
    assert Crop(row=4).apply(image, {}).shape == (1, 6)


@pytest.mark.parametrize(("mode", "shape", "made"), [("rgb1", (8, 9, 3), (2, 3, 3)), ("rgb2", (8, 3, 9), (2, 3, 3)),
                                                     ("rgb3", (3, 8, 9), (3, 2, 3))])  # fmt: skip
def test_colours_are_not_cropped(mode, shape, made):
    assert Crop(1, 2, 2, 3).apply(np.zeros(shape, "u1"), {"color_mode": mode}).shape == made


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        (Crop(row=3, n_rows=3), "crop: rows 3:6 asked for, the image has 0:5; change the region"),
        (Crop(col=6), "crop: columns 6:6 asked for, the image has 0:6"),
    ],
)
def test_a_region_outside_the_image_is_an_error_not_a_smaller_image(crop, words):
    with pytest.raises(PipelineError, match=words):
        crop.apply(np.zeros((5, 6)), {})


@given(rows=st.integers(1, 20), cols=st.integers(1, 20), down=st.integers(1, 4), right=st.integers(1, 4))
def test_binning_equals_the_sum_of_each_block(rows, cols, down, right):
    image = np.random.default_rng(rows * cols).integers(0, 65536, (rows, cols)).astype("u2")
    if rows < down or cols < right:
        with pytest.raises(PipelineError, match="bin: blocks of"):
            Bin([down, right], "sum").apply(image, {})
        return
    whole = image[: rows // down * down, : cols // right * right].astype(np.int64)
    blocks = whole.reshape(rows // down, down, cols // right, right).sum(axis=(1, 3))
    total, mean = Bin([down, right], "sum").apply(image, {}), Bin([down, right]).apply(image, {})
    np.testing.assert_array_equal(total, blocks)
    np.testing.assert_array_equal(mean, (blocks / (down * right)).astype("f4"))
    assert mean.dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "factor", "made"),
    [("u1", 2, "u4"), ("u2", 256, "u4"), ("u2", 257, "u8"), ("u4", 2, "u8"), ("i2", 2, "i4"), ("i4", 2, "i8"),
     ("u8", 2, "f8"), ("f4", 2, "f4"), ("f2", 2, "f4"), ("f8", 2, "f8"), (">u2", 2, "u4"), ("?", 2, "u4")],
)  # fmt: skip
def test_sums_of_saturated_blocks_fit_their_type(dtype, factor, made):
    kind = np.dtype(dtype)
    top = np.iinfo(kind).max if kind.kind in "ui" else 1
    total = Bin(factor, "sum").apply(np.full((factor, factor), top, dtype), {})
    assert total.dtype == made
    assert total.item() == pytest.approx(int(top) * factor**2, rel=1e-15)


def test_rgb_blocks_keep_their_colours():
    image = np.arange(2 * 2 * 3, dtype="u1").reshape(2, 2, 3)
    assert Bin(2, "sum").apply(image, {"color_mode": "rgb1"}).tolist() == [[[18, 22, 26]]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Bin(0), "bin: factor = 0 asked for"),
        (lambda: Bin([2, 2, 2]), r"bin: factor = \[2, 2, 2\] asked for; give a whole number, or two"),
        (lambda: Bin(2, "median"), "bin: method = 'median' asked for; give one of mean, sum"),
        (lambda: Crop(row=-1), "crop: row = -1 asked for; give a whole number, 0 or more"),
        (lambda: Crop(n_rows=0), "crop: n_rows = 0 asked for; give a whole number, 1 or more"),
    ],
)
def test_a_wrong_option_is_refused_by_name(make, words):
    with pytest.raises(PipelineError, match=words):
        make()
