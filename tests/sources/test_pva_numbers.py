"""What a server's numbers say: frames change places, a counter comes to its end, or nobody numbers them."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from pva_camera import PvaCamera

NOW = float(int(time.time()) - 600)  # s since 1970


@pytest.fixture(scope="module")
def server() -> Iterator[PvaCamera]:
    with PvaCamera("SRC:N:Image") as camera:
        yield camera


@pytest.fixture
def deliver(server, follow, listener, wait_for):
    """Return a function that follows the server, has it post frames, and waits for them."""

    def post(numbers: list[int], *, timestamps: bool = True, expect: int | None = None) -> None:
        server.post([(numbers[0] - 1, NOW)])
        follow(server.pv)
        server.post([(n, NOW + 0.01 * k if timestamps else None) for k, n in enumerate(numbers, 1)])
        expected = len(numbers) if expect is None else expect
        wait_for(lambda: len(listener.frames) >= expected, timeout=20, what=f"{expected} frames")

    return post


def test_frames_that_changed_places_are_both_delivered_and_the_late_one_takes_its_gap_back(deliver, listener):
    deliver([1, 2, 4, 3, 5])
    assert listener.ids == [1, 2, 4, 3, 5]
    assert listener.missing == [0, 0, 1, -1, 0]


def test_a_counter_of_31_bits_goes_on_at_its_negative_end(deliver, listener):
    deliver([2**31 - 2, 2**31 - 1, -(2**31), -(2**31) + 1])
    assert listener.missing == [0, 0, 0, 0]


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_server_that_numbers_no_frame_loses_none(server, follow, listener, wait_for, timestamps):
    server.post([(0, NOW if timestamps else None)])
    follow(server.pv)
    for n in range(1, 21):  # each on its own, so that pixels tell them
        server.post([(0, NOW + 0.01 * n if timestamps else None)])
    wait_for(lambda: len(listener.frames) >= 20, timeout=20, what="20 frames")
    assert listener.ids == [0] * 20
    assert set(listener.missing) == {None}
    assert np.unique(np.diff([int(f.image[0, 0]) for f in listener.frames]) % 250).tolist() == [1]


def test_a_numbered_frame_that_is_posted_again_is_no_new_one(server, follow, listener, wait_for):
    server.post([(5, NOW)])
    source = follow(server.pv)
    server.post([(6, NOW + 1), (6, NOW + 2), (6, NOW + 3), (7, NOW + 4)])
    wait_for(lambda: 7 in listener.ids, timeout=20, what="frame 7")
    assert listener.ids == [6, 7]
    assert (listener.repeats, source.counters.repeated) == (2, 2)


def test_a_single_frame_under_the_number_of_the_last_one_is_delivered_though_no_other_follows(
    server, follow, listener, wait_for
):
    server.post([(1, NOW)])
    follow(server.pv)
    for n in range(1, 4):  # a camera that counts from 1 at each start, and makes one
        server.post([(1, NOW + n)])
        wait_for(lambda n=n: len(listener.frames) >= n, timeout=20, what=f"frame {n}")
    assert listener.ids == [1, 1, 1]
    assert [f.timestamp for f in listener.frames] == [NOW + 1, NOW + 2, NOW + 3]


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_server_that_ceases_to_number_its_frames_is_recorded_on(server, follow, listener, wait_for, timestamps):
    server.post([(5, NOW if timestamps else None)])
    source = follow(server.pv)
    for n in range(1, 11):  # it counted once, and stands from there on
        server.post([(6, NOW + n if timestamps else None)])
        wait_for(lambda n=n: source.counters.updates > n, timeout=20, what=f"update {n}")
    wait_for(lambda: len(listener.frames) >= 8, timeout=20, what="8 frames")
    assert (listener.repeats, listener.missing) == (2, [0] + [None] * 7)
    for n in range(11, 14):  # as one whose number is that of its acquisition
        server.post([(7, NOW + n if timestamps else None)])
        wait_for(lambda n=n: source.counters.updates > n, timeout=20, what=f"update {n}")
    wait_for(lambda: len(listener.frames) >= 11, timeout=20, what="11 frames")
    assert listener.repeats == 2


def test_a_frame_that_is_posted_again_and_again_is_none(server, follow, listener, wait_for):
    server.post([(5, NOW)])
    source = follow(server.pv)
    for n, (number, stamp) in enumerate([(6, NOW + 1)] * 6 + [(7, NOW + 2)], 1):
        server.post([(number, stamp)])
        wait_for(lambda n=n: source.counters.updates > n, timeout=20, what=f"update {n}")
    assert listener.ids == [6, 7]
    assert listener.repeats == 5
