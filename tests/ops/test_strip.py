"""Intensities and line profiles against plain evaluation, and frames by azimuth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.frames import ColorMode
from beamstream.ops.intensity import mean_intensity
from beamstream.ops.strip import Rotation, line_profile

DTYPES = ["u1", "i1", "<u2", ">u2", "i4", "u8", "<f4", ">f4", "f8"]
RGB = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}


@st.composite
def images(draw):
    """Draw an image as (rows, columns, colours), a memory order, and a region or None."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 30))
    mode = draw(st.sampled_from([ColorMode.MONO, *RGB]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    values = rng.normal(60, 30, (rows, columns, 1 if mode == ColorMode.MONO else 3)).clip(0, 127).astype(dtype)
    row, col = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    region = (row, col, draw(st.integers(1, rows - row)), draw(st.integers(1, columns - col)))
    return values, mode, draw(st.sampled_from([None, region]))


def arranged(values, mode):
    return values[..., 0] if mode == ColorMode.MONO else np.moveaxis(values, 2, RGB[mode])


def cut(values, region):
    row, col, n_rows, n_cols = region or (0, 0, *values.shape[:2])
    return values[row : row + n_rows, col : col + n_cols].astype(np.float64)


@settings(deadline=None)
@given(images())
def test_an_intensity_is_the_mean_of_all_values_of_its_region(drawn):
    values, mode, region = drawn
    assert mean_intensity(arranged(values, mode), region, mode) == pytest.approx(cut(values, region).mean(), rel=1e-12)


@settings(deadline=None)
@given(images())
def test_a_profile_is_the_mean_over_rows_or_columns_and_colours(drawn):
    values, mode, region = drawn
    image, part = arranged(values, mode), cut(values, region)
    rows = line_profile(image, region, color_mode=mode)
    columns = line_profile(image, region, average="columns", color_mode=mode)
    assert (rows.dtype, columns.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(rows, part.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(columns, part.mean(axis=(1, 2)), rtol=1e-6)


def test_sums_do_not_wrap():
    bright = np.full((300, 500), 65535, np.uint16)
    assert mean_intensity(bright) == 65535
    assert (line_profile(bright) == 65535).all()
    assert mean_intensity(np.full((3, 4), 2**64 - 1, np.uint64)) == pytest.approx(2.0**64)


def test_values_that_are_not_finite_do_not_count():
    image = np.array([[1, np.nan], [3, np.inf]], np.float32)
    assert mean_intensity(image) == 2
    assert math.isnan(mean_intensity(image, (0, 1, 2, 1)))


@pytest.mark.parametrize("region", [(0, 0, 5, 1), (-1, 0, 1, 1), (0, 8, 1, 1), (0, 0, 0, 1)])
def test_a_region_outside_is_refused_with_the_size_of_the_image(region):
    for measure in (mean_intensity, line_profile):
        with pytest.raises(ValueError, match="the image has 4 rows and 8 columns"):
            measure(np.zeros((4, 8)), region)


@given(
    speed=st.floats(-60, 60),
    azimuth=st.floats(-360, 720),
    seconds=st.floats(0, 10_000),
    tolerance=st.floats(0.1, 20),
    angles=st.lists(st.sampled_from([0.0, 45.0, 90.0, 200.0, 359.0]), min_size=1, unique=True),
)
def test_frames_belong_to_the_nearest_angle_within_the_tolerance(speed, azimuth, seconds, tolerance, angles):
    rotation = Rotation(speed, azimuth, reference=1e9)
    here = rotation.at(1e9 + seconds)
    assert abs(math.remainder(here - (azimuth + 6 * speed * seconds), 360)) < 0.1  # of 1e9 s a float has 1e-7
    away = [abs(math.remainder(here - angle, 360)) for angle in angles]
    sector = rotation.sector(1e9 + seconds, angles, tolerance)
    assert sector is None if min(away) > tolerance else away[sector] == min(away)


def test_a_turn_later_the_azimuth_is_the_same():
    rotation = Rotation(10, azimuth=30, reference=100)
    assert rotation.at(100) == 30
    assert rotation.at(101.5) == pytest.approx(120)
    assert rotation.at(106) == pytest.approx(30)
    assert Rotation(-10).at(1) == pytest.approx(300)
    assert Rotation(0, 5).at(1e9) == 5
    assert rotation.sector(100, (), 5) is None
