"""Where spectra lie in a waterfall, and what stands beside them."""

import numpy as np
import pytest

from beamstream.receiver.layout import arrange, cadence, date_and_time, duration, labels

NOON = 1_755_518_400.0  # 2025-08-18 12:00:00 UTC


def stream(n=100, step=0.25, start=NOON):
    return start + step * np.arange(n), np.arange(n)


def test_spectra_without_gaps_have_a_row_each():
    layout = arrange(*stream())
    assert layout.rows.tolist() == list(range(100))
    assert (layout.number, layout.gaps) == (100, ())


def test_a_missing_spectrum_is_an_empty_row():
    times, ids = stream()
    kept = (ids != 30) & (ids != 31)
    layout = arrange(times[kept], ids[kept])
    assert layout.number == 100
    assert sorted(set(range(100)) - set(layout.rows.tolist())) == [30, 31]
    (gap,) = layout.gaps
    assert (gap.row, gap.number, gap.seconds, gap.cut) == (30, 2, 0.75, False)


def test_a_pause_is_a_gap_although_no_number_is_missing():
    times, ids = stream()
    times[50:] += 12 * 3600
    layout = arrange(times, ids)
    (gap,) = layout.gaps
    assert gap.cut
    assert gap.seconds == 12 * 3600 + 0.25
    assert layout.number == 100 + gap.number <= 105, "a night takes little of the picture"


def test_the_recorders_own_cadence_has_no_gaps():
    n = np.arange(100)
    wall = NOON + 1.0272 * (n // 2) + 0.15 * (n % 2)  # two messages, then silence
    assert arrange(wall, n).gaps == ()


@pytest.mark.parametrize("ids", [np.zeros(4, np.int64), np.array([9, 8, 0, 1]), np.array([0, 2**62, -(2**62), 5])])
def test_numbers_that_run_back_or_wild_do_no_harm(ids):
    layout = arrange(NOON + np.arange(4.0), ids)
    assert layout.number < 20
    assert (np.diff(layout.rows) > 0).all()


def test_a_clock_that_was_set_back_is_a_gap_with_labels_on_both_sides():
    times = np.concatenate((stream(50)[0], stream(50)[0] - 3600))
    layout = arrange(times, np.arange(100))
    (gap,) = layout.gaps
    assert (gap.row, gap.number, gap.cut) == (50, 3, True)
    assert gap.seconds == pytest.approx(-3600 - 49 * 0.25)
    _, texts = labels(times, layout)
    assert {text[:2] for text in texts} == {"11", "12"}


def test_one_spectrum_and_none_can_be_arranged():
    assert arrange(np.array([NOON]), np.array([7])).number == 1
    assert arrange(np.empty(0), np.empty(0, np.int64)).number == 0
    assert cadence(np.array([NOON])) == 0


@pytest.mark.parametrize(
    ("n", "step", "first", "second"),
    [
        (1200, 0.25, "12:00:00", "12:00:30"),
        (1200, 0.001, "12:00:00.0", "12:00:00.2"),
        (1200, 10.0, "12:00:00", "12:20:00"),
        (40, 0.25, "12:00:00", "12:00:01"),
    ],
)
def test_labels_are_round_times_at_the_right_rows(n, step, first, second):
    times, ids = stream(n, step)
    places, texts = labels(times, arrange(times, ids))
    assert texts[:2] == [first, second]
    assert 5 <= len(texts) <= 13
    rows = np.diff(places)
    np.testing.assert_allclose(rows, rows[0], rtol=1e-4)


def test_there_are_labels_on_both_sides_of_a_long_gap_and_none_in_it():
    times, ids = stream(400)
    times[200:] += 40_000
    layout = arrange(times, ids)
    (gap,) = layout.gaps
    places, texts = labels(times, layout)
    assert not [p for p in places if gap.row <= p < gap.row + gap.number - 1]
    assert {text[:2] for text in texts} == {"12", "23"}


def test_times_and_spans_are_said_as_people_say_them():
    assert date_and_time(NOON + 0.25) == "2025-08-18 12:00:00.250"
    assert date_and_time(1e300) == "unknown time"
    assert [duration(s) for s in (0.5, 15.25, 130, 40_000)] == ["0.5 s", "15.2 s", "2 min 10 s", "11 h 06 min"]
