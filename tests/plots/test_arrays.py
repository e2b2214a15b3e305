"""What is drawn of an image: the right pixels, few enough, in a range that shows something."""

import numpy as np
import pytest

from beamstream.plots.arrays import Span, grey, histogram, profile, reduced

RNG = np.random.default_rng(3)


def test_a_large_image_is_averaged_in_blocks_and_a_small_one_is_left_alone():
    image = RNG.integers(0, 60_000, (202, 103), np.uint16)
    small, factors = reduced(image, 50)
    assert factors == (5, 3)
    assert np.allclose(small, image[:200, :102].reshape(40, 5, 34, 3).mean(axis=(1, 3)))
    assert reduced(image, 202)[0] is image


def test_a_thin_image_keeps_its_few_rows():
    small, factors = reduced(np.arange(8000.0).reshape(2, 4000), 1000)
    assert (small.shape, factors) == ((2, 1000), (1, 4))
    colours, _ = reduced(np.ones((4, 400, 3), np.uint8), 100)
    assert colours.shape == (4, 100, 3)


def test_a_profile_is_of_the_finite_pixels():
    image = np.array([[1.0, np.nan, np.inf], [3.0, 5.0, -np.inf]])
    assert np.array_equal(profile(image, 0), [2.0, 5.0, np.nan], equal_nan=True)
    assert profile(image.astype(">f4"), 1).tolist() == [1.0, 4.0]
    assert profile(np.array([[1, 2], [3, 4]], np.uint8), 0).tolist() == [2.0, 3.0]


def test_a_histogram_counts_what_is_between_the_limits():
    image = np.array([[0, 1, 1, 1], [1, 9, 50, 3]])
    assert histogram(image, 0, 10, 10).round(3).tolist() == [0.5, 1, 0, 0.5, 0, 0, 0, 0, 0, 0.5]


def test_grey_is_as_bright_as_the_eye_takes_the_colours_to_be():
    assert grey(np.full((2, 2, 3), 100, np.uint8)).round(3).tolist() == [[100, 100], [100, 100]]
    green, blue = np.eye(3)[1], np.eye(3)[2]
    assert grey(green[None, None]) > grey(blue[None, None])


def test_limits_follow_the_data_but_not_their_flicker():
    span = Span(0.1)
    assert span.follow(0.0, 100.0)
    assert span.limits == (-10.0, 110.0)
    assert not span.follow(3.0, 105.0)
    assert span.follow(3.0, 120.0)
    assert span.limits[1] > 120
    assert span.follow(50.0, 60.0)
    assert not span.follow(np.nan, 60.0)
    assert span.follow(5.0, 5.0)
    assert span.limits[0] < span.limits[1]


@pytest.mark.parametrize("margin", [0.0, 0.08])
def test_data_never_leave_the_limits_by_more_than_a_twentieth(margin):
    span, low, high = Span(margin), 0.0, 1.0
    for change in RNG.normal(0, 0.05, (300, 2)):
        low, high = low + change[0], max(low + change[0] + 0.1, high + change[1])
        span.follow(low, high)
        slack = 0.06 * (span.limits[1] - span.limits[0])
        assert span.limits[0] - slack <= low <= high <= span.limits[1] + slack
