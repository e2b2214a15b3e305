"""A dark or a flat from frames that pass: those of now, averaged, kept as a run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import numpy as np
import pytest
from damaged_frames import compressed

from beamstream.callbacks.reference_run import keep_as_run
from beamstream.errors import CodecError, RingError, SilentSource, WrongGeometry
from beamstream.frames import Frame, Geometry
from beamstream.references import ReferenceStore
from beamstream.references.capture import capture
from beamstream.ring import Ring

GEOMETRY = Geometry((20, 30), "<u2")


def frame(number: int, geometry: Geometry = GEOMETRY) -> Frame:
    return Frame(np.full(geometry.shape, number, geometry.dtype), geometry, number, 1e9 + number, 1e9 + number)


@pytest.fixture
def ring():
    ring = Ring("capturing", memory=1 << 20)
    ring.prepare(GEOMETRY)
    yield ring
    ring.close()


@contextmanager
def filling(ring: Ring, make: Callable[[int], Frame]) -> Iterator[list[Frame]]:
    """Put frame after frame into a ring meanwhile: ``make(0)``, ``make(1)``, …"""
    over, made = threading.Event(), []

    def fill() -> None:
        while not over.wait(0.01):
            made.append(make(len(made)))
            ring.put(made[-1])

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join()


@pytest.fixture
def pouring(ring):
    """Put frame after frame, from 100 on, until the test ends."""
    with filling(ring, lambda number: frame(100 + number)) as made:
        yield made


@pytest.fixture
def compressing() -> Iterator[Callable[[str], Ring]]:
    """Make a ring of compressed frames."""
    with ExitStack() as stack:

        def make(codec: str) -> Ring:
            ring = stack.enter_context(closing(Ring("compressing", memory=1 << 20)))
            ring.prepare(Geometry((20, 30), "|u1", codec=codec))
            return ring

        yield make


def flat_frame(codec: str, *, damaged: bool) -> Frame:
    return compressed(frame(100, Geometry((20, 30), "|u1")), codec, damaged=damaged)


def test_frames_from_now_on_are_averaged(ring, pouring):
    ring.put(frame(7))
    flat = capture("capturing", "flat", 4, exposure=0.2)
    taken = int(flat.taken - 1e9)
    assert (flat.number, flat.detector, flat.geometry, flat.exposure) == (4, "capturing", GEOMETRY, 0.2)
    assert flat.origin == "capture"
    assert (flat.mean == flat.mean[0, 0]).all()
    assert 100 <= flat.mean[0, 0] <= taken < 100 + len(pouring)
    assert flat.std[0, 0] > 0


def test_old_frames_do_not_count_and_silence_is_an_error(ring):
    ring.put(frame(7))
    with pytest.raises(SilentSource, match=r"2 frames for a dark asked for, 0 came and then none for 0\.1 s; is the"):
        capture("capturing", "dark", 2, timeout=0.1)


def test_a_ring_that_is_not_there_is_an_error():
    with pytest.raises(RingError, match="nobodys: no ring of this name; is its device staged or watched"):
        capture("nobodys", "dark")


def test_a_change_of_geometry_is_an_error(ring):
    other = Geometry((10, 10), "<u2")

    def changing(number: int) -> Frame:
        if number == 10:
            ring.prepare(other)
        return frame(number, GEOMETRY if number < 10 else other)

    with filling(ring, changing), pytest.raises(WrongGeometry):
        capture("capturing", "flat", 1000, timeout=5.0)


def test_what_is_kept_as_a_run_is_found_in_the_store_by_it(pouring, tmp_path):
    told: list[tuple[str, dict]] = []
    store = ReferenceStore(tmp_path)
    captured = capture("capturing", "flat", 2)
    kept = keep_as_run(captured, store, lambda name, doc: told.append((name, dict(doc))), scan_id=9, md={"who": "me"})
    start = told[0][1]
    assert (start["uid"], start["scan_id"], start["who"], start["num"]) == (kept.run, 9, "me", 2)
    assert [name for name, _ in told][-1] == "stop"
    found = store.find("flat", "capturing", GEOMETRY)
    assert found.run == kept.run
    assert np.array_equal(found.mean, captured.mean)


@pytest.mark.parametrize("codec", ["jpeg", "zlib"])
def test_a_frame_that_does_not_decode_is_left_out_and_another_one_taken(compressing, caplog, codec):
    with filling(compressing(codec), lambda number: flat_frame(codec, damaged=number % 2 == 0)):
        flat = capture("compressing", "flat", 8)
    assert (flat.number, flat.mean.min(), flat.mean.max(), flat.std.max()) == (8, 100, 100, 0)
    assert "frames do not decode, others were taken for the flat" in caplog.text


def test_frames_none_of_which_decodes_are_an_error(compressing):
    with (
        filling(compressing("zlib"), lambda _: flat_frame("zlib", damaged=True)),
        pytest.raises(CodecError, match="do not hold that"),
    ):
        capture("compressing", "flat", 4, timeout=0.5)
