"""Cameras whose clock cannot be believed: their frames are dated by their arrival, and their own time is kept."""

import time
from collections.abc import Callable, Iterator

import pytest
from pva_camera import PvaCamera

DAY = 86400.0  # s
UPTIME = 4711.0  # s


@pytest.fixture(scope="module")
def server() -> Iterator[PvaCamera]:
    with PvaCamera("SRC:C:Image") as camera:
        yield camera


@pytest.fixture
def stamped(server, follow, listener, wait_for) -> Callable[[list[float]], None]:
    """Return a function that has the server post frames with these time stamps, one by one."""
    server.post([(0, None)])
    follow(server.pv)

    def post(stamps: list[float]) -> None:
        for stamp in stamps:
            before = len(listener.frames)
            server.post([(before + 1, stamp)])
            wait_for(lambda before=before: len(listener.frames) > before, timeout=20, what="a frame")

    return post


def _assert_by_arrival(frames, stamps) -> None:
    for frame, stamp in zip(frames, stamps, strict=True):
        assert frame.clock == "arrival"
        assert frame.timestamp == frame.received
        assert frame.attributes["camera_timestamp"] == pytest.approx(stamp, abs=1e-6)
        assert frame.stamped == frame.attributes["camera_timestamp"]
    assert [f.timestamp for f in frames] == sorted(f.timestamp for f in frames)


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (UPTIME, "at 1970-01-01T01:18:31Z"),
        (631_152_000 + UPTIME, "at 1990-01-01T01:18:31Z"),
        (time.time() - 1.1 * DAY, "1 days behind ours"),
        (time.time() + 400 * DAY, "400 days ahead of ours"),
    ],
    ids=["uptime", "EPICS", "behind", "ahead"],
)
def test_a_clock_that_is_more_than_a_day_off_is_said_once_and_dates_nothing(stamped, listener, caplog, first, named):
    stamps = [first + 0.1 * n for n in range(4)]
    stamped(stamps)
    _assert_by_arrival(listener.frames, stamps)
    (said,) = [record.message for record in caplog.records if record.name == "beamstream.sources.camera_clock"]
    assert said.startswith("cam: the camera's clock is")
    assert named in said
    assert "set its clock" in said


@pytest.mark.parametrize("offset", [0.0, -300.0, 300.0, 14 * 3600.0, -12 * 3600.0])
def test_a_clock_that_is_minutes_or_a_time_zone_off_is_the_cameras(stamped, listener, caplog, offset):
    stamps = [time.time() + offset + 0.1 * n for n in range(3)]
    stamped(stamps)
    assert [f.timestamp for f in listener.frames] == pytest.approx(stamps, abs=1e-6)
    assert {f.clock for f in listener.frames} == {"system"}
    assert not any("camera_timestamp" in f.attributes for f in listener.frames)
    assert not caplog.records


@pytest.mark.parametrize("jump", [-2 * DAY, 2 * DAY])
def test_a_clock_that_jumps_is_not_believed_from_there_on_even_when_it_is_right_again(stamped, listener, caplog, jump):
    now = time.time()
    stamps = [now - 0.2, now - 0.1, now + jump, now + jump + 0.1, time.time(), time.time()]
    stamped(stamps)
    assert [f.timestamp for f in listener.frames[:2]] == pytest.approx(stamps[:2], abs=1e-6)
    _assert_by_arrival(listener.frames[2:], stamps[2:])
    assert [f.timestamp for f in listener.frames] == sorted(f.timestamp for f in listener.frames)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("stamp", [None, 0.0, 631_152_000.0])
def test_a_camera_that_stamps_nothing_is_dated_by_arrival_and_that_is_said_once(
    server, follow, listener, wait_for, caplog, stamp
):
    server.post([(0, None)])
    follow(server.pv)
    for n in (1, 2):
        server.post([(n, stamp)])
        wait_for(lambda n=n: len(listener.frames) >= n, timeout=20, what="a frame")
    for frame in listener.frames:
        assert (frame.timestamp, frame.clock) == (frame.received, "arrival")
        assert "camera_timestamp" not in frame.attributes
    assert [record.message.partition(";")[0] for record in caplog.records] == ["cam: the camera stamps no valid time"]


@pytest.mark.parametrize("believed", [False, True])
def test_a_frame_of_last_month_that_the_server_still_has_is_as_old_as_it_is(server, follow, listener, caplog, believed):
    stamp = time.time() - 30 * DAY if believed else UPTIME
    server.post([(0, stamp)])
    follow(server.pv, present=True)
    (frame,) = listener.frames
    assert frame.timestamp == pytest.approx(stamp if believed else time.time(), abs=60)
    assert frame.received == frame.timestamp
    assert not caplog.records


def test_a_repeated_frame_of_such_a_camera_is_no_new_one(server, follow, listener, wait_for):
    server.post([(5, UPTIME)])
    follow(server.pv)
    server.post([(6, UPTIME + 1), (6, UPTIME + 1), (7, UPTIME + 2)])
    wait_for(lambda: 7 in listener.ids, timeout=20, what="frame 7")
    assert listener.ids == [6, 7]
    assert listener.repeats == 1
