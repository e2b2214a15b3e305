"""Rows as JSON text: whatever came and whenever it was asked for, the text is that of the rows."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.live.combining import combined
from beamstream.live.history import History
from beamstream.live.rows_json import RowsAsJson


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.lists(st.tuples(st.integers(0, 180), st.integers(1, 400)), max_size=8))
def test_the_text_of_the_last_rows_is_that_of_the_numbers(rows, steps):
    history = History(rows, n_beams=2, n_channels=3)
    text = RowsAsJson(history, 1)
    expected: list[list[float]] = []
    for more, asked in steps:
        for _ in range(more):
            values = np.arange(6, dtype=np.float32).reshape(2, 3) / 4 + len(expected)
            history.append(values, 0.0, 0.0)
            expected.append(values[1].tolist())
        assert json.loads(b"[" + b"".join(text.last(asked)) + b"]") == expected[-min(asked, rows) :]
        assert json.loads(text.newest()) == (expected[-1] if expected else [])


def test_a_history_of_giants_keeps_fewer_rows():
    assert History(1200, 1, 2**20).rows == 128


def test_rows_are_combined_into_their_means_and_gaps_do_not_count():
    values = np.array([[1, 1], [3, np.nan], [5, np.nan], [7, np.nan], [9, 2]], np.float32)
    means, times, many = combined(values, np.arange(5.0), 2)
    np.testing.assert_array_equal(means, [[2, 1], [6, np.nan], [9, 2]])
    assert times.tolist() == [0.5, 2.5, 4]
    assert many.tolist() == [2, 2, 1]
