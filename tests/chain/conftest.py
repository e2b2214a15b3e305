"""A simulated camera, a RunEngine whose documents go through a chain, and what came of them."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import pytest
import run_engines
from bluesky import RunEngine
from numpy.typing import NDArray
from ophyd import EpicsSignal
from run_engines import run_engine

from beamstream.archive.catalog import connect
from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import Journal
from beamstream.file_uri import path_of
from beamstream.frames import ColorMode, Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.process import SimProcess
from devices.pva_detector import PvaDetector
from plans.finish import finishing_wrapper
from plans.ledger import ledger_wrapper

A = CameraSpec("CHAIN:A", Geometry((48, 64), "<u2"), period=0.005)
RGB = CameraSpec("CHAIN:C", Geometry((48, 3, 64), "|u1", ColorMode.RGB2), period=0.01)


class Documents(run_engines.Documents):
    """What a chain gave on, in order; every reader of documents may be one."""

    @property
    def stop(self) -> dict[str, Any]:
        return self.of("stop")[-1]

    def descriptor(self, stream: str) -> dict[str, Any]:
        return [d for d in self.of("descriptor") if d["name"] == stream][-1]

    def events(self, stream: str) -> list[dict[str, Any]]:
        uid = self.descriptor(stream)["uid"]
        return [d for d in self.of("event") if d["descriptor"] == uid]

    @property
    def account(self) -> dict[str, Any]:
        return self.events("callbacks")[-1]["data"]

    def path(self, data_key: str) -> Path:
        (uri,) = {d["uri"] for d in self.of("stream_resource") if d["data_key"] == data_key}
        return path_of(uri)

    def told(self, data_key: str) -> int:
        """How many rows of a data key were told of, without a gap."""
        (uid,) = {d["uid"] for d in self.of("stream_resource") if d["data_key"] == data_key}
        rows = [d["indices"] for d in self.of("stream_datum") if d["stream_resource"] == uid]
        assert all(a["stop"] == b["start"] for a, b in pairwise(rows))
        return rows[-1]["stop"]

    def images(self, data_key: str) -> NDArray[Any]:
        with h5py.File(self.path(data_key), swmr=True) as file:
            return file["entry/data/data"][: self.told(data_key)]  # type: ignore[index]


def put(pv: str, value: Any) -> None:
    signal = EpicsSignal(pv, name="any")
    signal.wait_for_connection(timeout=10)
    signal.put(value, wait=True, timeout=10)
    signal.destroy()


@pytest.fixture(scope="module")
def cameras() -> tuple[CameraSpec, ...]:
    """What the beamline has; modules may have others."""
    return (A, RGB)


@pytest.fixture(scope="module")  # one at a time: beamlines of one environment share ports
def beamline(request, cameras) -> Iterator[SimProcess]:
    # caproto looks for what it knew from the last beamline every 8 s, unless it looks for something new
    new = MotorSpec(f"CHAIN:{request.path.stem}")
    with SimProcess(Beamline(cameras, (MotorSpec("CHAIN:M", velocity=50.0), new))) as process:
        put(f"{new.prefix}.VELO", 1.0)
        yield process


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Layout]:
    """A served archive: a start costs seconds."""
    layout = Layout(tmp_path_factory.mktemp("archive"))
    with running_server(layout.directory):
        yield layout


@pytest.fixture
def home(request, tmp_path) -> Path:
    """Where recordings and journal are; the archive's directory in tests that read over HTTP."""
    return request.getfixturevalue("served").directory if "served" in request.fixturenames else tmp_path


@pytest.fixture
def client(served) -> Iterator[Any]:
    """Who reads over HTTP what is in `home`."""
    client = connect(served.directory)
    yield client
    client.context.close()


@pytest.fixture
def make(beamline, home) -> Iterator[Callable[..., PvaDetector]]:
    """Make detectors of the simulated cameras; they are destroyed afterwards."""
    made: list[PvaDetector] = []

    def make(prefix: str = "CHAIN:A", *, name: str = "cam", **kwargs: Any) -> PvaDetector:
        options = {"directory": home / "recordings", "timeout": 5.0, "ring_memory": 8 * 2**20} | kwargs
        made.append(PvaDetector(f"{prefix}:Pva1:Image", control=f"{prefix}:cam1:", name=name, **options))
        return made[-1]

    yield make
    for detector in made:
        detector.destroy()


@pytest.fixture
def cam(make) -> PvaDetector:
    return make(pixel_size=6.5)


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture
def chain(docs, home) -> Iterator[Chain]:
    """A chain whose journal is a real one; what it passes on is in `docs`."""
    journal = Journal(home / "journal")
    chain = Chain(journal)
    chain.add(docs, required=True)
    yield chain
    journal.close()


@pytest.fixture
def engine(chain) -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine.preprocessors.append(ledger_wrapper)
        engine.preprocessors.append(partial(finishing_wrapper, chain=chain))
        engine.subscribe(chain)
        yield engine


@pytest.fixture
def later() -> Iterator[Callable[[Callable[[], bool], Callable[[], object]], None]]:
    """Do something as soon as a condition holds: ``later(lambda: x > 3, stop)``; within 20 s."""
    threads: list[threading.Thread] = []

    def later(when: Callable[[], bool], then: Callable[[], object]) -> None:
        waited = threading.Event()

        def watch() -> None:
            for _ in range(4000):
                if when():
                    then()
                    return
                waited.wait(0.005)

        threads.append(threading.Thread(target=watch))
        threads[-1].start()

    yield later
    for thread in threads:
        thread.join(30)
