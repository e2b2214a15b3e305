"""How large rings are: as asked, as the stream needs it, as there is memory; a slow disk then costs nothing."""

import logging
import os
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from beamstream import ring_size, slot_memory
from beamstream.errors import RingError
from beamstream.frames import Frame, Geometry
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.ring_size import SECONDS, RingSize, Room
from beamstream.segment import PREFIX, RECORD_BYTES
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.slot_memory import slot_bytes
from beamstream.window import Window

MB, GB = 2**20, 2**30
LARGE = Geometry((2048, 2048), "<u2")
SMALL = Geometry((256, 256), "<u2")
CONTAINER = 64 * MB
_names = count()


@pytest.fixture
def name():
    return f"size{os.getpid()}_{next(_names)}"


@pytest.fixture
def container(monkeypatch, name):
    """Leave 64 MiB, as containers have them, to what this process has mapped of its rings, deleted files included."""

    def left():
        maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if f"{PREFIX}{name}" in line]
        spans = [[int(n, 16) for n in line[0].split("-")] for line in maps]
        return Room(CONTAINER - sum(stop - start for start, stop in spans), 8 * GB)

    monkeypatch.setattr(Room, "now", left)
    return left


def frame(geometry, number):
    return Frame(np.full(geometry.shape, number, geometry.dtype), geometry, number, 1e9 + number, 2e9 + number)


def size_of(geometry, room, *, memory=None, frame_time=0.0):
    size = RingSize("cam", memory)
    return size.fitting(geometry, size.wanted(geometry, frame_time), room)


@pytest.mark.parametrize("frame_time", [0.01, 0.0], ids=["rate known", "rate unknown"])
@pytest.mark.parametrize("room", [Room(12 * GB, 23 * GB), Room(8 * GB, 14 * GB)], ids=["24 GB", "16 GB"])
def test_a_disk_may_pause_for_3_s_at_100_frames_of_2048_by_2048_a_second(frame_time, room):
    assert size_of(LARGE, room, frame_time=frame_time) >= 3.0 * 100 + 50


def test_seconds_of_the_stream_are_kept_and_not_less_than_before():
    room = Room(32 * GB, 64 * GB)
    assert size_of(LARGE, room, frame_time=0.01) == SECONDS * 100
    assert size_of(LARGE, room, frame_time=10.0) == 512 * MB // slot_bytes(LARGE)
    assert size_of(Geometry((64, 64), "<u2"), room, frame_time=1.0) == 4096


def test_memory_that_was_given_is_just_that():
    assert size_of(LARGE, Room(12 * GB, 23 * GB), memory=80 * MB, frame_time=0.01) == 10
    assert size_of(LARGE, Room(1 * GB, 1 * GB), memory=900 * MB) == 900 * MB // slot_bytes(LARGE)
    assert size_of(LARGE, Room(12 * GB, 23 * GB), memory=16 * MB) == 2


def test_a_frame_that_claims_to_be_larger_than_the_memory_that_was_given_takes_none(name):
    ring, before = Ring(name, memory=512 * MB), set(Path("/dev/shm").glob(f"{PREFIX}{name}*"))
    for claimed in (Geometry((23000, 23000), "|u1", codec="zlib"), Geometry((10**9, 10**9), "<u2", codec="bslz4")):
        with pytest.raises(RingError, match=r"512 MB, is too little for two frames; set ring_memory_mb to \d+ or more"):
            ring.prepare(claimed)
    assert set(Path("/dev/shm").glob(f"{PREFIX}{name}*")) == before
    ring.prepare(LARGE)
    assert ring.statistics().capacity == 512 * MB // slot_bytes(LARGE)
    ring.close()


def test_detectors_one_after_the_other_all_get_a_ring():
    room, sizes = Room(2 * GB, 3 * GB), []
    for _ in range(6):
        sizes.append(size_of(LARGE, room, frame_time=0.01))
        room += -sizes[-1] * (slot_bytes(LARGE) + RECORD_BYTES)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] >= 4
    assert room.free > 0


def test_a_ring_of_which_not_even_two_frames_fit_is_refused_with_advice():
    assert size_of(LARGE, Room(30 * MB, 8 * GB)) == 3
    with pytest.raises(RingError, match=r"2048 uint16 wanted, 4096 MB; 14 MB are free in /dev/shm, .*; enlarge"):
        size_of(LARGE, Room(14 * MB, 8 * GB))


def test_a_small_shared_memory_gets_a_smaller_ring_and_one_warning(container, name, caplog):
    ring = Ring(name, memory=512 * MB)
    with caplog.at_level(logging.WARNING):
        ring.prepare(LARGE)
        ring.prepare(Geometry((1024, 2048), "<u2"))
    capacity = ring.statistics().capacity
    assert capacity >= 4
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{name}: a ring of 512 MB wanted, 64 MB are free in /dev/shm")
    assert "--shm-size" in warning
    for i in range(2 * capacity):
        ring.put(frame(ring.statistics().geometry, i))
    ring.close()


