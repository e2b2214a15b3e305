"""What a recording counts: frames that came twice, or never."""

import numpy as np
import pytest

from beamstream.frames import Frame, Geometry
from beamstream.watching.tape_writer import Account

GREY = Geometry((2, 2), "|u1")


def frame(number: int, timestamp: float) -> Frame:
    return Frame(np.zeros((2, 2), np.uint8), GREY, number, timestamp, timestamp + 0.1)


@pytest.fixture
def account() -> Account:
    account = Account()
    for number in (5, 6, 9):
        account.see(frame(number, 10.0 + number))
    return account


def test_numbers_that_were_left_out_are_lost(account):
    assert (account.received, account.lost, account.restarts) == (3, 2, 0)


@pytest.mark.parametrize(
    ("number", "timestamp", "had"),
    [(9, 19.0, True), (8, 18.0, True), (10, 20.0, False), (1, 25.0, False), (4000, 2.0, True), (10, 19.0, False)],
    ids=["the last one", "one before it", "the next one", "of a new count", "of an old count", "without a clock"],
)
def test_a_frame_was_had_unless_it_comes_after_the_last_one(account, number, timestamp, had):
    assert account.had(frame(number, timestamp)) is had


def test_a_count_that_begins_anew_is_no_loss(account):
    account.see(frame(0, 30.0))
    account.see(frame(2, 31.0))
    assert (account.received, account.lost, account.restarts) == (5, 3, 1)


def test_before_the_first_frame_none_was_had():
    assert not Account().had(frame(0, 0.0))
