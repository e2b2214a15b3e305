"""What is shown of an array: itself, its colours, a plane of it, or a curve."""

import numpy as np
import pytest

from beamstream.frames import ColorMode
from beamstream.ops.picture import picture_of


@pytest.mark.parametrize(("mode", "axis"), [(ColorMode.RGB1, 2), (ColorMode.RGB2, 1), (ColorMode.RGB3, 0)], ids=str)
def test_colours_come_last_whatever_the_order_in_memory(mode, axis):
    image = np.random.default_rng(1).integers(0, 255, (3, 3, 3), np.uint8)  # every axis could be the colours
    shown, words = picture_of(image, mode)
    np.testing.assert_array_equal(shown, np.moveaxis(image, axis, 2))
    assert np.shares_memory(shown, image)
    assert words == ""


@pytest.mark.parametrize(
    ("shape", "index", "words"),
    [
        ((40, 30), (), ""),
        ((40, 30, 1), (..., 0), ""),
        ((40, 30, 3), (), ""),
        ((1, 500), (), ""),
        ((1, 1, 500), (0,), ""),
        ((7, 40, 30), (3,), "plane 3 of 7"),
        ((3, 40, 30), (1,), "plane 1 of 3"),
        ((2, 1, 20, 30), (1, 0), "plane 1 of 2"),
        ((2, 5, 20, 30), (1, 2), "plane 1, 2 of 2 × 5"),
    ],
    ids=str,
)
def test_of_more_axes_the_plane_in_the_middle_is_shown_and_named(shape, index, words):
    image = np.arange(np.prod(shape)).reshape(shape)
    picture = picture_of(image)
    np.testing.assert_array_equal(picture.image, image[index])
    assert picture.words == words


def test_numbers_along_one_axis_are_a_curve():
    values = np.sin(np.arange(300) / 20) * 50
    shown, words = picture_of(values)
    assert shown.shape == (256, 300)
    top = shown.argmax(axis=0)
    expected = 255 - (values - values.min()) / np.ptp(values) * 255
    assert np.abs(top - expected).max() <= 8  # a steep piece reaches to its neighbour
    assert np.all(shown.any(axis=0))
    assert words.startswith("curve of 300 values, -49.9")


def test_a_long_curve_keeps_its_peaks():
    values = np.zeros(1_000_000, np.uint16)
    values[345_678] = 60_000
    shown, words = picture_of(values)
    assert shown.shape == (256, 1024)
    assert np.flatnonzero(shown[0]).tolist() == [345_678 * 1024 // 1_000_000]
    assert words == "curve of 1000000 values, 0 to 60000"


def test_a_curve_has_a_gap_where_nothing_is_finite():
    values = np.array([1.0, 2.0, np.nan, np.inf, 3.0])
    shown, words = picture_of(values)
    assert shown.any(axis=0).tolist() == [True, True, False, False, True]
    assert words == "curve of 5 values, 1 to 3"
    blank, words = picture_of(np.full(4, np.nan))
    assert not blank.any()
    assert words == "curve of 4 values, none of them finite"


def test_one_row_serves_who_draws_the_curve():
    assert picture_of(np.arange(5), curve=False).image.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (5, 0, 3)])
def test_what_has_no_pixels_is_refused(shape):
    with pytest.raises(ValueError, match="no pixels"):
        picture_of(np.zeros(shape))
