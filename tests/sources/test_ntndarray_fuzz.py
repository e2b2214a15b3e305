"""Whatever an NTNDArray claims or lacks: it is counted as malformed, takes no memory, and the good frames arrive."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pvaccess as pva
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for ntndarray_fuzzing

from ntndarray_fuzzing import SHAPE, Maker

from beamstream import codecs
from beamstream.errors import MalformedFrame
from beamstream.frames import Geometry
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.segment import PREFIX, SHM
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sources.pva import PvaSource
from beamstream.window import Window

NUMBER, SEED = 12_000, 20_261_130
CLAIMED = (23_000, 46_000)


def test_ten_thousand_structures_are_frames_or_refused_and_take_no_memory(tmp_path):
    note = tmp_path / "note"
    note.write_bytes(bytes(8))
    program = Path(__file__).with_name("ntndarray_fuzzing.py")
    done = subprocess.run(
        [sys.executable, str(program), str(NUMBER), str(SEED), str(note)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},
    )
    (case,) = struct.unpack("<q", note.read_bytes())
    assert done.returncode == 0, f"seed {SEED}, case {case}: exit {done.returncode}: {done.stderr[-2000:]}"
    counts = json.loads(done.stdout)
    assert sum(counts.values()) == NUMBER
    assert min(counts.values()) > NUMBER // 10


class Camera:
    """A server in this process that posts one structure after another, and a source that follows it."""

    def __init__(self, name: str, wait_for) -> None:
        self.name, self.maker, self._wait_for = name, Maker(SEED), wait_for
        self.server = pva.PvaServer()
        self.server.addRecord(name, self.maker.good(0), None)
        self.server.start()
        self.source = PvaSource(name, name="cam")
        self._posted = 0

    def start(self, listener) -> None:
        self.source.start(listener, 20.0)
        self._posted = self.source.counters.updates

    def post(self, pv) -> None:
        """Post an update and wait until the source has it: what is not fetched in time is merged with the next."""
        self.server.update(self.name, pv)
        self._posted += 1
        self._wait_for(lambda: self.source.counters.updates >= self._posted, 30, what=f"update {self._posted}")

    def close(self) -> None:
        self.source.close()
        self.server.stop()


@pytest.fixture
def camera(request, wait_for):
    camera = Camera(f"fuzz:{abs(hash(request.node.nodeid))}", wait_for)
    yield camera
    camera.close()


def test_hundreds_of_wrong_updates_of_a_real_server_do_no_harm_to_the_good_ones(camera, listener):
    camera.start(listener)
    good = range(2, 802, 2)
    for number in good:
        wrong = camera.maker.wrong(number)
        wrong["uniqueId"] = number - 1
        camera.post(wrong)
        camera.post(camera.maker.good(number))
    assert listener.failures == []
    arrived = {frame.unique_id: frame for frame in listener.frames}
    assert [number for number in good if number not in arrived] == []
    assert all((arrived[number].image == number % 1000).all() for number in good)
    assert len(listener.errors) == camera.source.counters.malformed > 100


def claims() -> list:
    """Return frames of 100 bytes that claim to be of 23 000 × 46 000 pixels, one of each codec and one of none."""
    made, random = [], np.random.default_rng(SEED)
    for codec in ("", *sorted(codecs.NAMES)):
        pv = pva.NtNdArray()
        pv["value"] = {"ubyteValue": random.integers(0, 256, 100, np.uint8)}
        pv["dimension"] = [pva.PvDimension(n, 0, n, 1, False) for n in reversed(CLAIMED)]
        pv["compressedSize"], pv["uncompressedSize"] = 100, CLAIMED[0] * CLAIMED[1]
        if codec:
            pv["codec"] = pva.PvCodec(codec, pva.PvInt(5))
        made.append(pv)
    return made


@pytest.mark.parametrize("memory", [None, 32 << 20], ids=["automatic", "given"])
def test_small_frames_that_claim_to_be_huge_are_malformed_and_the_ring_stays_as_it_is(
    camera, tmp_path, wait_for, memory
):
    ring, done = Ring("claims", memory=memory), []
    recording = Recording("cam", ring, Hdf5Sink(tmp_path / "run.h5", Geometry(SHAPE, "<u2")), Geometry(SHAPE, "<u2"))
    before = {path: path.stat().st_blocks for path in SHM.glob(f"{PREFIX}claims*")}
    wrong = claims() * 2
    good = len(wrong) + 2
    recording.arm(Window(good, done.append, 60.0))
    camera.start(recording)
    for number, claim in enumerate(wrong):
        claim["uniqueId"] = 2 * number + 1
        camera.post(claim)
        camera.post(camera.maker.good(2 * number + 2))
    for number in range(2 * len(wrong) + 1, 2 * len(wrong) + 3):
        camera.post(camera.maker.good(number))
    wait_for(lambda: done, 30, what=f"{good} frames on disk")
    assert {path: path.stat().st_blocks for path in SHM.glob(f"{PREFIX}claims*")} == before
    camera.source.stop()
    recording.close()
    ring.close()
    assert done == [None]
    ledger = recording.ledger
    assert (ledger.recorded, ledger.malformed, ledger.lost) == (good, len(wrong), len(wrong))
    with h5py.File(tmp_path / "run.h5") as file:
        ids, pixels = file["entry/data/unique_id"][()], file["entry/data/data"][()]
        assert all((image == number).all() for number, image in zip(ids, pixels, strict=True))


def test_a_camera_whose_frame_contradicts_itself_is_not_called_one_without_a_frame(camera):
    for claim in claims():
        camera.server.update(camera.name, claim)
        with pytest.raises(MalformedFrame, match=r"cam: pva://.*(bytes|values)"):
            camera.source.connect(10.0)
    camera.server.update(camera.name, pva.NtNdArray())
    assert camera.source.connect(10.0) is None


SERVER = """
import sys
import pvaccess as pva
sys.path.insert(0, sys.argv[1])
from ntndarray_fuzzing import Maker
other = pva.PvObject({"value": [pva.USHORT], "other": pva.STRING})
server = pva.PvaServer()
server.addRecord(sys.argv[2], Maker(1).good(int(sys.argv[3])) if sys.argv[3] else other, None)
server.start()
print("served", flush=True)
sys.stdin.read()
"""


@contextmanager
def served(name: str, number: str) -> Iterator[None]:
    """Serve a frame, or with an empty number something else, from a process of its own.

    In one process all servers serve the records of each other, also when they have been stopped (pvapy 5.6).
    """
    arguments = [sys.executable, "-c", SERVER, str(Path(__file__).parent), name, number]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"served\n"
        yield
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def test_a_server_that_comes_back_with_something_else_ends_nothing(request, listener, wait_for):
    name = f"back:{abs(hash(request.node.nodeid))}"
    source = PvaSource(name, name="cam")
    try:
        with served(name, "1"):
            source.start(listener, 20.0)
        wait_for(lambda: not source.connected, 30, what="the server to be gone")
        with served(name, ""):
            wait_for(lambda: listener.errors, 60, what="an update that is no image")
        with served(name, "2"):
            wait_for(lambda: source.connected and source.counters.stale, 60, what="the camera to be back")
        assert listener.failures == []
    finally:
        source.close()
