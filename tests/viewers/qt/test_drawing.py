"""Pixels that are drawn: of the right place, the right value, the right colour."""

import itertools

import numpy as np
import pytest

from beamstream.frames import ColorMode
from beamstream.ops.contrast import samples
from beamstream.ops.orient import Flip, Rotate, Transpose
from beamstream.ops.picture import picture_of
from beamstream.ops.shrink import area_means
from beamstream.viewers.qt.drawing import NOTHING, Drawing, grid_of
from beamstream.viewers.qt.gauge import profile_of, statistics_of, value_at
from beamstream.viewers.qt.orientation import Orientation
from beamstream.viewers.qt.palettes import NAMES, table_of
from beamstream.viewers.qt.shades import Contrast, calm, histogram, levels, positions
from beamstream.viewers.qt.wishes import Wish

ALL = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]
GREY = np.arange(256, dtype=np.uint32) * 0x10101 + 0xFF000000


def drawn(image, low=0.0, high=255.0, **wish):
    """Draw a frame pixel by pixel, unless the wish says other."""
    wanted = Wish(**{"size": (image.shape[1], image.shape[0]), **wish})
    grid = grid_of(image.shape[:2], wanted)
    assert grid is not None
    return Drawing().draw(image, grid, wanted, low, high)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (24, 36)).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i2", "f8", ">u2"])
def test_each_value_has_its_colour_whatever_the_pixel_type(image, dtype):
    np.testing.assert_array_equal(drawn(image.astype(dtype)), GREY[image])


@pytest.mark.parametrize("turn", ALL, ids=str)
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_a_turned_frame_is_what_the_ops_make_of_it(image, turn, dtype):
    expected = Transpose().apply(image, {}) if turn.turned else image
    expected = Flip("horizontal").apply(expected, {}) if turn.flip_x else expected
    expected = Flip("vertical").apply(expected, {}) if turn.flip_y else expected
    got = drawn(image.astype(dtype), orientation=turn, size=turn.size(image.shape))
    np.testing.assert_array_equal(got, GREY[expected])


def test_rotations_turn_counter_clockwise_and_four_of_them_are_none(image):
    turn = Orientation()
    for quarter in range(1, 5):
        turn = turn.rotated()
        got = drawn(image, orientation=turn, size=turn.size(image.shape))
        np.testing.assert_array_equal(got, GREY[Rotate(90 * quarter).apply(image, {})])
    assert turn == Orientation()


@pytest.mark.parametrize("turn", ALL, ids=str)
def test_a_place_is_found_again_in_the_frame(turn):
    x, y = turn.to_view(3.5, 7.25, (24, 36))
    assert turn.to_frame(x, y, (24, 36)) == (3.5, 7.25)


def test_smaller_windows_show_area_means():
    image = np.random.default_rng(2).integers(0, 4096, (64, 96)).astype(np.uint16)
    got = drawn(image, 0, 4095, size=(24, 16))
    means = area_means(image, (0, 0, 64, 96), 4)
    np.testing.assert_allclose((got & 255).astype(float), means / 4095 * 255, atol=0.6)


def test_a_bin_that_is_asked_for_is_kept_however_large_the_window_is(image):
    got = drawn(image.astype("f4"), display_bin=3, size=(72, 48)) & 255
    means = area_means(image, (0, 0, 24, 36), 3)
    np.testing.assert_allclose(got, np.kron(means, np.ones((6, 6))), atol=0.6)


def test_a_close_view_shows_single_pixels_of_the_right_place(image):
    got = drawn(image, view=(10.0, 5.0, 4.0, 3.0), size=(40, 30))
    np.testing.assert_array_equal(got, np.kron(GREY[image[5:8, 10:14]], np.ones((10, 10), np.uint32)))


def test_where_the_frame_ends_nothing_is_drawn(image):
    wish = Wish(view=(-18.0, 0.0, 36.0, 24.0), size=(36, 24))
    grid = grid_of(image.shape, wish)
    assert grid is not None
    assert grid.place == (18, 0)
    assert grid.size == (24, 18)
    np.testing.assert_array_equal(Drawing().draw(image, grid, wish, 0, 255), GREY[image[:, :18]])
    assert grid_of(image.shape, Wish(view=(100.0, 0.0, 36.0, 24.0), size=(36, 24))) is None


