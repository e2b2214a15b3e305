"""What a picture of spectra shows, pixel by pixel where it matters."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from beamstream.ops.spectra import Band
from beamstream.plots import look
from beamstream.receiver.newest import Spectra
from beamstream.receiver.picture import draw

FACTS = {"title": "t", "what": "w", "account": "a", "note": "n", "bad": False}
NOON = 1_755_518_400.0


def spectra(values, kept=None):
    values = np.asarray(values, np.float32)
    ids = np.arange(len(values))
    chosen = ids if kept is None else ids[kept]
    return Spectra(values[chosen], NOON + 0.25 * chosen, chosen)


def noise(n=100, channels=64, seed=0):
    return np.random.default_rng(seed).uniform(10, 20, (n, channels))


def drawn(values, *, decibel=False, kept=None):
    """Draw; return the figure, its pixels and its waterfall's axes."""
    shown = spectra(values, kept)
    figure = draw(shown, Band().axis(shown.values.shape[1]), FACTS, decibel=decibel)
    return figure, np.asarray(figure.canvas.buffer_rgba())[..., :3], figure.axes[0]


def colour_at(figure, pixels, axes, x, y):
    """Return the colour of a point given in the data's coordinates."""
    column, row = axes.transData.transform((x, y))
    return pixels[round(pixels.shape[0] - row), round(column)] / 255


def test_a_picture_is_12_by_10_inches_at_150_dots_an_inch():
    figure, pixels, _ = drawn(noise())
    assert pixels.shape == (1500, 1800, 3)
    assert (figure.get_size_inches().tolist(), figure.dpi) == ([12, 10], 150)


def test_the_newest_spectrum_is_on_top_and_frequency_runs_to_the_right():
    values = noise()
    values[-10:, 32:] = 1000
    figure, pixels, axes = drawn(values)
    low, high = axes.get_xlim()
    assert (low, high) == pytest.approx((Band().first - Band().step / 2, Band().first + 63.5 * Band().step))
    left, right = low + 0.25 * (high - low), low + 0.75 * (high - low)
    hot = colour_at(figure, pixels, axes, right, 95)
    for x, y in ((left, 95), (right, 50), (left, 5)):
        assert np.abs(colour_at(figure, pixels, axes, x, y) - hot).sum() > 0.5
    _, top = axes.transData.transform((left, 99))
    _, bottom = axes.transData.transform((left, 0))
    assert top > bottom
    latest = figure.axes[2].lines[1].get_ydata()
    assert latest[-1] == 1000


def test_missing_spectra_are_a_gap_in_time():
    figure, pixels, axes = drawn(noise(), kept=[n for n in range(100) if not 40 <= n < 44])
    x = np.mean(axes.get_xlim())
    assert np.abs(colour_at(figure, pixels, axes, x, 39) - to_rgb(look.PANEL)).sum() > 0.3
    gap = pixels[
        round(1500 - axes.transData.transform((x, 43.4))[1]) : round(1500 - axes.transData.transform((x, 39.6))[1])
    ]
    inside = gap[:, round(axes.transData.transform((x, 0))[0]) - 20 :][:, :40] / 255
    near_panel = np.abs(inside - to_rgb(look.PANEL)).sum(axis=2) < 0.5  # hatched
    assert near_panel.mean() > 0.9


def test_values_that_are_no_numbers_are_left_out():
    values = noise()
    values[20:60, 16:48] = np.nan
    values[5, 3] = np.inf
    figure, pixels, axes = drawn(values)
    empty = colour_at(figure, pixels, axes, np.mean(axes.get_xlim()), 40)
    np.testing.assert_allclose(empty, to_rgb(look.PANEL), atol=0.02)


@pytest.mark.parametrize("values", [np.full((3, 8), np.nan), np.zeros((3, 8)), -np.ones((3, 8)), np.full((3, 8), 7.0)])
@pytest.mark.parametrize("decibel", [False, True])
def test_spectra_without_any_contrast_can_be_drawn(values, decibel):
    _, pixels, _ = drawn(values, decibel=decibel)
    assert pixels.shape == (1500, 1800, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 768), (2, 1), (1500, 3072)])
def test_any_number_of_spectra_and_channels_can_be_drawn(shape):
    _, pixels, _ = drawn(noise(*shape))
    assert pixels.shape == (1500, 1800, 3)


def test_decibels_are_ten_times_the_logarithm():
    figure, _, _ = drawn(np.full((10, 8), 1000.0) * np.linspace(1, 10, 8), decibel=True)
    latest = figure.axes[2].lines[1].get_ydata()
    np.testing.assert_allclose([latest[0], latest[-1]], [30, 40], atol=1e-4)
    assert "dB" in figure.axes[2].get_ylabel()


def test_one_spike_does_not_take_the_contrast_away():
    values = noise()
    values[50, 10] = 1e9
    _, _, axes = drawn(values)
    low, high = axes.images[0].get_clim()
    assert 9 < low < high < 21


def test_text_of_others_is_no_mathematics():
    draw(spectra(noise()), Band().axis(64), FACTS | {"title": "a $^{ b", "note": "$\\frac"}, decibel=False)


def test_values_of_both_signs_are_shown_about_zero():
    _, _, axes = drawn(noise() - 14)
    low, high = axes.images[0].get_clim()
    assert -low == high == pytest.approx(5.9, abs=0.3)
