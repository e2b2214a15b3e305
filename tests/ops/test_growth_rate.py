"""Growth rates against the truth: rates, decays, noises, pixel types; uneven times; and what does not oscillate."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beamstream.ops.growth_rate import growth_rate, growth_rates, rotation_harmonics, since_jump
from beamstream.ops.periodogram import spectrum
from beamstream.sim.rheed import RheedScene, RheedSpec

EPOCH = 1_790_000_000.0


def curve(rate, *, seconds=20.0, fps=30.0, decay=0.0, noise=1.0, drift=20.0, swing=10.0, phase=0.7, seed=0):
    """Return times and intensities of an oscillation on a drifting background."""
    rng = np.random.default_rng(seed)
    t = np.arange(0, seconds, 1 / fps)
    y = 100 + drift * t / seconds + swing * np.exp(-decay * t) * np.cos(2 * np.pi * rate * t + phase)
    return t + EPOCH, y + rng.normal(0, noise, len(t))


@settings(max_examples=150, deadline=None)
@given(
    periods=st.floats(4, 30),
    seconds=st.floats(8, 60),
    fps=st.sampled_from([10.0, 30.0, 120.0]),
    fading=st.floats(0, 2),
    noise=st.floats(0, 0.3),
    drift=st.floats(-5, 5),
    phase=st.floats(0, 2 * math.pi),
    dtype=st.sampled_from(["u1", "u2", "f4", "f8"]),
    seed=st.integers(0, 1000),
)
@example(periods=4.0, seconds=8.0, fps=10.0, fading=2.0, noise=0.3, drift=0.0, phase=0.0, dtype="u1", seed=0)
def test_the_rate_is_right_within_its_sigma_and_one_per_cent(
    periods, seconds, fps, fading, noise, drift, phase, dtype, seed
):
    rate = periods / seconds
    if rate > fps / 5:
        rate = fps / 5
    t, y = curve(
        rate, seconds=seconds, fps=fps, decay=fading / seconds, noise=10 * noise, drift=drift, phase=phase, seed=seed
    )
    y = np.clip(y, 0, 255)
    y = y.round().astype(dtype) if dtype.startswith("u") else y.astype(dtype)
    found = growth_rate(t, y)
    assert found is not None
    assert abs(found.rate - rate) < 0.01 * rate + 5 * found.sigma
    if found.sigma < 0.002 * rate:
        assert abs(found.rate - rate) < 0.01 * rate


def test_the_uncertainty_is_how_much_rates_of_equal_curves_differ():
    found = [growth_rate(*curve(0.5, decay=0.05, noise=5.0, seed=seed)) for seed in range(150)]
    pulls = [(rate.rate - 0.5) / rate.sigma for rate in found if rate is not None]
    assert len(pulls) == 150
    assert 0.8 < np.std(pulls) < 1.2
    assert abs(np.mean(pulls)) < 0.25


def test_without_decay_it_is_the_bound_of_cramer_and_rao():
    found = growth_rate(*curve(0.5, noise=1.0, drift=0.0))
    bound = math.sqrt(6) / (math.pi * 10 * 20 * math.sqrt(600))
    assert found.sigma == pytest.approx(bound, rel=0.3)
    assert found.snr == pytest.approx(10, rel=0.1)
    assert found.amplitude == pytest.approx(10, rel=0.05)


def test_a_rate_that_changes_is_less_sure():
    t = np.arange(0, 20, 1 / 30)
    rng = np.random.default_rng(0)
    turns = np.where(t < 10, 0.5 * t, 5 + 0.53 * (t - 10))
    changing = growth_rate(t, 100 + 10 * np.cos(2 * np.pi * turns) + rng.normal(0, 0.5, len(t)))
    steady = growth_rate(*curve(0.515, noise=0.5))
    assert changing.sigma > 3 * steady.sigma
    assert abs(changing.rate - 0.515) < 0.015


@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_uneven_times_and_lost_frames_do_no_harm(seed):
    rng = np.random.default_rng(seed)
    t, y = curve(0.4, fps=60, noise=2.0, seed=seed)
    kept = np.sort(rng.choice(len(t), 500, replace=False))
    kept = kept[(t[kept] - EPOCH < 8) | (t[kept] - EPOCH > 10)]
    found = growth_rate(t[kept], y[kept])
    assert found.rate == pytest.approx(0.4, rel=0.01)
    assert abs(found.rate - 0.4) < 6 * found.sigma


def wandering(rng, n):
    return np.cumsum(rng.normal(0, 1, n))


def stepping(rng, n):
    return rng.normal(0, 1, n) + 50 * (np.arange(n) > rng.uniform(0.1, 0.9) * n)


def fading(rng, n):
    return 50 * np.exp(-np.arange(n) / n * rng.uniform(1, 20)) + rng.normal(0, 0.1, n)


def coloured(rng, n):
    return np.convolve(rng.normal(0, 1, n + 60), np.exp(-np.arange(60) / 15), "same")[:n]


@pytest.mark.parametrize(
    "make",
    [lambda rng, n: rng.normal(100, 1, n), wandering, stepping, fading, coloured],
    ids=["white", "walk", "step", "fade", "red"],
)
def test_what_does_not_oscillate_has_no_rate(make):
    rng = np.random.default_rng(5)
    t = np.arange(0, 20, 1 / 30)
    false = sum(growth_rate(t, make(rng, len(t))) is not None for _ in range(150))
    assert false <= 2  # of 150, with a probability of 0.001 each


@pytest.mark.parametrize(
    "y",
    [np.full(600, 7.0), np.zeros(600), np.linspace(0, 9, 600), np.full(600, np.nan), np.exp(-np.arange(600) / 90)],
    ids=["constant", "black", "a line", "NaN", "a decay without noise"],
)
def test_curves_without_noise_and_without_oscillation_have_no_rate(y):
    assert growth_rate(np.arange(600) / 30, y) is None


def test_too_little_is_no_rate():
    t, y = curve(0.5)
    assert growth_rate(t[:10], y[:10]) is None
    assert growth_rate(t[:90], y[:90]) is None  # 1.5 periods
    assert growth_rate([], []) is None


def test_values_that_are_not_finite_and_times_that_come_twice_are_left_out():
    t, y = curve(0.5, noise=0.1)
    y[::7] = np.nan
    y[3] = np.inf
    t[100] = t[99]
    assert growth_rate(t, y).rate == pytest.approx(0.5, rel=1e-3)


def test_times_and_intensities_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="times of shape"):
        growth_rate([1, 2], [1])


def test_times_may_go_back():
    t, y = curve(0.5, noise=0.5)
    order = np.random.default_rng(0).permutation(len(t))
    assert growth_rate(t[order], y[order]) == growth_rate(t, y)


def test_the_phase_is_0_at_a_maximum_and_a_half_at_a_minimum():
    t = np.arange(0, 20.001, 1 / 50)
    rng = np.random.default_rng(1)
    for turns, phase in [(10.0, 0.0), (9.5, 0.5), (10.25, 0.25)]:
        y = 100 + 10 * np.cos(2 * np.pi * turns * t / 20) + rng.normal(0, 0.2, len(t))
        assert abs((growth_rate(t, y).phase - phase + 0.5) % 1 - 0.5) < 0.01


def test_a_band_says_where_to_look():
    t, y = curve(0.5, noise=0.5)
    y += 30 * np.cos(2 * np.pi * 2 * t)
    assert growth_rate(t, y).rate == pytest.approx(2, rel=1e-3)
    assert growth_rate(t, y, band=(None, 1)).rate == pytest.approx(0.5, rel=5e-3)
    assert growth_rate(t, curve(0.5)[1], band=(1, None)) is None


def test_what_a_rotation_does_is_no_growth():
    t, y = curve(0.41, noise=0.5)
    turning = y + 40 * np.cos(2 * np.pi * 0.2 * (t - EPOCH)) + 20 * np.cos(2 * np.pi * 0.8 * (t - EPOCH) + 1)
    assert growth_rate(t, turning).rate == pytest.approx(0.2, rel=0.01)
    assert growth_rate(t, turning, ignore=rotation_harmonics(12)).rate == pytest.approx(0.41, rel=0.01)
    assert rotation_harmonics(0) == ()
    assert rotation_harmonics(-30) == pytest.approx((0.5, 1, 1.5, 2))


def test_an_hour_at_120_fps_has_its_rate_too():
    found = growth_rate(*curve(0.5, seconds=3600, fps=120, noise=5))
    assert abs(found.rate - 0.5) < 5 * found.sigma < 1e-5


def test_a_jump_is_where_a_shutter_moved():
    t = np.arange(0, 20, 1 / 30)
    rng = np.random.default_rng(2)
    growing = 80 + 10 * np.cos(2 * np.pi * 0.5 * t) + rng.normal(0, 1, len(t))
    assert since_jump(growing) == 0
    begun = np.where(t < 10, 90 + rng.normal(0, 1, len(t)), growing)  # at a maximum: no jump
    assert since_jump(begun) == 0
    covered = np.where((t > 5) & (t < 9), 0, growing)
    assert abs(t[since_jump(covered)] - 9) < 0.15
    spike = growing.copy()
    spike[300] = 1000
    assert since_jump(spike) == 0
    assert since_jump(np.full(100, np.nan)) == since_jump([]) == since_jump(np.zeros(50)) == 0


def test_rates_follow_a_run_through_a_covered_screen():
    t, y = curve(0.5, seconds=60, noise=1.0, drift=0.0)
    covered = (t - EPOCH > 25) & (t - EPOCH < 30)
    at, rates, sigmas = growth_rates(t, np.where(covered, 0, y), window=15, every=1)
    seconds = at - EPOCH
    assert at == pytest.approx(EPOCH + np.arange(1, 61), abs=0.1)
    assert np.isnan(rates[(seconds < 5) | ((seconds > 25.5) & (seconds < 34.5))]).all()
    for calm in ((seconds > 8) & (seconds < 24), seconds > 40):
        assert np.abs(rates[calm] - 0.5).max() < 0.005
        assert np.isfinite(sigmas[calm]).all()


def test_rates_are_only_where_there_are_values():
    t, y = curve(0.5, seconds=30)
    at, rates, _ = growth_rates(np.concatenate([t, t + 1e9]), np.concatenate([y, y]))
    assert 60 <= len(at) == len(rates) <= 62
    assert growth_rates([], [])[0].shape == (0,)


def test_the_spectrum_is_as_high_as_the_oscillation():
    frequencies, amplitudes = spectrum(*curve(0.5, noise=0.1))
    top = np.argmax(amplitudes)
    assert amplitudes[top] == pytest.approx(10, rel=0.02)
    assert frequencies[top] == pytest.approx(0.5, abs=0.02)
    assert [len(part) for part in spectrum([1], [1])] == [0, 0]


@pytest.mark.parametrize("dtype", ["|u1", "<u2"])
@pytest.mark.parametrize("rate", [0.2, 0.55, 1.3])
def test_the_rate_of_a_simulated_growth_is_right_within_one_per_cent(rate, dtype):
    scene = RheedScene(RheedSpec(shape=(64, 96), dtype=dtype, growth_rate=rate, growth=((0, 100),)))
    row, col, n_rows, n_cols = scene.region
    t = np.arange(2, 22 if rate > 0.4 else 42, 1 / 12)
    y = [scene.image(s)[row : row + n_rows, col : col + n_cols].mean() for s in t]
    found = growth_rate(t, y)
    assert found.rate == pytest.approx(rate, rel=0.01)
    assert abs(found.rate - rate) < 6 * found.sigma


def test_the_words_have_as_many_digits_as_are_sure():
    rate = growth_rate(*curve(0.5, noise=5.0))
    assert str(replace(rate, rate=0.50123456, sigma=0.00123)) == "0.5012 ± 0.0012 1/s"
    assert str(replace(rate, rate=0.50123456, sigma=0.03)) == "0.501 ± 0.030 1/s"
    assert str(replace(rate, rate=0.50123456, sigma=2.5)) == "0.5 ± 2.5 1/s"
