"""A recording accepts what was asked for, and accounts for everything that came."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beamstream.errors import SinkError
from beamstream.frames import Frame, Geometry
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


class SlowDisk(Hdf5Sink):
    """A file on a disk that takes 17 frames a second."""

    def _append(self, frames: Any) -> None:
        time.sleep(0.06 * len(frames))
        super()._append(frames)


def a_frame(unique_id: int, geometry: Geometry = GEOMETRY, timestamp: float | None = None) -> Frame:
    now = time.time()
    image = np.full(geometry.shape, unique_id % 200, geometry.dtype)
    return Frame(image, geometry, unique_id, now if timestamp is None else timestamp, now, "test")


@pytest.fixture
def disk(tmp_path: Path) -> GatedDisk:
    return GatedDisk(tmp_path / "gated.h5", GEOMETRY)


@pytest.fixture
def recordings() -> Iterator[Callable[..., Recording]]:
    """Make recordings with a ring each; both are closed afterwards."""
    made: list[tuple[Recording, Ring]] = []

    def make(sink: Any, *, slots: int = 64, **kwargs: Any) -> Recording:
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
