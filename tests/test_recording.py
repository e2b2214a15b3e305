"""A recording accepts what was asked for, and accounts for everything that came."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beamstream.errors import FrameLoss, GeometryChanged, RingOverrun, SilentSource, SinkError
from beamstream.frames import Frame, Geometry
from beamstream.ledger import Gap, Place, UniqueIds
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.window import Window

GEOMETRY = Geometry((16, 16), "<u2")


class GatedDisk(Hdf5Sink):
    """A file whose disk takes as many frames as it is allowed to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allowed = threading.Semaphore(0)

    def _append(self, frames: Any) -> None:
        for _ in frames:
            assert self.allowed.acquire(timeout=60)
        super()._append(frames)


class FailingDisk(Hdf5Sink):
    """A file on a disk that takes nothing before it is let, and may fail then."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.go, self.fails = threading.Event(), False

    def _append(self, frames: Any) -> None:
        assert self.go.wait(timeout=60)
        if self.fails:
            raise OSError(5, "Input/output error")
        super()._append(frames)


class SlowDisk(Hdf5Sink):
    """A file on a disk that takes 17 frames a second."""

    def _append(self, frames: Any) -> None:
        time.sleep(0.06 * len(frames))
        super()._append(frames)


def a_frame(unique_id: int, geometry: Geometry = GEOMETRY, timestamp: float | None = None) -> Frame:
    taken = time.time() if timestamp is None else timestamp
    image = np.full(geometry.shape, unique_id % 200, geometry.dtype)
    return Frame(image, geometry, unique_id, taken, taken + 0.001, "test")


@pytest.fixture
def disk(tmp_path: Path) -> GatedDisk:
    return GatedDisk(tmp_path / "gated.h5", GEOMETRY)


@pytest.fixture
def recordings(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Make recordings with a ring each; both are closed afterwards, before their directory goes."""
    made: list[tuple[Recording, Ring]] = []

    def make(sink: Any, *, slots: int = 1024, **kwargs: Any) -> Recording:
        ring = Ring(f"recording{len(made)}", slots=slots)
        made.append((Recording("cam", ring, sink, GEOMETRY, **kwargs), ring))
        return made[-1][0]

    yield make
    for recording, ring in made:
        recording.close()
        ring.close()


def test_drain_waits_for_a_slow_disk_as_long_as_it_makes_progress(recordings, tmp_path):
    recording = recordings(SlowDisk(tmp_path / "slow.h5", GEOMETRY))
    recording.arm(Window(40, lambda error: None, 5.0))
    for i in range(40):
        recording.frame(a_frame(i), 0)
    recording.finish()
    assert recording.drain(patience=1.8)  # all of it takes 2.4 s
    assert recording.ledger.recorded == 40


def test_drain_ends_when_the_disk_stands_still(recordings, disk):
    recording = recordings(disk)
    recording.arm(Window(4, lambda error: None, 5.0))
    for i in range(4):
        recording.frame(a_frame(i), 0)
    assert not recording.drain(patience=0.05)
    disk.allowed.release(4)
    assert recording.drain(patience=20.0)


def test_what_a_dead_disk_never_took_is_lost_on_disk(recordings, disk, monkeypatch):
    monkeypatch.setattr("beamstream.recording._DRAIN", 0.05)
    recording = recordings(disk)
    recording.arm(Window(4, lambda error: None, 5.0))
    for i in range(4):
        recording.frame(a_frame(i), 0)
    with pytest.raises(SinkError, match="took no frame"):
        recording.close()
    assert (recording.ledger.lost, recording.ledger.gaps[0].place) == (4, "disk")
    disk.allowed.release(4)


def test_what_is_abandoned_is_lost_except_for_what_the_disk_is_at(recordings, disk, wait_for):
    recording, errors = recordings(disk), []
    recording.arm(Window(20, errors.append, 5.0))
    recording.frame(a_frame(0), 0)
    wait_for(lambda: recording._writer._at_disk == 1)
    for i in range(1, 20):
        recording.frame(a_frame(i), 0)
    assert recording.waiting == 20
    recording.abandon("nobody waits")
    assert recording.waiting == 1
    assert "cam: nobody waits; 19 accepted frames are not written" in str(errors[0])
    disk.allowed.release(1)
    assert recording.drain(patience=20.0)
    assert (recording.ledger.recorded, recording.ledger.lost) == (1, 19)
    assert (recording.ledger.gaps[0].after, recording.ledger.gaps[0].place) == (0, "disk")


