"""The picture of a growth: it shows the numbers that are there, and what is drawn over a copy is what is drawn anew."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from beamstream.plots import look
from beamstream.plots.growth import GrowthPicture
from beamstream.plots.growth_data import GrowthCurve, Search, StripLines, stacked
from beamstream.plots.picture import Caption
from beamstream.plots.screens import Files

EPOCH = 1_790_000_000.0
FPS = 20.0


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(look.STYLE):  # pyright: ignore[reportArgumentType]
        yield


@pytest.fixture
def picture(tmp_path) -> GrowthPicture:
    return GrowthPicture(Files(tmp_path).figure("x"))


def grown(seconds, *, rate=0.5, seed=0, history=120.0, noise=1.0):
    rng = np.random.default_rng(seed)
    t = np.arange(0, seconds, 1 / FPS)
    curve = GrowthCurve(Search(20.0), history)
    spot = 100 + 10 * np.cos(2 * np.pi * rate * t) + rng.normal(0, noise, len(t))
    for piece in np.array_split(np.arange(len(t)), max(1, round(seconds))):
        curve.add(t[piece] + EPOCH, {"spot": spot[piece], "other": 0 * t[piece] + 50})
    return curve


def lines(seconds, width=30):
    strip = StripLines(120.0)
    t = np.arange(0, seconds, 1 / FPS)
    strip.add(t + EPOCH, np.outer(1 + t, np.arange(width)))
    return strip


def draw(picture, curve, strips=()):
    picture.draw(curve, dict(strips))
    picture.caption(Caption("cam growth", "run 1", "0.5 1/s", "20 fps", "note"))
    stale = picture.stale
    picture.render()
    return stale


def seen(picture: Any) -> Any:
    return np.asarray(picture.figure.canvas.buffer_rgba()).copy()


def test_the_rate_is_followed_and_said(picture):
    curve = grown(60)
    draw(picture, curve)
    assert curve.rate.rate == pytest.approx(0.5, rel=0.005)
    assert len(curve.rates) == 59
    assert np.isfinite(curve.rates[8:, 1]).all()
    axes = {axes.get_label(): axes for axes in picture.figure.axes}
    assert axes["spectrum"].texts[0].get_text() == str(curve.rate)
    x, y = axes["spectrum"].lines[0].get_data()
    assert x[np.argmax(y)] == pytest.approx(0.5, abs=0.03)
    ages, values = axes["intensity"].lines[0].get_data()
    np.testing.assert_allclose(ages, curve.times - curve.times[-1])
    np.testing.assert_array_equal(values, curve.values["spot"])
    assert [text.get_text() for text in axes["intensity"].texts[:2]] == ["spot", "other"]


def test_where_nothing_oscillates_it_says_so(picture):
    curve = grown(30, rate=0)
    assert curve.rate is None
    draw(picture, curve)
    assert [t.get_text() for axes in picture.figure.axes for t in axes.texts].count("no oscillation") == 1


def test_what_is_drawn_over_a_copy_looks_as_if_all_were_drawn(picture):
    draw(picture, grown(60), [("strip", lines(60))])
    assert not draw(picture, grown(60, seed=1), [("strip", lines(60))])
    quick = seen(picture)
    picture.stale = True
    picture.render()
    assert np.array_equal(quick, seen(picture))
    draw(picture, grown(60, rate=0.6), [("strip", lines(60))])
    assert not np.array_equal(quick, seen(picture))


def test_curves_of_every_length_can_be_drawn_one_after_the_other(picture):
    for seconds in (0.04, 0.5, 17, 5):
        draw(picture, grown(seconds), [("strip_000", lines(seconds)), ("strip_045", lines(seconds, 70))])
    picture.clear()
    draw(picture, grown(0))
    draw(picture, grown(4))


def test_a_curve_without_values_can_be_drawn(picture):
    curve = GrowthCurve(Search(20.0), 120.0)
    t = np.arange(100) / 20 + EPOCH
    curve.add(t, {"spot": np.full(100, np.nan)})
    draw(picture, curve)
    curve.add(t + 5, {"spot": np.arange(100.0)})
    draw(picture, curve)


def test_a_strip_has_room_of_its_own_when_there_is_one(picture):
    draw(picture, grown(5))
    height = seen(picture).shape[0]
    draw(picture, grown(5), [("strip", lines(5))])
    assert seen(picture).shape[0] > height
    shown = next(axes for axes in picture.figure.axes if axes.get_label() == "strip")
    assert shown.get_visible()
    draw(picture, grown(5), [("strip_000", lines(5)), ("strip_090", lines(5))])
    assert [label.get_text() for label in shown.get_yticklabels()] == ["0°", "90°"]


def test_only_the_history_is_kept_and_the_window_is_measured():
    curve = grown(100, history=30.0)
    assert curve.times[-1] - curve.times[0] <= 30.0
    assert curve.rates[0, 0] >= curve.times[0]
    frequencies, amplitudes = curve.spectrum()
    assert amplitudes.max() == pytest.approx(10, rel=0.1)
    assert frequencies[1] < 0.05


def test_a_clock_that_is_set_back_begins_anew():
    curve = grown(30)
    curve.add(np.arange(10) / FPS + EPOCH - 1000, {"spot": np.ones(10)})
    assert (len(curve.times), len(curve.rates), list(curve.values)) == (10, 0, ["spot"])
    strip = lines(10)
    strip.add(np.array([EPOCH - 1000]), np.ones((1, 30)))
    assert len(strip.times) == 1


def test_a_clock_that_is_corrected_by_milliseconds_changes_nothing():
    curve, strip = grown(30), lines(30)
    before, profiles = len(curve.rates), len(strip.times)
    t = curve.times[-1] - 0.04 + np.arange(40) / FPS
    curve.add(t, {"spot": np.ones(40), "other": np.ones(40)})
    strip.add(t, np.ones((40, 30)))
    assert len(curve.times) == 640
    assert (np.diff(curve.times) >= 0).all()
    assert len(curve.rates) >= before + 1
    assert len(strip.times) > profiles
    assert (np.diff(strip.times) >= 0).all()


def test_a_clock_that_jumps_by_years_costs_nothing():
    curve = grown(10)
    curve.add(np.arange(400) / FPS + EPOCH + 1e9, {"spot": np.ones(400), "other": np.ones(400)})
    assert curve.times[0] > EPOCH + 1e8
    assert len(curve.rates) < 200


def test_a_strip_shows_the_last_profile_before_each_moment():
    strip = StripLines(120.0)
    strip.add(EPOCH + np.array([10.0, 20.0]), np.array([[1, 2], [3, 4]]))
    image = strip.image(EPOCH + np.array([9.0, 10.5, 19.0, 21.0]))
    np.testing.assert_array_equal(image, [[np.nan, 1, 1, 3], [np.nan, 2, 2, 4]])


def test_profiles_close_in_time_are_averaged_and_old_ones_forgotten():
    strip = StripLines(120.0)
    times = EPOCH + np.arange(0, 400, 1 / 120)
    for piece in np.array_split(np.arange(len(times)), 40):
        strip.add(times[piece], np.outer(times[piece] - EPOCH, np.ones(700)).astype(np.float32))
    assert len(strip.times) <= 1201
    assert strip.times[-1] - strip.times[0] <= 121
    assert strip.lines.shape[1] == 350
    np.testing.assert_allclose(strip.lines[:, 0], strip.times - EPOCH, atol=0.11)


def test_strips_are_stacked_with_a_gap():
    image, middles = stacked([np.ones((3, 4), np.float32), np.full((5, 4), 2, np.float32)])
    assert image.shape == (10, 4)
    assert middles == [1.0, 7.0]
    assert np.isnan(image[3:5]).all()
