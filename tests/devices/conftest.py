"""A simulated beamline for the devices, and a RunEngine that remembers its documents."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import run_engines
from bluesky import RunEngine
from ophyd import EpicsSignal
from pva_camera import PvaCamera
from run_engines import run_engine

from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.process import SimProcess
from devices.pva_detector import PvaDetector
from plans.ledger import ledger_wrapper

A = CameraSpec("DEV:A", Geometry((96, 128), "<u2"), period=0.005)
FREE = CameraSpec("DEV:F", Geometry((64, 64), "|u1"), period=0.005, free_running=True)
LZ4 = CameraSpec("DEV:Z", Geometry((64, 64), "<u2", codec="bslz4"), period=0.005)
EMPTY = CameraSpec("DEV:E", Geometry((64, 64), "<u2"), period=0.005, prefilled=False)
RING = 8 * 2**20


class Documents(run_engines.Documents):
    """What a RunEngine emitted, in order."""

    @property
    def stop(self) -> dict[str, Any]:
        return self.of("stop")[-1]

    @property
    def ledger(self) -> dict[str, Any]:
        (uid,) = {d["uid"] for d in self.of("descriptor") if d["name"] == "ledger"}
        return next(d["data"] for d in self.of("event") if d["descriptor"] == uid)


@pytest.fixture(scope="module")  # one at a time: beamlines of one environment share ports
def beamline(request) -> Iterator[SimProcess]:
    # caproto looks for what it knew from the last beamline every 8 s, unless it looks for something new
    new = MotorSpec(f"DEV:{request.path.stem}")
    with SimProcess(Beamline((A, FREE, LZ4, EMPTY), (MotorSpec("DEV:M", velocity=50.0), new))) as process:
        put(f"{new.prefix}.VELO", 1.0)
        yield process


def put(pv: str, value: Any) -> None:
    signal = EpicsSignal(pv, name="any")
    signal.wait_for_connection(timeout=30)  # a search that was lost is repeated after 8 s
    signal.put(value, wait=True, timeout=30)
    signal.destroy()


@pytest.fixture
def faults(beamline) -> Iterator[Callable[[str, Any], None]]:
    """Switch a fault of camera A on: ``faults("SkipEvery", 10)``; all are off afterwards.

    One good frame is taken then: a server's structure is its last frame's.
    """

    def set_fault(name: str, value: Any) -> None:
        put(f"DEV:A:sim1:{name}", value)

    set_fault("ClearFaults", 1)
    yield set_fault
    set_fault("ClearFaults", 1)
    put("DEV:A:cam1:ImageMode", 0)
    put("DEV:A:cam1:Acquire", 1)


@pytest.fixture
def make(beamline, tmp_path) -> Iterator[Callable[..., PvaDetector]]:
    """Make detectors of the simulated cameras; they are destroyed afterwards."""
    made: list[PvaDetector] = []

    def make(prefix: str = "DEV:A", *, name: str = "cam", control: bool = True, **kwargs: Any) -> PvaDetector:
        options = {"directory": tmp_path, "timeout": 2.0, "ring_memory": RING} | kwargs
        where = f"{prefix}:cam1:" if control else None
        detector = PvaDetector(f"{prefix}:Pva1:Image", control=where, name=name, **options)
        made.append(detector)
        return detector

    yield make
    for detector in made:
        detector.destroy()


@pytest.fixture
def cam(make, faults) -> PvaDetector:
    return make()


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture
def engine(docs) -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine.preprocessors.append(ledger_wrapper)
        engine.subscribe(docs)
        yield engine


@pytest.fixture
def detector_of(tmp_path) -> Iterator[Callable[..., PvaDetector]]:
    """Make a detector of a camera that runs by itself, with the arguments of `PvaCamera.run`."""
    with ExitStack() as made:

        def make(*how: Any, timeout: float = 10.0, **more: Any) -> PvaDetector:
            camera = made.enter_context(PvaCamera("DEV:R:Image"))
            camera.run(*how, **more)
            cam = PvaDetector(camera.pv, name="cam", directory=tmp_path, timeout=timeout, ring_memory=2**22)
            made.callback(cam.destroy)
            return cam

        yield make