def test_with_nothing_to_wait_for_nothing_is_abandoned(recordings, disk):
    recording = recordings(disk)
    recording.abandon("nobody waits", everything=True)
    assert recording.error is None
    assert recording.ledger.lost == 0


class Outcome(list[Exception | None]):
    """What a window was done with."""

    __hash__ = object.__hash__  # type: ignore[assignment]


@pytest.fixture
def recorded(recordings, tmp_path) -> Recording:
    return recordings(Hdf5Sink(tmp_path / "run.h5", GEOMETRY))


def _send(recording: Recording, ids: list[int], *, period: float = 0.01) -> None:
    count = UniqueIds()
    begin = time.time()
    for n, unique_id in enumerate(ids):
        recording.frame(a_frame(unique_id, timestamp=begin + n * period), count.see(unique_id))


def _columns_add_up(recording: Recording) -> bool:
    a = recording.ledger
    arrived = sum(gap.missing for gap in a.gaps if gap.place in (Place.RING, Place.DISK, Place.GEOMETRY))
    return a.received == a.recorded + a.discarded + a.repeated + arrived and a.lost == sum(g.missing for g in a.gaps)


@pytest.mark.parametrize("at", [0, 1, 49, 97, 98])
def test_two_frames_that_changed_places_are_both_recorded_and_nothing_is_lost(recorded, wait_for, at):
    outcome = Outcome()
    recorded.arm(Window(100, outcome.append, 5.0, exact=True, idle=lambda: False))
    ids = list(range(1, 101))
    ids[at], ids[at + 1] = ids[at + 1], ids[at]
    _send(recorded, ids)
    wait_for(lambda: outcome, timeout=20)
    assert outcome == [None]
    account = recorded.ledger
    assert (account.recorded, account.discarded, account.lost, account.restarts) == (100, 0, 0, 0)
    assert account.gaps == []


def test_a_late_frame_closes_just_its_part_of_a_gap(recorded):
    recorded.arm(Window(None, lambda error: None, 5.0))
    _send(recorded, [1, 2, 8, 5, 9])
    assert recorded.ledger.gaps == [Gap(2, 2, Place.TRANSPORT), Gap(5, 2, Place.TRANSPORT)]
    assert recorded.ledger.lost == 4


def test_a_frame_that_comes_after_the_last_one_wanted_takes_its_gap_back(recorded, wait_for):
    outcome = Outcome()
    recorded.arm(Window(10, outcome.append, 5.0))
    _send(recorded, [*range(1, 9), 10, 11, 9])
    wait_for(lambda: outcome, timeout=20)
    account = recorded.ledger
    assert (account.recorded, account.discarded, account.lost, account.gaps) == (10, 1, 0, [])


def test_an_exact_run_that_lost_frames_ends_when_its_detector_is_idle(recorded, wait_for):
    outcome, busy = Outcome(), threading.Event()
    recorded.arm(Window(20, outcome.append, 30.0, exact=True, idle=lambda: not busy.is_set()))
    busy.set()
    _send(recorded, [n for n in range(1, 21) if n not in (5, 6)])
    wait_for(lambda: recorded.ledger.recorded == 18, timeout=20)
    assert not outcome
    busy.clear()
    wait_for(lambda: outcome, timeout=20)
    assert (outcome, recorded.ledger.lost, len(recorded.ledger.gaps)) == ([None], 2, 1)


def test_a_count_that_is_set_forward_loses_nothing_and_marks_the_run(recorded, wait_for, caplog):
    outcome = Outcome()
    recorded.arm(Window(100, outcome.append, 5.0, exact=True, idle=lambda: True))
    _send(recorded, [n if n <= 10 else n + 5000 for n in range(1, 101)])
    wait_for(lambda: outcome, timeout=20)
    account = recorded.ledger
    assert (outcome, account.recorded, account.lost, account.restarts) == ([None], 100, 0, 1)
    assert account.gaps == [Gap(10, 0, Place.COUNT)]
    assert not account.whole
    assert "unique_id jumped from 10 to 5011" in caplog.text


def test_a_pause_of_the_stream_that_has_room_for_them_is_a_loss_of_all_that_are_missing(recorded):
    recorded.arm(Window(None, lambda error: None, 5.0))
    begin, count = time.time(), UniqueIds()
    for n in [*range(100), *range(5100, 5110)]:
        recorded.frame(a_frame(n, timestamp=begin + 0.01 * n), count.see(n))
    assert (recorded.ledger.lost, recorded.ledger.restarts) == (5000, 0)


