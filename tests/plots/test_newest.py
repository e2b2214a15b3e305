"""The newest frame: from the ring, from the file when there is no ring, never twice."""

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from damaged_frames import compressed

from beamstream.errors import CodecError
from beamstream.frames import Frame, Geometry
from beamstream.plots.newest import Newest
from beamstream.ring import Ring
from beamstream.sinks.hdf5 import Hdf5Sink

GEOMETRY = Geometry((8, 6), "<u2")


def frame(number: int, geometry: Geometry = GEOMETRY) -> Frame:
    return Frame(np.full(geometry.shape, number, geometry.dtype), geometry, number, 1000 + number / 20, time.time())


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring("newest", memory=2**16)
    yield ring
    ring.close()


@pytest.fixture
def newest() -> Iterator[Newest]:
    newest = Newest("newest", os.getpid())
    yield newest
    newest.close()


@pytest.fixture
def file(tmp_path) -> Iterator[Callable[[Newest, int], None]]:
    """Record frames 1 to n into a file, and tell of them."""
    with Hdf5Sink(tmp_path / "newest.h5", GEOMETRY, name="newest") as sink:

        def record(newest: Newest, number: int) -> None:
            sink.write([frame(i) for i in range(sink.kept + 1, number + 1)])
            newest.announce(str(tmp_path / "newest.h5"), "/entry/data/data", number)

        yield record


@pytest.fixture
def damaged(tmp_path) -> Callable[[Newest, int, range], None]:
    """Record frames, some of which do not decode, and tell of them."""

    def record(newest: Newest, count: int, bad: range) -> None:
        frames = [compressed(frame(i), damaged=i in bad) for i in range(1, count + 1)]
        with Hdf5Sink(tmp_path / "damaged.h5", frames[0].geometry, name="newest") as sink:
            sink.write(frames)
        newest.announce(str(tmp_path / "damaged.h5"), "/entry/data/data", count)

    return record


def number(found: Frame | None) -> int | None:
    if found is None:
        return None
    assert (found.image == found.unique_id).all()
    return found.unique_id


def test_the_newest_of_the_ring_is_returned_once_and_the_others_are_counted(ring, newest):
    ring.put(frame(1))
    assert number(newest.read()) is None  # what was there before is not ours
    for i in range(2, 7):
        ring.put(frame(i))
    assert [number(newest.read()), number(newest.read())] == [6, None]
    assert newest.skipped == 4
    assert newest.rate == pytest.approx(20)


def test_without_a_ring_it_is_the_last_row_of_the_file(newest, file):
    assert newest.read() is None
    file(newest, 3)
    assert [number(newest.read()), number(newest.read())] == [3, None]
    file(newest, 5)
    assert [number(newest.read()), number(newest.read()), newest.rate] == [5, None, None]


def test_a_first_row_is_shown_though_it_was_in_the_ring_before_us(ring, newest, file):
    ring.put(frame(1))
    assert newest.read() is None
    file(newest, 1)
    assert [number(newest.read()), number(newest.read())] == [1, None]


def test_a_ring_that_goes_is_replaced_by_the_file_and_one_that_comes_is_followed(ring, newest, file):
    newest.read()
    ring.put(frame(1))
    newest.read()
    ring.put(frame(2))
    file(newest, 2)
    assert number(newest.read()) == 2
    ring.close()
    file(newest, 4)
    assert number(newest.read()) == 4
    ring.prepare(GEOMETRY)
    newest.read()
    ring.put(frame(9))
    assert number(newest.read()) == 9


def test_another_geometry_is_followed(ring, newest, wait_for):
    ring.put(frame(1))
    newest.read()
    ring.put(frame(2))
    ring.put(frame(3, Geometry((3, 4), "<f4")))
    found: list[Frame | None] = []
    wait_for(lambda: found.append(newest.read()) or number(found[-1]) == 3)
    assert found[-1] is not None
    assert found[-1].image.shape == (3, 4)


def test_the_last_row_is_told_at_the_end_also_when_the_ring_went_on(ring, newest, file):
    newest.read()
    ring.put(frame(1))
    newest.read()
    file(newest, 3)
    ring.put(frame(8))
    assert [number(newest.read()), number(newest.read_last_row()), number(newest.read_last_row())] == [8, 3, None]


def test_the_last_frame_that_decodes_stands_for_those_behind_it(newest, damaged):
    damaged(newest, 9, range(7, 10))
    assert [number(newest.read_last_row()), number(newest.read_last_row())] == [6, None]


def test_a_file_whose_last_frames_all_do_not_decode_is_an_error(newest, damaged):
    damaged(newest, 30, range(10, 31))
    with pytest.raises(CodecError, match=r"frame 14 does not decode"):
        newest.read_last_row()
