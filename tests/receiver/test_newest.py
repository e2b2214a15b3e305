"""The newest spectra out of a ring, while somebody writes it."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from beamstream.frames import Frame, Geometry
from beamstream.readers import RingView
from beamstream.receiver.newest import newest
from beamstream.ring import Ring

SLOTS = 50


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring("newest", slots=SLOTS)
    yield ring
    ring.close()


def put(ring: Ring, number: int, *, channels: int = 8, beams: int = 1, dtype: str = "<f4") -> None:
    """Put a spectrum in which every value is its number, plus 1000 for each beam."""
    values = np.full((beams, channels), number, dtype) + 1000 * np.arange(beams, dtype=dtype)[:, None]
    attributes = {"last_block_time": 100 + number / 4, "delay": 0.0, "time_tag": 0}
    ring.put(Frame(values, Geometry(values.shape, dtype), number, 50.0 + number, 50.0, attributes=attributes))


def numbers(spectra) -> list[int]:
    """Return the numbers of spectra, having looked at every value and at the times."""
    assert (spectra.values == spectra.values[:, :1]).all()
    assert spectra.times.tolist() == [100 + n / 4 for n in spectra.unique_ids]
    assert spectra.values[:, :1].ravel().tolist() == spectra.unique_ids.tolist()
    return spectra.unique_ids.tolist()


def test_there_are_none_in_an_empty_ring(ring):
    assert newest(ring, 10).values.shape == (0, 0)


def test_there_are_fewer_until_enough_have_come(ring):
    for n in range(3):
        put(ring, n)
    assert numbers(newest(ring, 10)) == [0, 1, 2]
    assert numbers(newest(ring, 2)) == [1, 2]
    assert numbers(newest(ring, 0)) == []


@pytest.mark.parametrize("put_before", [SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS, 3 * SLOTS + 7])
def test_a_ring_that_has_gone_round_is_not_empty(ring, put_before):
    for n in range(put_before):
        put(ring, n)
    assert numbers(newest(ring, SLOTS)) == list(range(max(0, put_before - SLOTS), put_before))
    assert numbers(newest(ring, 1)) == [put_before - 1]


def test_what_is_returned_is_a_copy_of_type_float32(ring):
    put(ring, 1, dtype="<f8")
    spectra = newest(ring, 1)
    put(ring, 2, dtype="<f8")
    spectra.values[:] += 1
    assert spectra.values.dtype == np.float32
    assert spectra.values[0, 0] == 2
    assert numbers(newest(ring, 9)) == [1, 2]


@pytest.mark.parametrize(("beam", "first"), [(0, 5), (1, 1005), (7, 1005)])
def test_one_beam_is_picked_and_the_last_one_where_there_are_not_so_many(ring, beam, first):
    put(ring, 5, beams=2)
    assert newest(ring, 1, beam).values[0, 0] == first


def test_spectra_of_another_shape_are_a_new_beginning(ring):
    for n in range(5):
        put(ring, n)
    put(ring, 5, channels=16)
    spectra = newest(ring, SLOTS)
    assert spectra.values.shape == (1, 16)
    assert numbers(spectra) == [5]


@pytest.mark.parametrize("view", [False, True])
def test_a_writer_at_full_speed_tears_nothing_and_takes_nothing_away(ring, view):
    put(ring, 0)
    store = RingView("newest") if view else ring
    ending = threading.Event()

    def write() -> None:
        n = 1
        while not ending.is_set():
            put(ring, n)
            n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        read, until = 0, time.monotonic() + 0.6
        while time.monotonic() < until:
            got = numbers(newest(store, SLOTS))
            assert got == list(range(got[0], got[0] + len(got)))
            read += 1
    finally:
        ending.set()
        writer.join()
    assert read > 5
    assert ring.bounds()[1] > 3 * SLOTS, "the writer went round"
    if view:
        store.close()
