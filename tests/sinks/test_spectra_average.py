"""Means over time: which sample is in which average, and that it is the mean."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beamstream.errors import SinkError
from beamstream.sinks.spectra_average import TimeAverage

START = 1755537514.794256
SHAPE = (2, 5, 3)


def gulp(times, seed=0, dtype="f4"):
    return np.random.default_rng(seed).normal(100, 10, (times, *SHAPE)).astype(dtype)


def summed_up(samples):
    """Return the mean, made in the plainest way."""
    total = np.zeros(SHAPE)
    for sample in samples:
        total = total + sample.astype(np.float64)
    return (total / len(samples)).astype("<f4")


def groups_of(times, interval, step):
    """Return which samples belong together, sample by sample."""
    groups = []
    for number, time in enumerate(times):
        if not groups or time - times[groups[-1][0]] >= interval - step / 20:
            groups.append([])
        groups[-1].append(number)
    return groups


@settings(max_examples=200, deadline=None)
@given(
    step=st.floats(1e-3, 2.0),
    interval=st.floats(1e-3, 3.0),
    cuts=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    start=st.floats(0, 4e9),
)
def test_every_sample_is_in_one_average_however_the_gulps_are_cut(step, interval, cuts, start):
    assume(0.005 < (interval / step - 1 / 20) % 1 < 0.995)  # else rounding decides on a sample at the edge
    edges = [0, *sorted(cuts)]
    whole = gulp(edges[-1])
    average, made = TimeAverage(interval), []
    for first, stop in itertools.pairwise(edges):
        made += average.add(whole[first:stop], start + first * step, step)
    if rest := average.take():
        made.append(rest)
    groups = groups_of([n * step for n in range(len(whole))], interval, step)
    assert [one.samples for one in made] == [len(group) for group in groups]
    for one, group in zip(made, groups, strict=True):
        np.testing.assert_allclose(one.values, summed_up(whole[group]), rtol=2e-7)
        assert one.last_time == pytest.approx(start + group[-1] * step, abs=1e-6)
    assert average.take() is None


@pytest.mark.parametrize("dtype", ["?", "i1", ">u2", "<i4", "u8", "f2", ">f4", "f8", "longdouble"])
def test_any_real_type_is_averaged_into_little_endian_float32(dtype):
    samples = gulp(7, dtype=dtype)
    (made,) = TimeAverage(7.0).add(samples, START, 1.0)
    assert (made.values.dtype.str, made.values.flags.c_contiguous, made.whole) == ("<f4", True, True)
    np.testing.assert_array_equal(made.values, samples.astype("f8").mean(axis=0).astype("f4"))


def test_a_long_sum_of_large_float32_loses_nothing():
    samples = np.full((20_000, 1, 1, 1), 16_777_216, "f4")
    samples[::2] += 2
    average = TimeAverage(math.inf)
    average.add(samples, START, 1e-3)
    made = average.take()
    assert made is not None
    assert made.values.item() == 16_777_216  # 16 777 217, which float32 has not
    assert made.samples == 20_000


def test_nan_and_infinity_stay_in_their_channel_and_their_average():
    samples = gulp(8)
    samples[1, 0, 2, 1] = np.nan
    samples[2, 1, 4, 0] = np.inf
    first, second = TimeAverage(4.0).add(samples, START, 1.0)
    assert np.argwhere(np.isnan(first.values)).tolist() == [[0, 2, 1]]
    assert np.argwhere(np.isinf(first.values)).tolist() == [[1, 4, 0]]
    np.testing.assert_array_equal(second.values, summed_up(samples[4:]))


def test_a_mean_beyond_float32_is_infinite():
    (made,) = TimeAverage(1.0).add(np.full((2, *SHAPE), 1e300), START, 0.5)
    assert np.isposinf(made.values).all()


def test_no_mean_reaches_over_a_gap():
    average = TimeAverage(1.0)
    assert average.add(gulp(4), START, 0.1) == []
    (short,) = average.add(gulp(4, seed=1), START + 60, 0.1)
    assert (short.samples, short.whole, short.last_time) == (4, False, pytest.approx(START + 0.3))
    np.testing.assert_array_equal(short.values, summed_up(gulp(4)))


def test_a_smaller_gap_only_makes_the_average_poorer():
    average = TimeAverage(1.0)
    average.add(gulp(2), START, 0.1)
    (made,) = average.add(gulp(2), START + 0.8, 0.1)
    assert (made.samples, made.whole) == (4, True)


def test_data_that_begin_again_are_not_mixed_with_those_before():
    average = TimeAverage(1.0)
    average.add(gulp(4), START, 0.1)
    (short,) = average.add(gulp(3), START - 3600, 0.1)
    assert (short.samples, short.whole, average.samples) == (4, False, 3)


def test_single_samples_without_a_step_are_complete_as_soon_as_their_spacing_is_known():
    average, made = TimeAverage(0.4), []
    for number in range(8):
        made.append([one.samples for one in average.add(gulp(1), START + round(0.1 * number, 6))])
    assert made == [[], [], [], [4], [], [], [], [4]]


def test_single_samples_as_long_as_the_interval_are_late_by_one_until_that_is_known():
    average, made = TimeAverage(0.25), []
    for number in range(4):
        made.append([(one.samples, one.whole) for one in average.add(gulp(1), START + number)])
    assert made == [[], [(1, True), (1, True)], [(1, True)], [(1, True)]]


def test_spectra_of_another_shape_are_refused_with_both_and_nothing_is_taken():
    average = TimeAverage(10.0)
    average.add(gulp(2), START, 1.0)
    with pytest.raises(SinkError, match="spectra of 2 × 5 × 4 given, they were 2 × 5 × 3"):
        average.add(np.zeros((2, 2, 5, 4)), START + 2, 1.0)
    assert average.samples == 2
    assert average.add(gulp(8), START + 2, 1.0)[0].samples == 10


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((np.zeros((2, 5, 3)), START, 1.0), "float64 of shape \\(2, 5, 3\\) given; give real numbers of shape"),
        ((np.zeros((2, 1, 5, 0)), START, 1.0), "shape \\(2, 1, 5, 0\\)"),
        ((np.zeros((2, *SHAPE), complex), START, 1.0), "complex128"),
        ((np.full((2, *SHAPE), "x"), START, 1.0), "<U1"),
        ((gulp(2), START), "2 samples without a step given"),
        ((gulp(2), START, 0.0), "step = 0.0"),
        ((gulp(2), START, math.nan), "step = nan"),
        ((gulp(2), math.nan, 1.0), "start = nan"),
        ((gulp(2), -1.0, 1.0), "start = -1.0"),
        ((gulp(2), 1e12, 1.0), "start = 1000000000000.0"),
        ((np.broadcast_to(np.float32(0), (1, 64, 2**20, 4)), START, 1.0), "1073741824 bytes"),
    ],
)
def test_what_is_no_gulp_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        TimeAverage(1.0).add(*wrong)


def test_a_gulp_without_samples_changes_nothing():
    average = TimeAverage(1.0)
    assert average.add(gulp(0), START, 0.5) == []
    assert average.take() is None
