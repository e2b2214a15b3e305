"""Which frame answers a request, and how many can have been made meanwhile, by the times of the last ones."""

import pytest

from beamstream.frame_times import FirstFrame, FrameTimes

NOW = 1_790_000_000.0  # s since 1970


class Clock:
    """What time says, in place of it."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - NOW + 1000.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("beamstream.frame_times.time", clock)
    return clock


class Camera:
    """A camera that runs by itself: frames of its own period, stamped when they begin, that come late."""

    def __init__(self, clock: Clock, *, period: float, delay: float, offset: float | None = 0.0) -> None:
        self._clock, self._period, self._delay, self._offset = clock, period, delay, offset
        self.times = FrameTimes()
        self.number = 0

    def come(self, number: int = 1) -> float:
        """Let frames come; return when the last one was begun."""
        begun = NOW
        for _ in range(number):
            self.number += 1
            begun = NOW + self.number * self._period
            self._clock.now = begun + self._delay
            taken = self._clock.now if self._offset is None else begun + self._offset
            self.times.add((self.number, taken, self._clock.now))
        return begun

    def passed(self) -> tuple[int, float, str]:
        """Ask for a frame now; return how many pass, how long after it the kept one was begun, and the rule."""
        self._clock.now += 0.3 * self._period
        asked, first = self._clock.now, FirstFrame()
        for passed in range(10_000):
            begun = self.come()
            if first.is_there(self.times):
                return passed, begun - asked, first.rule
        pytest.fail("no frame was ever taken")


@pytest.mark.parametrize("delay", [0.0001, 0.001, 0.03, 0.1, 0.25, 2.0])
@pytest.mark.parametrize("period", [0.001, 0.02, 0.5])
@pytest.mark.parametrize("before", [0, 1, 200])
def test_by_a_clock_that_agrees_the_frame_was_begun_after_the_request_and_at_most_two_periods(
    clock, period, delay, before
):
    camera = Camera(clock, period=period, delay=delay)
    camera.come(before)
    _, after, rule = camera.passed()
    assert rule == "timestamp"
    assert 0 <= after <= 2 * period + 1e-6 or (before == 0 and after <= 3 * period)


@pytest.mark.parametrize("offset", [-NOW + 100, 3600.0, -3600.0, 0.5, None])
def test_by_a_clock_that_is_another_one_a_single_frame_passes(clock, offset):
    camera = Camera(clock, period=0.02, delay=0.01, offset=offset)
    camera.come(100)
    passed, _, rule = camera.passed()
    assert (passed, rule) == (1, "count")


def test_without_a_clock_that_agrees_the_count_follows_the_measured_delay(clock):
    camera = Camera(clock, period=0.02, delay=0.01, offset=-7200.0)
    camera.come(40)
    camera._delay = 0.11  # five periods more: so many are under way
    camera.come(10)
    passed, after, rule = camera.passed()
    assert (passed, rule) == (6, "count")
    assert after >= 0


def test_a_clock_that_stands_still_or_runs_too_fast_is_none(clock):
    times = FrameTimes()
    for n in range(40):
        clock.now = NOW + 0.02 * n
        times.add((n, NOW, clock.now))
    assert not times.timing().agrees
    for n in range(40, 140):
        clock.now = NOW + 0.02 * n
        times.add((n, NOW + 0.002 * n, clock.now))
    assert not times.timing().agrees


def test_a_clock_that_is_set_back_while_a_frame_is_waited_for_does_not_hold_it_up(clock):
    camera = Camera(clock, period=0.02, delay=0.01)
    camera.come(100)
    first = FirstFrame()
    camera._offset = -4.9  # within what a delay may be
    waited = 0.0
    while waited < 20.0:
        camera.come()
        waited += 0.02
        if first.is_there(camera.times):
            break
    assert waited < 5.1


def test_the_room_between_two_frames_is_what_their_times_have_room_for(clock):
    camera = Camera(clock, period=0.01, delay=0.001)
    camera.come(100)
    camera.number += 50  # lost
    camera.come()
    expected, most = camera.times.possible_before_newest(0.0)
    assert expected == pytest.approx(50, abs=0.1)
    assert 50 < most < 300
    camera.come()
    expected, most = camera.times.possible_before_newest(0.0)
    assert expected == pytest.approx(0, abs=0.1)
    assert most < 30


def test_frames_that_waited_for_us_without_a_time_stamp_are_no_jump_of_the_count(clock):
    camera = Camera(clock, period=0.01, delay=0.0, offset=None)
    camera.come(100)
    last = camera.number
    clock.now += 1.0  # we were busy: 50 waited in the client's queue, 50 were lost before the newest
    for n in [*range(last + 1, last + 51), last + 101]:
        clock.now += 1e-5
        camera.times.add((n, clock.now, clock.now))
    _, most = camera.times.possible_before_newest(0.0)
    assert most >= 50
