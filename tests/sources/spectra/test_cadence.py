"""The number of a spectrum and what is missing before it: exact with a count, never a false loss without one."""

import math
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.sources.cadence import Cadence
from beamstream.spectra_wire import Spectrum, block_time_text

NOTHING = np.zeros((1, 1, 1), "<f4")
START = 1755537514.794256  # s since 1970, and a fraction
RECORDER = 1024 * 24 * 8192 / 196e6 / 2  # s, of last_block_time, between the recorder's messages
LEARN = 8  # spectra after which every cadence here is known
periods = st.floats(2e-4, 100.0)
drops = st.lists(st.integers(0, 20), min_size=1, max_size=60)


def a_spectrum(time: float, *, sequence: int | None = None, tag: int = 1, timestamp: float | None = None) -> Spectrum:
    """Return a spectrum as it comes over the wire: with its time in whole microseconds."""
    return Spectrum(NOTHING, tag, time if timestamp is None else timestamp, round(float(time), 6), sequence)


def seen(spectra: list[Spectrum]) -> list[tuple[int, int | None]]:
    cadence = Cadence()
    return [cadence.see(spectrum) for spectrum in spectra]


def missing(times: list[float], **header) -> list[int | None]:
    return [lost for _, lost in seen([a_spectrum(time, **header) for time in times])]


@settings(max_examples=60)
@given(st.integers(-(2**40), 2**40), drops, st.lists(st.floats(0, 1e9), min_size=61, max_size=61))
def test_with_a_count_numbers_and_losses_are_the_publishers_whatever_the_times(first, lost, times):
    numbers = list(accumulate([first, *(n + 1 for n in lost)]))
    spectra = [a_spectrum(time, sequence=n) for n, time in zip(numbers, times, strict=False)]
    assert seen(spectra) == list(zip(numbers, [0, *lost], strict=True))


@settings(max_examples=60)
@given(periods, st.lists(st.tuples(st.integers(1, 1000), st.integers(2, 8)), max_size=20))
def test_without_a_count_jumps_of_an_even_cadence_are_counted_exactly(period, losses):
    lost = [0] * LEARN
    for gap, whole in losses:
        lost += [gap, *[0] * whole]
    numbers = list(accumulate([0, *(n + 1 for n in lost)]))
    assert seen([a_spectrum(START + n * period) for n in numbers]) == list(zip(numbers, [0, *lost], strict=True))


@settings(max_examples=60)
@given(periods, st.lists(st.floats(-0.1, 0.1), min_size=LEARN, max_size=200))
def test_averages_over_nine_to_eleven_gulps_are_no_loss(period, jitter):
    times = [START + (n + shift) * period for n, shift in enumerate(jitter)]  # steps of ±20 %
    assert missing(times) == [0] * len(times)


@settings(max_examples=60)
@given(periods, st.lists(st.floats(-0.1, 0.1), min_size=30, max_size=60), st.integers(LEARN, 25))
def test_a_single_spectrum_lost_among_uneven_ones_is_seen(period, jitter, at):
    times = [START + (n + shift) * period for n, shift in enumerate(jitter)]
    del times[at]
    assert missing(times) == [1 if n == at else 0 for n in range(len(times))]


@settings(max_examples=60)
@given(st.floats(0.01, 50.0), st.floats(0, 1), st.integers(20, 200))
def test_times_of_whole_seconds_are_no_loss_at_any_cadence(period, phase, number):
    stamps = [START + phase + n * period for n in range(number)]
    spectra = [a_spectrum(math.floor(stamp), timestamp=stamp) for stamp in stamps]
    assert [lost for _, lost in seen(spectra)] == [0] * number


