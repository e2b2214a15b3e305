"""Statistics of rectangles and ellipses, and profiles along lines, against numpy."""

import math

import numpy as np
import pytest

from beamstream.ops.region import line_profile, region_statistics

RNG = np.random.default_rng(4)
IMAGE = RNG.integers(0, 60000, (40, 60)).astype("u2")


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i4", "f4", "f8"])
def test_statistics_are_those_of_the_pixels_whose_middles_lie_inside(dtype):
    image = (IMAGE % 251).astype(dtype)
    for place in ((0, 0, 40, 60), (5, 7, 11, 13), (-5, -5, 20, 20), (2.4, 3.6, 8.2, 9.1)):
        for ellipse in (False, True):
            _check(image, place, ellipse)


def _check(image: np.ndarray, place: tuple[float, float, float, float], ellipse: bool) -> None:
    row, col, rows, cols = place
    r, c = np.mgrid[0:40, 0:60] + 0.5
    inside = (r >= row) & (r < row + rows) & (c >= col) & (c < col + cols)
    if ellipse:
        inside &= ((r - row - rows / 2) / (rows / 2)) ** 2 + ((c - col - cols / 2) / (cols / 2)) ** 2 <= 1
    values = image[inside].astype(float)
    found = region_statistics(image, place, ellipse=ellipse)
    assert found.pixels == inside.sum()
    assert found.total == pytest.approx(values.sum(), rel=1e-6)
    assert found.mean == pytest.approx(values.mean(), rel=1e-6)
    assert found.std == pytest.approx(values.std(), rel=1e-6)
    assert (found.min, found.max) == (values.min(), values.max())
    assert found.row == pytest.approx(((r - 0.5)[inside] * values).sum() / values.sum())
    assert found.col == pytest.approx(((c - 0.5)[inside] * values).sum() / values.sum())


def test_colours_are_values_of_their_own_of_one_pixel():
    image = RNG.integers(0, 200, (10, 12, 3)).astype("u1")
    found = region_statistics(image, (2, 3, 4, 5))
    part = image[2:6, 3:8].astype(float)
    assert (found.pixels, found.total) == (20, part.sum())
    assert found.std == pytest.approx(part.std())


def test_nan_does_not_count_and_where_nothing_is_left_numbers_are_nan():
    image = np.array([[1, np.nan], [np.inf, 3]], "f4")
    found = region_statistics(image, (0, 0, 2, 2))
    assert (found.total, found.mean, found.min, found.max, found.pixels) == (4, 2, 1, 3, 4)
    empty = region_statistics(np.full((2, 2), np.nan), (0, 0, 2, 2))
    assert math.isnan(empty.mean)
    assert (empty.row, empty.col, empty.pixels) == (0.5, 0.5, 4)
    assert region_statistics(IMAGE, (100, 100, 5, 5)).pixels == 0
    assert region_statistics(IMAGE, (1.1, 1.1, 0.2, 0.2)).pixels == 0


def test_a_profile_has_the_pixels_along_the_line_and_nan_outside():
    assert line_profile(IMAGE, 3, 5, 3, 9).tolist() == IMAGE[3, 5:10].tolist()
    assert line_profile(IMAGE, 9, 5, 3, 5).tolist() == IMAGE[9:2:-1, 5].tolist()
    assert line_profile(IMAGE, 2, 2, 2, 2).tolist() == [IMAGE[2, 2]]
    diagonal = line_profile(IMAGE, 0, 0, 30, 30)
    assert (len(diagonal), diagonal[0], diagonal[-1]) == (43, IMAGE[0, 0], IMAGE[30, 30])
    beyond = line_profile(IMAGE, 38, 0, 41, 0)
    np.testing.assert_array_equal(beyond, [*IMAGE[38:, 0].astype(float), np.nan, np.nan])
    assert len(line_profile(IMAGE, 0, 0, 0, 99999)) == 8192
