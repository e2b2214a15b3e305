"""Whatever comes and whatever fails: every frame that arrived ends in one column of the account."""

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamstream.errors import MalformedFrame
from beamstream.frames import Frame, Geometry
from beamstream.ledger import Place, UniqueIds
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.window import Window

GEOMETRY, OTHER = Geometry((4, 4), "<u2"), Geometry((2, 2), "<u2")


class Disk(Hdf5Sink):
    """A file on a disk that is held up when it is told to, and fails from some frame on."""

    def __init__(self, *args: Any, fails_at: int | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.free = threading.Event()
        self.free.set()
        self._fails_at = fails_at

    def _append(self, frames: Any) -> None:
        assert self.free.wait(timeout=60)
        if self._fails_at is not None and self.kept + len(frames) > self._fails_at:
            raise OSError(5, "Input/output error")
        super()._append(frames)


arms = st.builds(
    lambda number, discard, exact: ("arm", (number, discard, exact)),
    st.none() | st.integers(1, 20),
    st.integers(0, 1),
    st.booleans(),
)
# steps of the count: mostly the next one; lost ones, late ones, repeated ones, a restart, a jump
steps = st.sampled_from([1] * 12 + [2, 3, 5, 0, -1, -2, -100, 5000])
frames = st.tuples(st.just("frame"), steps) | st.tuples(st.just("burst"), st.integers(2, 12))
others = st.tuples(
    st.sampled_from(["misfit", "other", "repeated", "malformed", "away", "finish", "pause", "resume", "hold", "free"]),
    st.just(None),
)
failures = st.tuples(st.just("fail"), st.just(None))


class Run:
    """A recording that things happen to."""

    def __init__(self, directory: Path, on_loss: Any, fails_at: int | None) -> None:
        self.path = directory / "run.h5"
        self.disk = Disk(self.path, GEOMETRY, fails_at=fails_at)
        self.ring = Ring("account", slots=4)
        self.recording = Recording("cam", self.ring, self.disk, GEOMETRY, on_loss=on_loss)
        self._ids, self._number, self._begin = UniqueIds(), 100, time.time()

    def happen(self, what: str, value: Any) -> None:
        recording = self.recording
        match what:
            case "arm":
                number, discard, exact = value
                if recording.error is None:
                    window = Window(
                        number, lambda error: None, 60.0, 0.0, discard, exact, (lambda: False) if exact else None
                    )
                    recording.arm(window)
            case "frame":
                self._number += value
                self._send(GEOMETRY, GEOMETRY.shape)
            case "burst":
                for _ in range(value):
                    self.happen("frame", 1)
            case "misfit" | "other":
                self._number += 1
                self._send(GEOMETRY if what == "misfit" else OTHER, (3, 3) if what == "misfit" else OTHER.shape)
            case "repeated":
                recording.repeated()
            case "malformed":
                recording.malformed(MalformedFrame("no frame"))
            case "away":
                recording.connection(False)
            case "fail":
                recording.failed(RuntimeError("the listener raised"))
            case "hold":
                self.disk.free.clear()
            case "free":
                self.disk.free.set()
            case _:
                getattr(recording, what)()

    def _send(self, geometry: Geometry, shape: tuple[int, ...]) -> None:
        taken = self._begin + 0.01 * self._number
        frame = Frame(np.zeros(shape, "<u2"), geometry, self._number, taken, taken + 0.001, "test")
        self.recording.frame(frame, self._ids.see(self._number))

    def end(self) -> None:
        self.disk.free.set()
        assert self.recording.drain(60)
        self.recording.close()
        self.ring.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(frames, frames, frames, arms, others, failures), max_size=60),
    st.sampled_from(["mark", "mark", "fail"]),
    st.none() | st.integers(0, 30),
    st.booleans(),
)
def test_every_frame_that_arrived_ends_in_one_column(happenings, on_loss, fails_at, held):
    with tempfile.TemporaryDirectory() as directory:
        run = Run(Path(directory), on_loss, fails_at)
        run.happen("hold" if held else "free", None)  # a disk that is held up fills the ring
        run.happen("arm", (None, 0, False))
        for what, value in happenings:
            run.happen(what, value)
        run.end()
        a = run.recording.ledger
        by_place = {place: sum(gap.missing for gap in a.gaps if gap.place is place) for place in Place}
        arrived = by_place[Place.RING] + by_place[Place.DISK] + by_place[Place.GEOMETRY]
        assert a.received == a.recorded + a.discarded + a.repeated + arrived
        assert a.lost == sum(by_place.values())
        assert min(by_place.values()) >= 0
        with h5py.File(run.path) as file:
            assert file["entry/data/unique_id"].shape[0] == a.recorded


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=100), st.integers(0, 2**31 - 200))
def test_however_frames_change_places_what_is_missing_in_the_end_is_what_never_came(marks, first):
    came = [first + n for n, (comes, _) in enumerate(marks, 1) if comes]
    late_by = {first + n: late for n, (_, late) in enumerate(marks, 1)}
    order = [first, *sorted(came, key=lambda n: (n + late_by[n], n))]
    ids = UniqueIds()
    missing = [ids.see(n) for n in order]
    assert None not in missing
    assert sum(n for n in missing if n is not None) == max(order) - first + 1 - len(order)


@pytest.mark.parametrize("behind", [1, 2, 3])
def test_frames_of_before_the_first_one_that_was_seen_are_late_and_were_missed_by_nobody(behind):
    ids = UniqueIds()
    assert [ids.see(n) for n in (100, 100 - behind, 101)] == [0, 0, 0]


def test_a_count_that_begins_anew_is_none_that_goes_on():
    ids = UniqueIds(last=500)
    assert [ids.see(n) for n in (501, 0, 1, 2, 1)] == [0, None, 0, 0, None]


def test_a_count_that_is_set_back_into_a_gap_is_noticed():
    ids = UniqueIds()
    ids.see(0)
    ids.see(10_000)
    seen = [ids.see(n) for n in range(1, 200)]
    assert seen.count(None) == 1
    assert seen[-1] == 0