def test_four_a_second_with_whole_seconds_are_no_loss_and_a_gap_among_them_is_seen():
    times = [float(1_755_537_514 + n // 4) for n in range(40)]
    assert missing(times) == [0] * 40
    del times[20:30]  # two and a half seconds
    assert missing(times) == [0] * 20 + [8] + [0] * 9  # of whole seconds one cannot tell more exactly than this


def test_one_a_second_on_the_second_shows_every_single_loss():
    numbers = [*range(10), 11, 12, 13, 15, *range(16, 30)]
    times = [float(1_755_537_514 + n) for n in numbers]
    assert missing(times) == [0, *(b - a - 1 for a, b in pairwise(numbers))]


def test_the_recorders_cadence_is_no_loss_and_a_lost_gulp_is_two_spectra():
    times = [START + n * RECORDER for n in range(100)]
    arrivals = [START + (n // 2) * 2 * RECORDER for n in range(100)]  # a pair has one timestamp
    spectra = [a_spectrum(t, timestamp=a) for t, a in zip(times, arrivals, strict=True)]
    assert [lost for _, lost in seen(spectra)] == [0] * 100
    del spectra[50:52]
    assert [lost for _, lost in seen(spectra)] == [2 if n == 50 else 0 for n in range(98)]


def test_pairs_with_one_time_are_no_loss_and_a_lost_pair_is_two_spectra():
    times = [START + n // 2 for n in range(60)]
    assert missing(times) == [0] * 60
    del times[30:32]
    assert missing(times) == [2 if n == 30 else 0 for n in range(58)]


def test_a_time_without_a_fraction_now_and_then_is_a_time_like_any_other():
    times = [1_755_537_514 + n * 0.25 for n in range(40)]
    assert sum("." not in block_time_text(time) for time in times) == 10
    del times[21]
    assert missing(times) == [1 if n == 21 else 0 for n in range(39)]


def test_nothing_is_declared_lost_until_three_steps_are_known():
    assert missing([START, START + 1, START + 50, START + 51]) == [0, 0, 0, 0]
    assert missing([START, START + 1, START + 2, START + 3, START + 6]) == [0, 0, 0, 0, 2]


@settings(max_examples=60)
@given(periods, st.floats(2.0, 50.0))
def test_a_slower_cadence_is_believed_after_eight_spectra(period, slower):
    times = [START + n * period for n in range(30)]
    times += [times[-1] + (n + 1) * period * slower for n in range(40)]
    lost = missing(times)
    assert lost[:30] == [0] * 30
    assert lost[39:] == [0] * 31


def test_a_count_that_runs_back_or_stands_still_says_that_nobody_knows():
    spectra = [a_spectrum(START + n, sequence=s) for n, s in enumerate((7, 8, 0, 1, 1, 2))]
    assert seen(spectra) == [(7, 0), (8, 0), (0, None), (1, 0), (1, None), (2, 0)]


def test_a_time_that_runs_back_is_a_restart_and_the_cadence_is_learnt_anew():
    times = [*(START + n for n in range(10)), *(START - 100 + 7 * n for n in range(6)), START - 100 + 7 * 8]
    assert seen([a_spectrum(t) for t in times]) == [
        *((n, 0) for n in range(10)),
        (10, None),
        *((11 + n, 0) for n in range(5)),
        (18, 2),
    ]


def test_a_jump_with_a_new_time_tag_is_a_new_sequence_and_not_a_loss():
    times = [START + n for n in range(10)]
    spectra = [*(a_spectrum(t, tag=1) for t in times), *(a_spectrum(t + 3600, tag=2) for t in times)]
    assert [lost for _, lost in seen(spectra)] == [*[0] * 10, None, *[0] * 9]


def test_a_count_that_jumps_with_a_new_time_tag_is_another_publishers():
    counts, tags = (5, 6, 7, 40, 41, 43), (1, 1, 1, 2, 2, 2)
    spectra = [a_spectrum(START + n, sequence=n, tag=tag) for n, tag in zip(counts, tags, strict=True)]
    assert seen(spectra) == [(5, 0), (6, 0), (7, 0), (40, None), (41, 0), (43, 1)]


def test_a_publisher_whose_time_tag_always_changes_still_shows_its_losses():
    numbers = [0, 1, 2, 3, 4, 5, 8, 9]
    assert seen([a_spectrum(START + n, tag=n) for n in numbers])[6] == (8, 2)


def test_a_publisher_that_begins_or_ceases_to_count_is_followed():
    counts = [None, None, None, None, None, 70, 71, 72, None, None]
    got = seen([a_spectrum(START + n, sequence=s) for n, s in enumerate(counts)])
    assert got == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (70, None), (71, 0), (72, 0), (73, 0), (74, 0)]


@settings(max_examples=60)
@given(periods, st.booleans())
def test_the_period_is_that_of_the_times_and_unknown_at_first(period, counted):
    cadence = Cadence()
    known = []
    for n in range(30):
        cadence.see(a_spectrum(START + 3 * n * period, sequence=3 * n if counted else None))
        known.append(cadence.period)
    assert known[:3] == [None] * 3
    expected = period if counted else 3 * period
    assert known[-1] == pytest.approx(expected, rel=0.02, abs=2e-6)


whatever = st.builds(
    Spectrum,
    st.just(NOTHING),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-6e10, 2.5e11),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)


@settings(max_examples=100)
@given(st.lists(whatever, max_size=50))
def test_whatever_the_headers_say_numbers_fit_64_bits_and_agree_with_what_is_missing(spectra):
    numbers = seen(spectra)
    assert all(-(2**63) <= n < 2**63 for n, _ in numbers)
    newest = numbers[0][0] if numbers else 0
    for number, lost in numbers[1:]:
        assert lost is None or number == newest + lost + 1 or (number < newest and lost in (-1, 0))  # late
        newest = number if lost is None else max(newest, number)