@pytest.mark.parametrize("memory", [None, 24 * MB, 48 * MB, 512 * MB], ids=str)
def test_rings_fit_through_changes_of_geometry_and_do_not_become_smaller(container, name, memory):
    ring, shapes = Ring(name, memory=memory), [Geometry((512, 512), "<u2"), Geometry((512, 256), "<u2")]
    sizes = []
    for i in range(6):
        ring.put(frame(shapes[i % 2], i))
        sizes.append(ring.statistics().capacity * slot_bytes(shapes[i % 2]))
        assert container().shared >= 0
        assert ring.frame(i).unique_id == i
    assert min(sizes) >= 0.9 * min(sizes[0], 32 * MB)
    assert min(sizes) >= 16 * MB
    ring.close()


def test_an_epoch_that_the_recorder_needs_is_kept_while_the_next_is_made(container, name):
    ring, other = Ring(name, memory=48 * MB), Geometry((512, 256), "<u2")
    ring.put(frame(LARGE, 7))
    ring.guard = 0
    ring.put(frame(other, 8))
    assert ring.frame(0).image[0, 0] == 7
    assert ring.frame(1).image[0, 0] == 8
    assert container().shared >= 0
    ring.close()


def test_a_rate_that_becomes_known_makes_the_next_ring_larger(name, monkeypatch):
    monkeypatch.setattr(ring_size, "USUAL", MB)
    ring = Ring(name)
    ring.frame_time = 1.0
    ring.prepare(SMALL)
    slow = ring.statistics().capacity
    ring.prepare(SMALL)
    assert (ring.statistics().capacity, ring.statistics().epoch) == (slow, 0)
    ring.frame_time = 0.01
    ring.prepare(SMALL)
    assert ring.statistics().capacity == SECONDS * 100 > slow
    ring.close()


def test_memory_is_touched_ahead_of_the_writer_in_the_background(name, monkeypatch):
    monkeypatch.setattr(slot_memory, "_AT_ONCE", MB)
    monkeypatch.setattr(slot_memory, "_PIECE", MB)
    ring = Ring(name, memory=64 * MB)
    for i in range(600):  # more than once around, also while the thread is at it
        ring.put(frame(SMALL, i))
        assert (ring.frame(i).image == i).all()
    ring.close()
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("-memory")]


class PausingSink(Hdf5Sink):
    """A sink whose disk does not answer until it is let go on."""

    def __init__(self, path):
        super().__init__(path, SMALL)
        self.goes, self.paused = threading.Event(), threading.Event()

    def _append(self, frames):
        self.paused.set()
        assert self.goes.wait(60)
        super()._append(frames)


def test_a_disk_that_pauses_for_3_s_costs_nothing(tmp_path, name, monkeypatch):
    monkeypatch.setattr(ring_size, "USUAL", MB)  # what is tested is the seconds
    ring, rate = Ring(name), 100
    ring.frame_time = 1 / rate
    sink, done = PausingSink(tmp_path / "run.h5"), threading.Event()
    errors = []
    recording = Recording("cam", ring, sink, SMALL)
    recording.arm(Window(4 * rate, lambda error: (errors.append(error), done.set()), 60.0))
    for i in range(4 * rate):
        recording.frame(frame(SMALL, i), 0)
        if i == rate // 2:
            assert sink.paused.wait(60)
        if i == rate // 2 + 3 * rate:  # all that comes in 3 s has come
            sink.goes.set()
    assert done.wait(60)
    recording.close()
    assert errors == [None]
    assert (recording.ledger.recorded, recording.ledger.lost) == (4 * rate, 0)
    ring.close()


def test_the_limit_of_a_container_counts_as_the_memory_there_is(tmp_path):
    group = tmp_path / "cgroup" / "pod" / "container"
    group.mkdir(parents=True)
    for directory, limit in ((group, "max"), (group.parent, str(2 * GB))):
        (directory / "memory.max").write_text(f"{limit}\n")
        (directory / "memory.current").write_text(f"{GB}\n")
        (directory / "memory.stat").write_text(f"anon 1\ninactive_file {GB // 4}\n")
    (tmp_path / "own").write_text("0::/pod/container\n")
    assert ring_size._left_in_cgroup(tmp_path / "cgroup", tmp_path / "own") == 2 * GB - GB + GB // 4
    assert ring_size._left_in_cgroup(tmp_path / "cgroup", tmp_path / "none") > 2**60
