"""Two simulated cameras for the plans, and a RunEngine that does nothing by itself and remembers its documents."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import run_engines
from bluesky import RunEngine
from bluesky.utils import MsgGenerator
from ophyd import EpicsSignal, Signal
from run_engines import pause_when, run_engine

from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.process import SimProcess
from devices.pva_detector import PvaDetector

A = CameraSpec("PLAN:A", Geometry((48, 64), "<u2"), period=0.005)
B = CameraSpec("PLAN:B", Geometry((32, 32), "|u1"), period=0.01)


class Documents(run_engines.Documents):
    """What a RunEngine emitted, in order."""

    def run(self, start: dict[str, Any]) -> "Documents":
        """Return the documents of one of several runs."""
        belong = {start["uid"]}
        chosen = Documents()
        for name, doc in self:
            if doc["uid"] in belong or belong & {doc.get(k) for k in ("run_start", "descriptor", "stream_resource")}:
                belong.add(doc["uid"])
                chosen.append((name, doc))
        return chosen

    @property
    def start(self) -> dict[str, Any]:
        (start,) = self.of("start")
        return start

    @property
    def stop(self) -> dict[str, Any]:
        (stop,) = self.of("stop")
        return stop

    @property
    def streams(self) -> dict[str, dict[str, Any]]:
        """The descriptors, by the name of their stream."""
        return {d["name"]: d for d in self.of("descriptor")}

    def events(self, stream: str) -> list[dict[str, Any]]:
        uids = {d["uid"] for d in self.of("descriptor") if d["name"] == stream}
        return [d for d in self.of("event") if d["descriptor"] in uids]

    def rows(self, data_key: str) -> list[tuple[int, int]]:
        """Return which rows of a data key were told of, piece by piece."""
        resources = {d["uid"] for d in self.of("stream_resource") if d["data_key"] == data_key}
        indices = [d["indices"] for d in self.of("stream_datum") if d["stream_resource"] in resources]
        return [(i["start"], i["stop"]) for i in indices]


def put(pv: str, value: Any) -> None:
    signal = EpicsSignal(pv, name="any")
    signal.wait_for_connection(timeout=10)
    signal.put(value, wait=True, timeout=10)
    signal.destroy()


@pytest.fixture(scope="module")  # one at a time: beamlines of one environment share ports
def beamline(request) -> Iterator[SimProcess]:
    # caproto looks for what it knew from the last beamline every 8 s, unless it looks for something new
    new = MotorSpec(f"PLAN:{request.path.stem}")
    with SimProcess(Beamline((A, B), (new,))) as process:
        put(f"{new.prefix}.VELO", 1.0)
        yield process


@pytest.fixture
def faults(beamline) -> Iterator[Callable[[str, Any], None]]:
    """Switch a fault of camera A on, ``faults("SkipEvery", 10)``; all are off afterwards.

    One good frame is taken then: a server's structure is its last frame's.
    """
    yield lambda name, value: put(f"PLAN:A:sim1:{name}", value)
    put("PLAN:A:sim1:ClearFaults", 1)
    put("PLAN:A:cam1:ImageMode", 0)
    put("PLAN:A:cam1:Acquire", 1)


@pytest.fixture
def make(beamline, tmp_path) -> Iterator[Callable[..., PvaDetector]]:
    """Make detectors of the simulated cameras; they are destroyed afterwards."""
    made: list[PvaDetector] = []

    def make(prefix: str = "PLAN:A", *, name: str = "cam", **kwargs: Any) -> PvaDetector:
        options = {"directory": tmp_path, "timeout": 5.0, "ring_memory": 8 * 2**20} | kwargs
        made.append(PvaDetector(f"{prefix}:Pva1:Image", control=f"{prefix}:cam1:", name=name, **options))
        return made[-1]

    yield make
    for detector in made:
        detector.destroy()


@pytest.fixture
def cam(make) -> PvaDetector:
    return make()


@pytest.fixture
def other(make) -> PvaDetector:
    return make("PLAN:B", name="other")


@pytest.fixture
def knob() -> Signal:
    return Signal(name="knob", value=1.5)


@pytest.fixture
def docs() -> Documents:
    return Documents()


@pytest.fixture
def engine(docs) -> Iterator[RunEngine]:
    with run_engine() as engine:
        engine.subscribe(docs)
        yield engine


@pytest.fixture
def pause(engine) -> Callable[[MsgGenerator[Any], Callable[[], bool]], None]:
    """Run a plan and pause it as soon as a condition holds, as Ctrl-C twice does."""

    return partial(pause_when, engine)