def test_blocks_of_means_stay_where_they_are_when_one_pans():
    image = np.random.default_rng(3).integers(0, 256, (64, 64)).astype(np.uint8)
    here = drawn(image, view=(0.0, 0.0, 40.0, 40.0), size=(20, 20))
    there = drawn(image, view=(6.0, 2.0, 40.0, 40.0), size=(20, 20))
    np.testing.assert_array_equal(here[1:, 3:], there[:-1, :-3])


def test_nan_has_a_colour_of_its_own(image):
    holed = image.astype("f4")
    holed[3, 4] = np.nan
    got = drawn(holed)
    assert got[3, 4] == NOTHING
    assert np.count_nonzero(got == NOTHING) == 1
    assert all(NOTHING not in table_of(name) for name in NAMES)


@pytest.mark.parametrize(("mode", "axis"), [(ColorMode.RGB1, 2), (ColorMode.RGB2, 1), (ColorMode.RGB3, 0)])
@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_colours_are_those_that_came_in_every_layout(mode, axis, dtype):
    rgb = np.random.default_rng(4).integers(0, 256, (10, 12, 3)).astype(np.uint32)
    image = picture_of(np.ascontiguousarray(np.moveaxis(rgb.astype(dtype), 2, axis)), mode).image
    expected = 0xFF000000 | (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    np.testing.assert_array_equal(drawn(image), expected)
    turned = drawn(image, orientation=Orientation(turned=True), size=(10, 12))
    np.testing.assert_array_equal(turned, expected.T)


def test_the_logarithm_lifts_what_is_dark_and_keeps_the_ends():
    at = positions(np.array([0.0, 10.0, 1000.0]), 0.0, 1000.0, log=True)
    assert at[0] == 0.0
    assert at[2] == 1.0
    assert at[1] > 0.3


def test_limits_follow_percentiles_extremes_or_the_hand():
    image = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    few = samples(image)
    low, high = levels(Contrast("auto", percentiles=(1.0, 99.0)), image, few)
    assert (low, high) == (100.0, 9899.0)
    assert levels(Contrast("limits"), image, few) == (0.0, 9999.0)
    assert levels(Contrast("manual", 5.0, 6.0), image, few) == (5.0, 6.0)
    assert levels(Contrast(), np.full((4, 4), 7.0), samples(np.full((4, 4), 7.0))) == (7.0, 8.0)


def test_a_hot_pixel_takes_nothing_from_the_histogram():
    few = np.append(np.linspace(100.0, 200.0, 1000), 1e9)
    counts, edges = histogram(few)
    assert edges[0] == 100.0
    assert edges[-1] < 1000.0
    assert counts.sum() == 1000


def test_limits_that_only_flicker_stay():
    assert calm((0.0, 100.0), (1.0, 101.0)) == (0.0, 100.0)
    assert calm((0.0, 100.0), (0.0, 140.0)) == (0.0, 140.0)


def test_the_crosshair_reads_true_values_and_nothing_outside(image):
    assert value_at(image, (3, 4)) == (int(image[3, 4]),)
    assert value_at(image, (24, 0)) == ()
    assert value_at(np.zeros((2, 2, 3), "u1"), (1, 1)) == (0, 0, 0)


def test_regions_are_measured_as_far_as_they_are_in_the_frame(image):
    inside = statistics_of(image, (20, 30, 10, 10))
    assert inside is not None
    assert inside.mean == pytest.approx(image[20:, 30:].mean())
    assert statistics_of(image, (30, 0, 2, 2)) is None


def test_a_line_reads_the_pixels_below_it(image):
    np.testing.assert_array_equal(profile_of(image, (2, 5, 2, 15)), image[2, 5:16])
    np.testing.assert_array_equal(
        profile_of(image, (0, 0, 9, 9)), np.diag(image[:10, :10])[np.rint(np.linspace(0, 9, 14)).astype(int)]
    )
    assert np.isnan(profile_of(image, (-5, 0, -5, 3))).all()
