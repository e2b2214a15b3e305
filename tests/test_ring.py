"""The ring keeps what it says, tells readers when it cannot, and leaves nothing behind."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import jpeg8_encode

from beamstream import segment
from beamstream.errors import MalformedFrame, RingError, RingOverrun
from beamstream.frame_attributes import SomeAttributes
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.readers import Latest, RingView, every, frames
from beamstream.ring import Ring
from beamstream.segment import PREFIX, SHM
from beamstream.sim.encode import encode
from beamstream.slot_memory import slot_bytes

SMALL = Geometry((8, 16), "<u2")
_names = count()


def _frame(unique_id: int, geometry: Geometry = SMALL, **attributes) -> Frame:
    image = np.full(geometry.shape, unique_id % 60000, geometry.dtype)
    return Frame(image, geometry, unique_id, 1e9 + unique_id, 2e9 + unique_id, attributes=attributes)


def _memory(slots: int, geometry: Geometry = SMALL) -> int:
    return slots * slot_bytes(geometry)


@pytest.fixture
def name() -> str:
    return f"test{os.getpid()}_{next(_names)}"


@pytest.fixture
def ring(name) -> Iterator[Ring]:
    ring = Ring(name, memory=_memory(8), source="pva://X")
    yield ring
    ring.close()


def test_frames_come_back_as_they_were_put(ring):
    for i in range(5):
        assert ring.put(_frame(100 + i, gain=i)) == i
    for i, frame in enumerate(frames(ring, 0, 5)):
        assert frame.unique_id == 100 + i
        assert frame.timestamp == 1e9 + 100 + i
        assert frame.received == 2e9 + 100 + i
        assert frame.source == "pva://X"
        assert frame.attributes == {"gain": i}
        assert (frame.image == 100 + i).all()
        assert frame.image.dtype == np.uint16
        assert not frame.image.flags.writeable


def test_pixels_are_page_aligned_for_direct_writing(ring):
    ring.put(_frame(1))
    ring.put(_frame(2))
    assert all(f.payload.ctypes.data % 4096 == 0 for f in frames(ring, 0, 2))


def test_asking_for_overwritten_frames_says_what_the_ring_holds(ring):
    for i in range(20):
        ring.put(_frame(i))
    with pytest.raises(RingOverrun, match=r"frames 0:20 asked for, the ring holds 12:20"):
        frames(ring, 0, 20)
    assert [f.unique_id for f in frames(ring, 12, 20)] == list(range(12, 20))


def test_an_index_that_wraps_to_slot_zero_is_no_empty_ring(ring):
    for i in range(8):
        ring.put(_frame(i))
    assert ring.bounds() == (0, 8)
    ring.put(_frame(8))
    assert ring.bounds() == (1, 9)


def test_the_guard_keeps_the_recorders_frames_and_refuses_new_ones(ring):
    ring.put(_frame(0))
    ring.guard = 0
    for i in range(1, 8):
        ring.put(_frame(i))
    with pytest.raises(RingOverrun, match="the disk is too slow"):
        ring.put(_frame(8))
    assert ring.frame(0).unique_id == 0
    ring.guard = 4
    ring.put(_frame(8))
    assert ring.frame(8).unique_id == 8


def test_a_change_of_geometry_opens_an_epoch_and_goes_on_counting(ring):
    ring.put(_frame(1))
    large = Geometry((32, 32), "<f4")
    assert ring.put(_frame(2, large)) == 1
    assert ring.bounds() == (1, 2)
    assert ring.statistics().epoch == 1
    assert ring.frame(1).image.shape == (32, 32)
    assert ring.frame(0).unique_id == 1  # the epoch before is still held for its recorder


def test_a_view_from_elsewhere_follows_the_writer_through_epochs(ring, name):
    ring.put(_frame(1))
    view = RingView(name)
    assert view.frame(0).unique_id == 1
    ring.put(_frame(2, Geometry((4, 4), "|u1")))
    assert view.wait(1, timeout=2)
    assert view.frame(1).image.shape == (4, 4)
    view.close()


def test_the_latest_reader_skips_and_counts(ring):
    latest = Latest(ring)
    assert latest.read(timeout=0.01) is None
    for i in range(5):
        ring.put(_frame(i))
    frame = latest.read(timeout=1)
    assert frame is not None
    assert frame.unique_id == 4
    assert latest.skipped == 4
    ring.put(_frame(5))
    assert frame.image[0, 0] == 4  # a copy: later frames do not change it


def test_the_every_reader_gets_all_in_order_or_an_error(ring):
    seen = []

    def read() -> None:
        for batch in every(ring, 0, timeout=0.5):
            seen.extend(f.unique_id for f in batch)

    reader = threading.Thread(target=read, name="reader")
    reader.start()
    for i in range(200):
        ring.wait(i, 0.0)
        ring.put(_frame(i))
        while len(seen) < i - 3:
            threading.Event().wait(0.001)
    reader.join()
    assert seen == list(range(200))


def test_an_every_reader_that_was_lapped_raises(ring):
    for i in range(3):
        ring.put(_frame(i))
    batches = every(ring, 0, timeout=0.1)
    next(batches)
    for i in range(3, 30):
        ring.put(_frame(i))
    with pytest.raises(RingOverrun):
        next(batches)


def test_views_stay_readable_after_the_ring_is_closed(name):
    ring = Ring(name, memory=_memory(4))
    ring.put(_frame(7))
    frame = ring.frame(0)
    ring.close()
    assert (frame.image == 7).all()


def test_attributes_that_do_not_fit_are_dropped_and_counted(ring):
    ring.put(_frame(1, text="x" * 5000))
    assert ring.frame(0).attributes == {}
    assert ring.statistics().attributes_dropped == 1


def test_readers_get_the_attributes_that_have_room_and_whoever_has_them_all_keeps_them(ring, caplog):
    own = {"a": 1, "long": "x" * 5000, "b": float("nan"), "c": [2.5, None]}
    for unique_id in (1, 2):
        ring.put(replace(_frame(unique_id), attributes=own))
        found = ring.frame(unique_id - 1).attributes
        assert isinstance(found, SomeAttributes)
        assert (found["a"], found["b"] != found["b"], found["c"], len(found)) == (1, True, [2.5, None], 3)
    assert ring.frame(1, own).attributes is own
    assert ring.statistics().attributes_dropped == 2
    assert len(caplog.records) == 1
    assert "viewers do not get long; recordings do" in caplog.text


def test_a_compressed_payload_beyond_reason_is_refused(name):
    geometry = Geometry((8, 8), "|u1", codec="lz4")
    ring = Ring(name, memory=_memory(4, geometry))
    big = Frame(np.zeros(10 * slot_bytes(geometry), np.uint8), geometry, 1, 0.0, 0.0)
    with pytest.raises(MalformedFrame, match="takes at most"):
        ring.put(big)
    ring.close()


def test_a_ring_larger_than_shared_memory_is_refused_with_advice(name):
    ring = Ring(name, memory=2**60)
    with pytest.raises(RingError, match="lower ring_memory_mb"):
        ring.prepare(Geometry((2**20, 2**20), "<f8"))
    assert not list(SHM.glob(f"{PREFIX}{name}*"))


@pytest.mark.parametrize("bad", ["", "a/b", "../x", "a b"])
def test_names_that_are_no_names_are_refused(bad):
    with pytest.raises(ValueError, match="use letters"):
        Ring(bad)


_WRITER = """
import sys, time
import numpy as np
from beamstream.frames import Frame, Geometry
from beamstream.ring import Ring
ring = Ring(sys.argv[1], memory=2**20)
g = Geometry((64, 64), "<u2")
ring.put(Frame(np.ones((64, 64), "<u2"), g, 1, 0.0, 0.0))
print("ready", flush=True)
time.sleep(60)
"""


def test_no_segment_survives_the_next_start_after_kill_of_the_process_group(name):
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, name], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    assert list(SHM.glob(f"{PREFIX}{name}.*"))
    other = Ring("other", memory=_memory(4))
    assert list(SHM.glob(f"{PREFIX}{name}.*")), "a living writer's segment is not swept"
    os.killpg(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    Ring("another", memory=_memory(4)).close()
    other.close()
    assert not list(SHM.glob(f"{PREFIX}{name}.*"))


_HAMMER = """
import sys
import numpy as np
from beamstream import segment
from beamstream.frames import Frame, Geometry
from beamstream.ring import Ring
segment._ORDERED = segment._ORDERED and sys.argv[2] == "as it is"
ring = Ring(sys.argv[1], memory=2**21)
g = Geometry((64, 64), "<u2")
ring.put(Frame(np.zeros((4, 4), "<u2"), Geometry((4, 4), "<u2"), 0, 0.0, 0.0))
for number in range(1, int(sys.argv[3])):
    ring.put(Frame(np.full((64, 64), number % 60000, "<u2"), g, number, 1e9 + number, 2e9 + number))
    if number == 1:
        print("second epoch", flush=True)