def test_a_single_wrong_number_costs_no_frame(recorded):
    recorded.arm(Window(None, lambda error: None, 5.0))
    _send(recorded, [1, 2, 3, 90_000, *range(5, 300)])
    assert recorded.drain(20)
    assert (recorded.ledger.recorded, recorded.ledger.lost) == (299, 0)
    assert not recorded.ledger.whole


@pytest.mark.parametrize("end", [(2**31 - 1, -(2**31)), (2**31 - 1, 0), (2**32 - 1, 0), (2**16 - 1, 0)])
def test_a_counter_that_is_full_goes_on_and_nothing_is_lost(recorded, caplog, end):
    recorded.arm(Window(None, lambda error: None, 5.0))
    last, first = end
    _send(recorded, [*range(last - 5, last + 1), *range(first, first + 5)])
    assert recorded.ledger.whole
    assert f"went on from {last} to {first}" in caplog.text


def test_a_number_that_stands_still_is_said_once_and_each_frame_is_recorded(recorded, wait_for, caplog):
    outcome = Outcome()
    recorded.arm(Window(50, outcome.append, 5.0))
    _send(recorded, [0] * 60)
    wait_for(lambda: outcome, timeout=20)
    account = recorded.ledger
    assert (account.recorded, account.lost, account.restarts, account.discarded) == (50, 0, 1, 10)
    assert not account.whole
    assert caplog.text.count("uniqueId does not move") == 1


def test_a_run_that_shall_fail_for_losses_fails_where_nobody_can_know_them(recordings, tmp_path):
    recording, outcome = recordings(Hdf5Sink(tmp_path / "run.h5", GEOMETRY), on_loss="fail"), Outcome()
    recording.arm(Window(50, outcome.append, 5.0))
    _send(recording, [0] * 5)
    assert [type(error) for error in outcome] == [FrameLoss]


def test_a_frame_that_nobody_asked_for_fails_nothing_when_the_ring_is_full(recordings, disk, wait_for):
    recording, outcome = recordings(disk, slots=4), Outcome()
    recording.arm(Window(4, outcome.append, 5.0))
    _send(recording, list(range(1, 9)))
    disk.allowed.release(4)
    wait_for(lambda: outcome, timeout=20)
    account = recording.ledger
    assert (outcome, account.recorded, account.discarded, account.lost) == ([None], 4, 4, 0)


def test_a_frame_of_another_shape_that_nobody_asked_for_fails_nothing(recorded, wait_for):
    outcome = Outcome()
    recorded.arm(Window(2, outcome.append, 5.0))
    _send(recorded, [1, 2])
    recorded.frame(a_frame(3, Geometry((8, 8), "<u2")), 0)
    wait_for(lambda: outcome, timeout=20)
    assert (outcome, recorded.ledger.discarded, recorded.ledger.lost) == ([None], 1, 0)


@pytest.mark.parametrize(
    ("failure", "place"), [(RingOverrun, Place.RING), (GeometryChanged, Place.GEOMETRY), (SinkError, Place.DISK)]
)
def test_frames_missing_right_before_a_failure_are_accounted_for(recordings, tmp_path, wait_for, failure, place):
    sink = FailingDisk(tmp_path / "run.h5", GEOMETRY)
    recording, outcome = recordings(sink, slots=4), Outcome()
    recording.arm(Window(50, outcome.append, 5.0))
    if failure is SinkError:
        sink.fails = True
        _send(recording, [1, 4])
        sink.go.set()
    elif failure is RingOverrun:
        _send(recording, [1, 2, 3, 4, 7])
        sink.go.set()
    else:
        sink.go.set()
        _send(recording, [1, 2])
        recording.frame(a_frame(5, Geometry((8, 8), "<u2")), 2)
    wait_for(lambda: outcome, timeout=20)
    assert recording.drain(20)
    assert [type(error) for error in outcome] == [failure]
    assert {gap.place: gap.missing for gap in recording.ledger.gaps}[Place.TRANSPORT] == 2
    assert place in {gap.place for gap in recording.ledger.gaps}
    assert _columns_add_up(recording)


def test_a_silent_detector_fails_its_window_in_time(recorded, wait_for):
    outcome = Outcome()
    recorded.arm(Window(10, outcome.append, 0.3))
    _send(recorded, [1, 2])
    wait_for(lambda: outcome, timeout=20)
    assert [type(error) for error in outcome] == [SilentSource]
