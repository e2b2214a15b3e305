"""Cameras of every kind on one simulated beamline, and a listener that keeps all it is told."""

import errno
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from beamstream.errors import BeamstreamError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sim.beamline import Beamline, CameraSpec, MotorSpec
from beamstream.sim.pattern import Pattern
from beamstream.sim.process import SimProcess
from beamstream.sources.pva import PvaSource

_MONO = [Geometry((32, 48), d) for d in ("|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8")]
_COLOUR = [
    Geometry((32, 48), "|u1", ColorMode.BAYER),
    Geometry((32, 48, 3), "|u1", ColorMode.RGB1),
    Geometry((32, 3, 48), "<u2", ColorMode.RGB2),
    Geometry((3, 32, 48), "<f4", ColorMode.RGB3),
]
_CODECS = [
    Geometry((33, 47), "<u2", codec="bslz4"),
    Geometry((32, 48), "<i4", codec="lz4"),
    Geometry((32, 48), "<u2", codec="lz4hdf5"),
    Geometry((32, 48), "<f8", codec="blosc"),
    Geometry((32, 48), "<u2", codec="zlib"),
    Geometry((32, 48), "|u1", codec="jpeg"),
    Geometry((32, 48, 3), "|u1", ColorMode.RGB1, codec="blosc"),
]
A = CameraSpec("SRC:A", Geometry((96, 128), "<u2"), period=0.004)
FREE = CameraSpec("SRC:F", Geometry((64, 64), "|u1"), period=0.005, free_running=True)
FAST = CameraSpec("SRC:Q", Geometry((64, 64), "<u2"), period=0.002)
LARGE = CameraSpec("SRC:L", Geometry((512, 512), "|u1"), period=0.002)  # more than sockets hold in 0.3 s
EMPTY = CameraSpec("SRC:E", Geometry((64, 64), "<u2"), period=0.004, prefilled=False)
KINDS = [CameraSpec(f"SRC:K{i}", g, period=0.004) for i, g in enumerate(_MONO + _COLOUR + _CODECS)]
CAMERAS = {spec.prefix: spec for spec in (A, FREE, FAST, LARGE, EMPTY, *KINDS)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `kind` with every pixel type, colour mode and codec."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS, ids=[str(spec.geometry).replace(" ", "_") for spec in KINDS])


class Collector:
    """A listener that keeps what it is told; ``act`` is called first, for tests that hold it up or make it raise."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.missing: list[int | None] = []
        self.repeats = 0
        self.errors: list[BeamstreamError] = []
        self.connections: list[bool] = []
        self.failures: list[Exception] = []
        self.heard = time.monotonic()
        self.act: Callable[[str], None] = lambda what: None

    @property
    def ids(self) -> list[int]:
        return [f.unique_id for f in self.frames]

    def frame(self, frame: Frame, missing: int | None) -> None:
        self.heard = time.monotonic()
        self.missing.append(missing)
        self.frames.append(frame)
        self.act("frame")

    def repeated(self) -> None:
        self.repeats += 1
        self.act("repeated")

    def malformed(self, error: BeamstreamError) -> None:
        self.errors.append(error)
        self.act("malformed")

    def connection(self, up: bool) -> None:
        self.connections.append(up)
        self.act("connection")

    def failed(self, error: Exception) -> None:
        self.failures.append(error)

    def assert_bit_exact(self, geometry: Geometry) -> None:
        pattern = Pattern(geometry)
        for frame in self.frames:
            assert frame.geometry == geometry
            np.testing.assert_array_equal(frame.image, pattern.image(frame.unique_id), f"frame {frame.unique_id}")

    def assert_all_accounted_for(self) -> None:
        """Every step of the count is what the source said is missing."""
        steps = [b - a - 1 if b > a else None for a, b in pairwise(self.ids)]
        assert self.missing[1:] == steps


def _found(ask: Callable[[], Any]) -> Any:
    """Ask again, from another port, when nobody answers a search: that happens to datagrams.

    caproto's synchronous client, because it keeps nothing that a restart of the server would make wrong.
    """
    from caproto import CaprotoTimeoutError

    for _ in range(5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its socket open when that cannot be bound
            try:
                return ask()
            except CaprotoTimeoutError as error:
                if "search" not in str(error):
                    raise
            except OSError as error:  # EINVAL: pvaccess, closing, sent something on a socket's number that is ours now
                if error.errno != errno.EINVAL:
                    raise
    return ask()


class Camera:
    """One simulated camera, driven over Channel Access."""

    def __init__(self, spec: CameraSpec, wait_for: Callable[..., None]) -> None:
        self._wait_for = wait_for
        self.prefix = spec.prefix
        self.geometry = spec.geometry
        self.pv = spec.image

    def put(self, name: str, value: Any) -> None:
        """Set ``cam1:NAME``, or a fault, ``sim1:NAME``."""
        from caproto.sync.client import write

        _found(lambda: write(f"{self.prefix}:{name}", value, notify=True, timeout=2, repeater=False))

    def read(self, name: str) -> Any:
        from caproto.sync.client import read

        return _found(lambda: read(f"{self.prefix}:{name}", timeout=2, repeater=False)).data[0]

    def last_id(self) -> int:
        """Return the id of the last exposure, once the acquisition is over."""
        self._wait_for(lambda: self.read("cam1:Acquire_RBV") == b"Done", what=f"{self.prefix} to be done")
        return self.read("cam1:ArrayCounter_RBV")

    def acquire(self, number: int) -> None:
        """Begin `number` exposures."""
        self.put("cam1:ImageMode", 1)
        self.put("cam1:NumImages", number)
        self.put("cam1:Acquire", 1)


@pytest.fixture(scope="module")  # one at a time: beamlines of one environment share ports
def beamline() -> Iterator[SimProcess]:
    with SimProcess(Beamline(tuple(CAMERAS.values()), (MotorSpec("SRC:M"),))) as process:
        yield process


@pytest.fixture
def camera(beamline, wait_for) -> Iterator[Callable[[str], Camera]]:
    """Return a function that gives the camera of a prefix, without faults; they are off again afterwards."""
    used: dict[str, Camera] = {}

    def find(prefix: str) -> Camera:
        if prefix not in used:
            used[prefix] = Camera(CAMERAS[prefix], wait_for)
            used[prefix].put("sim1:ClearFaults", 1)
        return used[prefix]

    yield find
    for prefix, each in used.items():
        each.put("sim1:ClearFaults", 1)
        if not CAMERAS[prefix].free_running:
            each.put("cam1:Acquire", 0)


@pytest.fixture
def cam(camera) -> Camera:
    return camera(A.prefix)


@pytest.fixture
def listener() -> Collector:
    return Collector()


@pytest.fixture
def follow(listener) -> Iterator[Callable[..., PvaSource]]:
    """Return a function that makes a source of a PV and starts it with `listener`; sources are closed afterwards."""
    made: list[PvaSource] = []

    def start(pv: str, **options: Any) -> PvaSource:
        made.append(PvaSource(pv, name="cam", **options))
        made[-1].start(listener, timeout=10.0)
        return made[-1]

    yield start
    for source in made:
        source.close()