ring.close()
"""


@pytest.mark.parametrize("order", ["as it is", "weak"])
def test_readers_of_another_process_see_whole_counters_and_whole_frames(name, order, monkeypatch):
    monkeypatch.setattr(segment, "_ORDERED", segment._ORDERED and order == "as it is")
    command = [sys.executable, "-c", _HAMMER, name, order, "100000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "second epoch\n"
        view, last, whole = RingView(name), 0, 0
        while not view.closed:
            start, stop = view.bounds()
            assert 1 <= start <= stop
            assert stop >= last
            last = stop
            with contextlib.suppress(RingOverrun):
                unique_id, timestamp, received, value, row = view.read(stop - 1, _numbers)
                assert (unique_id, timestamp, received) == (stop - 1, 1e9 + stop - 1, 2e9 + stop - 1)
                assert value == row == (stop - 1) % 60000
                whole += 1
        view.close()
    assert writer.returncode == 0
    assert whole > 0


def _numbers(frame: Frame) -> tuple[int, float, float, int, int]:
    image = frame.image
    return frame.unique_id, frame.timestamp, frame.received, int(image[0, 0]), int(image[-1, -1])


@pytest.mark.parametrize("index", [0, 2**60], ids=["below the first", "beyond reason"])
def test_a_counter_that_cannot_be_is_an_error_for_its_reader(ring, name, index):
    ring.put(_frame(1))
    ring.put(_frame(2, Geometry((4, 4), "|u1")))  # so that the first is not 0
    view = RingView(name)
    with next(SHM.glob(f"{PREFIX}{name}.*")).open("r+b") as file:
        file.seek(8)
        file.write(index.to_bytes(8, sys.byteorder))
    with pytest.raises(RingError, match=f"next index {index} read, its first is 1"):
        view.bounds()
    view.close()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("what", ["header", "size"])
def test_a_file_that_is_no_whole_segment_is_not_attached(ring, name, what):
    ring.put(_frame(1))
    (path,) = SHM.glob(f"{PREFIX}{name}.*")
    content = path.read_bytes()
    damaged = content[:64] + b"\xff" * 8 + content[72:] if what == "header" else content[:8192]
    other = path.with_name(f"{PREFIX}{name}-damaged.1-0-0")
    other.write_bytes(damaged)
    other.chmod(0o600)
    before = _descriptors()
    with pytest.raises(RingError, match="not a ring, or not yet complete"):
        RingView(f"{name}-damaged")
    assert _descriptors() == before
    other.unlink()


def test_what_is_raised_for_an_overwritten_frame_is_an_overrun_and_else_what_it_is(ring):
    ring.put(_frame(0))

    def fail(frame: Frame) -> None:
        raise ZeroDivisionError

    def overtaken(frame: Frame) -> None:
        for i in range(ring.statistics().capacity):
            ring.put(_frame(i))
        fail(frame)

    with pytest.raises(ZeroDivisionError):
        ring.read(0, fail)
    with pytest.raises(RingOverrun, match="overwritten while it was read"):
        ring.read(0, overtaken)
    with pytest.raises(RingOverrun, match="overwritten while it was read"):
        ring.read(ring.bounds()[1] - 1, lambda frame: [ring.put(_frame(i)) for i in range(8)])


def test_frames_know_their_index_and_nothing_has_the_index_of_none(ring):
    for i in range(10):
        ring.put(_frame(i))
    assert [frame.ring_index for frame in frames(ring, 2, 10)] == list(range(2, 10))
    assert _frame(1).ring_index == -1
    assert not ring.holds(-1)
    assert not ring.holds(1)


_NOISE = np.random.default_rng(1)


def _jpeg(image):
    return np.frombuffer(jpeg8_encode(image, level=100, subsampling="444"), "u1")


@pytest.mark.parametrize("codec", ["blosc", "lz4", "bslz4", "zlib", "jpeg"])
@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (17, 300), (512, 512), (200, 300, 3)], ids=str)
def test_frames_that_are_larger_than_their_pixels_go_through(name, codec, shape):
    geometry = Geometry(shape, "|u1", ColorMode.RGB1 if len(shape) == 3 else ColorMode.MONO, codec)
    ring = Ring(name, memory=_memory(4, geometry))
    images = [_NOISE.integers(0, 256, shape, "u1") for _ in range(3)]
    images += [_NOISE.choice(np.array([0, 255], "u1"), shape) for _ in range(3)]
    for i, image in enumerate(images):
        payload = encode(image, codec) if codec != "jpeg" else _jpeg(image)
        assert codec != "jpeg" or payload.nbytes > 1.2 * image.nbytes
        ring.put(Frame(payload, geometry, i, 0.0, 0.0))
        assert bytes(ring.frame(i).payload) == bytes(payload)
        error = np.abs(ring.frame(i).image.astype(int) - image)
        assert error.mean() < (1 if codec == "jpeg" else 1e-9)
    ring.close()


def test_memory_for_larger_frames_is_taken_only_when_they_come(name):
    geometry = Geometry((512, 512), "|u1", codec="jpeg")
    ring = Ring(name, memory=8 * slot_bytes(geometry))
    ring.prepare(geometry)
    (path,) = SHM.glob(f"{PREFIX}{name}.*")
    before = path.stat().st_blocks * 512
    assert before < 1.1 * 8 * slot_bytes(geometry)
    noise = _jpeg(_NOISE.integers(0, 256, (512, 512), "u1"))
    for i in range(16):
        ring.put(Frame(noise, geometry, i, 0.0, 0.0))
    taken = path.stat().st_blocks * 512 - before
    assert 0 < taken <= 8 * (noise.nbytes - slot_bytes(geometry) + 4096)
    ring.close()


def test_a_larger_frame_for_which_there_is_no_memory_is_refused_in_words(name, monkeypatch):
    geometry = Geometry((512, 512), "|u1", codec="jpeg")
    ring = Ring(name, memory=4 * slot_bytes(geometry))
    ring.put(Frame(np.zeros(1000, "u1"), geometry, 1, 0.0, 0.0, "cam"))

    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RingOverrun, match=r"frame 2 takes 400000 bytes, .* No space left on device; lower ring_memory"):
        ring.put(Frame(np.zeros(400000, "u1"), geometry, 2, 0.0, 0.0, "cam"))
    monkeypatch.undo()
    assert ring.put(Frame(np.zeros(400000, "u1"), geometry, 3, 0.0, 0.0, "cam")) == 1
    assert ring.frame(0).unique_id == 1
    ring.close()


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(["|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"]),
    n=st.integers(1, 12),
)
def test_any_shape_and_type_survives(shape, dtype, n):
    geometry = Geometry(shape, dtype)
    ring = Ring("property", memory=_memory(4, geometry))
    try:
        rng = np.random.default_rng(n)
        images = [rng.integers(0, 100, shape).astype(dtype) for _ in range(n)]
        for i, image in enumerate(images):
            ring.put(Frame(image, geometry, i, 0.0, 0.0))
        start, stop = ring.bounds()
        for frame, image in zip(frames(ring, start, stop), images[start:stop], strict=True):
            np.testing.assert_array_equal(frame.image, image)
    finally:
        ring.close()


def test_of_two_rings_of_one_name_that_of_the_asked_process_is_found():
    name = f"twice-{os.getpid()}"
    code = (
        "import sys; from beamstream.frames import Geometry; from beamstream.ring import Ring\n"
        "ring = Ring(sys.argv[1], memory=1 << 16); ring.prepare(Geometry((2, 3), '|u1'))\n"
        "print('there', flush=True); sys.stdin.read(); ring.close()"
    )
    ours = Ring(name, memory=1 << 16)
    ours.prepare(Geometry((4, 5), "|u1"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, name], **pipes) as other:
        assert other.stdout.readline() == "there\n"
        for owner, shape in ((os.getpid(), (4, 5)), (other.pid, (2, 3)), (None, (2, 3))):
            view = RingView(name, owner)
            assert view._segment.geometry.shape == shape
            view.close()
        other.stdin.close()
    ours.close()
