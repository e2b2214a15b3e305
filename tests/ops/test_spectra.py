"""Spectra made smaller: which values are left, and at which frequencies."""

import numpy as np
import pytest

from beamstream.ops.spectra import Band, Selection

CHANNELS = 96


def spectra(dtype="<f4", beams=2, polarizations=4, seed=0):
    values = np.random.default_rng(seed).uniform(1, 100, (beams, CHANNELS, polarizations)).astype(dtype)
    values.flags.writeable = False
    return values


def mean(values, average):
    shape = (values.shape[0], -1, average, *values.shape[2:])
    return values.astype(np.float64).reshape(shape).mean(axis=2)


@pytest.mark.parametrize("average", [1, 2, 3, 4, 8, 12, 16, 96])
@pytest.mark.parametrize("polarization", [0, 3, "all"])
def test_each_value_is_the_mean_of_so_many_neighbours(polarization, average):
    values = spectra()
    selection = Selection(polarization, average)
    picked = values if polarization == "all" else values[..., polarization]
    result = selection(values)
    np.testing.assert_allclose(result, mean(picked, average), rtol=1e-6)
    assert result.ndim == len(selection.dims)


@pytest.mark.parametrize("average", [1, 4, 32])
def test_stokes_parameters_come_from_the_products_of_the_correlator(average):
    values = spectra()
    intensity = (values[..., 0].astype(np.float64) + values[..., 1]) / 2
    np.testing.assert_allclose(Selection("I", average)(values), mean(intensity, average), rtol=1e-6)
    np.testing.assert_allclose(Selection("V", average)(values), mean(values[..., 3], average), rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("<f4", "<f4"), (">f4", "<f4"), ("<f8", "<f8"), ("<f2", "<f4"), ("|u1", "<f4"), ("<i2", "<f4"), ("<i4", "<f8")],
)
@pytest.mark.parametrize("average", [1, 4, 32])
def test_what_comes_out_are_floats_that_hold_what_went_in(dtype, expected, average):
    values = spectra(dtype)
    result = Selection("I", average)(values)
    assert result.dtype.str == expected
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, mean((values[..., 0].astype(float) + values[..., 1]) / 2, average), rtol=1e-3)


def test_sums_of_large_integers_do_not_wrap():
    values = np.full((1, 8, 4), 2**15 - 1, "<i2")
    assert Selection(0, 8)(values).tolist() == [[2.0**15 - 1]]


@pytest.mark.parametrize("average", [4, 32])
def test_a_nan_stays_in_its_group_and_its_polarization(average):
    values = spectra().copy()
    values[1, 5, 2] = np.nan
    result = Selection(2, average)(values)
    assert np.argwhere(np.isnan(result)).tolist() == [[1, 5 // average]]
    assert np.isfinite(Selection(1, average)(values)).all()


def test_what_there_is_nothing_to_do_with_is_returned_itself():
    values = spectra()
    assert Selection()(values) is values


def test_the_axis_is_that_of_the_channels_that_are_left():
    band = Band(10.0, 0.5)
    assert Selection(0, 4).axis(band.axis(8)).tolist() == [10.75, 12.75]


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(4), "polarization 4 asked for, the spectra have 4"),
        (Selection(-1), "polarization -1"),
        (Selection("Q"), "use all, I, V"),  # pyright: ignore[reportArgumentType]
        (Selection(0, 5), "use a divisor"),
        (Selection(0, 0), "use a divisor"),
    ],
)
def test_what_cannot_be_is_said_before_it_is_done(selection, words):
    with pytest.raises(ValueError, match=words):
        selection.check((1, CHANNELS, 4))


def test_stokes_v_needs_four_products():
    with pytest.raises(ValueError, match="V asked for, the spectra have 2"):
        Selection("V").check((1, CHANNELS, 2))
