"""A server that is not ours, pvapy's area detector simulator, is recorded whole and bit-exact."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import RunEngine

from beamstream.frames import ColorMode, Geometry
from beamstream.sim.pattern import Pattern
from beamstream.sources.pva import PvaSource
from devices.pva_detector import PvaDetector
from plans.ledger import ledger_wrapper
from plans.record import record

SERVER = Path(sys.executable).with_name("pvapy-ad-sim-server")
CHANNEL = "ADSIM:image"
N_FRAMES = 16
SHAPE = (120, 160)


@dataclass(frozen=True)
class Served:
    """A running server, and the pictures that it goes through again and again."""

    pv: str
    pictures: np.ndarray

    def picture(self, unique_id: int) -> np.ndarray:
        return self.pictures[(unique_id - 1) % len(self.pictures)]

    def assert_bit_exact(self, images: Any, ids: Any) -> None:
        for image, unique_id in zip(images, ids, strict=True):
            np.testing.assert_array_equal(image, self.picture(int(unique_id)), f"frame {unique_id}", strict=True)


class Server:
    """A child that ends with this block, whatever happens."""

    def __init__(self, *options: str | Path | int | float) -> None:
        general = ["-cn", CHANNEL, "-rt", 60, "-std", 0.5, "-shd", 0, "-rp", 0, "-dc"]
        command = [sys.executable, SERVER, *general, *options]
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def pictures(where: Path, dtype: str, number: int) -> tuple[Path, np.ndarray]:
    """Write pictures of their own to a file that the server reads."""
    pattern = Pattern(Geometry(SHAPE, dtype))
    made = np.stack([pattern.image(n) for n in range(number)])
    np.save(where / "pictures.npy", made)
    return where / "pictures.npy", made


@pytest.fixture(scope="class", params=["|u1", "<u2"], ids=["uint8", "uint16"])
def served(request, tmp_path_factory) -> Iterator[Served]:
    """Serve 16 pictures, 100 a second, until told to stop."""
    path, made = pictures(tmp_path_factory.mktemp("served"), request.param, N_FRAMES)
    with Server("-fps", 100, "-if", path):
        yield Served(CHANNEL, made)


@pytest.fixture
def follow(listener, wait_for) -> Iterator[Callable[[], PvaSource]]:
    """Return a function that follows the server once it has published a frame."""
    made: list[PvaSource] = []

    def start() -> PvaSource:
        made.append(PvaSource(CHANNEL, name="cam"))
        wait_for(lambda: made[-1].connect(10.0) is not None, timeout=20, what="a first frame")
        made[-1].start(listener, 10.0)
        return made[-1]

    yield start
    for source in made:
        source.close()


@pytest.fixture
def engine() -> Iterator[RunEngine]:
    loop = asyncio.new_event_loop()
    engine = RunEngine({}, loop=loop, context_managers=[])
    engine.preprocessors.append(ledger_wrapper)
    yield engine
    loop.call_soon_threadsafe(loop.stop)
    engine._th.join(5)
    loop.close()


class TestPicturesWithoutEnd:
    def test_a_source_follows_it_without_a_loss(self, served, follow, listener, wait_for):
        source = follow()
        wait_for(lambda: len(listener.frames) >= 50, what="50 frames")
        source.stop()
        assert listener.missing == [0] * len(listener.frames)
        assert {f.geometry for f in listener.frames} == {Geometry(SHAPE, served.pictures.dtype.str)}
        served.assert_bit_exact([f.image for f in listener.frames], listener.ids)
        listener.assert_all_accounted_for()
        assert listener.failures == listener.errors == []
        stamps = np.array([f.timestamp for f in listener.frames])
        assert np.median(np.diff(stamps)) == pytest.approx(0.01, rel=0.3)

    def test_a_detector_records_fifty_of_fifty(self, served, follow, engine, tmp_path):
        follow().close()  # the server has a frame by now, so that its shape is known
        documents: list[tuple[str, dict[str, Any]]] = []
        cam = PvaDetector(served.pv, name="cam", directory=tmp_path, timeout=10.0, ring_memory=8 * 2**20)
        try:
            engine(record([cam], num=50, flush_period=0.1), lambda name, doc: documents.append((name, doc)))
            stop = documents[-1][1]
            assert (stop["exit_status"], stop["num_events"]["primary"]) == ("success", 50)
            account = cam.ledger.account
            assert (account.recorded, account.lost, account.whole) == (50, 0, True)
            with h5py.File(cam.path) as file:
                group: Any = file["entry/data"]
                ids, images = group["unique_id"][:], group["data"][:]
            assert np.array_equal(np.diff(ids), np.ones(49))
            served.assert_bit_exact(images, ids)
        finally:
            cam.destroy()


def test_a_series_that_ends_is_delivered_from_its_first_frame_to_its_last(listener, tmp_path, wait_for):
    path, made = pictures(tmp_path, "<u2", 50)
    with Server("-fps", 100, "-if", path, "-nf", 50, "-cs", 10, "-std", 1.5) as server:
        source = PvaSource(CHANNEL, name="cam")
        assert source.connect(20.0) is None  # nothing published yet
        source.start(listener, 10.0)
        wait_for(lambda: listener.connections == [False], timeout=20, what="the server to end by itself")
        source.close()
        assert server.process.wait(10) == 0
    assert listener.ids == list(range(1, 51))
    assert listener.missing == [0] * 50
    Served(CHANNEL, made).assert_bit_exact([f.image for f in listener.frames], listener.ids)


@pytest.mark.parametrize(
    ("number", "geometry"),
    [
        (2, Geometry((48, 64, 3), "|u1", ColorMode.RGB1)),
        (3, Geometry((48, 3, 64), "|u1", ColorMode.RGB2)),
        (4, Geometry((3, 48, 64), "|u1", ColorMode.RGB3)),
    ],
    ids=["rgb1", "rgb2", "rgb3"],
)
def test_its_colour_frames_are_understood(follow, listener, wait_for, number, geometry):
    with Server("-fps", 50, "-nx", 64, "-ny", 48, "-cm", number, "-nf", 4, "-cs", 4):
        source = follow()
        wait_for(lambda: len(listener.frames) >= 10, what="10 frames")
        source.close()
    assert {f.geometry for f in listener.frames} == {geometry}
    assert listener.missing == [0] * len(listener.frames)
