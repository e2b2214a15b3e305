"""A simulated camera, and three ways to take its frames: a bare monitor, a bare writer, a recording."""

import contextlib
import itertools
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import pvaccess
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from beamstream.callbacks.chain import Chain
from beamstream.frames import Geometry
from beamstream.sim.beamline import Beamline, CameraSpec
from beamstream.sim.process import SimProcess
from devices.camera_control import MULTIPLE, CameraControl
from devices.pva_detector import PvaDetector
from plans.finish import finishing_wrapper
from plans.record import record

HELD = 1.03  # a rate counts when its frames took at most so much longer than they should
_NUMBER = itertools.count()  # a new name each time: Channel Access looks for old ones rarely


@dataclass(frozen=True)
class Taken:
    """What became of a recording."""

    fps: float
    frames: int
    recorded: int
    lost: int
    span: float  # s from the first to the last frame
    cpu: float  # s of this process

    @property
    def held(self) -> bool:
        """Whether every frame was recorded, at the rate asked for."""
        return self.lost == 0 and self.recorded == self.frames and self.span <= HELD * self.frames / self.fps + 0.1


class Documents(list[tuple[str, Any]]):
    """What a chain gave on of the last run."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __call__(self, name: str, doc: Any) -> None:
        if name == "start":
            self.clear()
        self.append((name, doc))

    @property
    def account(self) -> dict[str, Any]:
        """What the callbacks say that they did."""
        (uid,) = {doc["uid"] for name, doc in self if name == "descriptor" and doc["name"] == "callbacks"}
        return next(doc["data"] for name, doc in self if name == "event" and doc["descriptor"] == uid)


class Rig:
    """A camera in a process of its own."""

    def __init__(self, size: int, directory: Path, dtype: str = "<u2") -> None:
        self.size, self.directory = size, directory
        geometry = Geometry((size, size), dtype)
        self.frame_bytes = geometry.nbytes
        self.spec = CameraSpec(f"BENCH{next(_NUMBER)}:CAM", geometry)
        self._sim = SimProcess(Beamline((self.spec,), ()))
        self.engine = RunEngine({})

    def __enter__(self) -> Self:
        self._sim.__enter__()
        self._control = CameraControl(f"{self.spec.prefix}:cam1:", name="control")
        self._control.wait_for_connection(timeout=5)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._control.destroy()
        self._sim.__exit__(kind, error, trace)
        self.engine.loop.call_soon_threadsafe(self.engine.loop.stop)
        self.engine._th.join(5)
        self.engine.loop.close()

    def pace(self, fps: float) -> None:
        """Set the camera's rate; 0: as fast as it goes."""
        period = 1 / fps if fps else 0.0
        for signal in (self._control.acquire_time, self._control.acquire_period):
            signal.put(period, wait=True, timeout=5)

    def stream(self, frames: int) -> float:
        """Let the camera make frames; return how long it took."""
        began = self._begin(frames)
        self._wait_until_idle()
        return time.monotonic() - began

    def _begin(self, frames: int) -> float:
        control = self._control
        control.image_mode.put(MULTIPLE, wait=True, timeout=5)
        control.num_images.put(frames, wait=True, timeout=5)
        began = time.monotonic()
        control.acquire.put(1, wait=True, timeout=5)
        return began

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + 300
        while self._control.acquire.get(as_string=False, use_monitor=False) and time.monotonic() < deadline:
            time.sleep(0.02)

    def flat_out(self) -> float:
        """Return the frames per second that the server posts when nobody listens."""
        self.pace(0)
        frames = max(100, int(4e9 / self.frame_bytes))
        return frames / self.stream(frames)

    def monitored(self, fps: float, seconds: float) -> bool:
        """Return whether a monitor that does nothing gets every frame."""
        self.pace(fps)
        frames = int(fps * seconds)
        with self._bare_monitor() as count:
            before = count()
            took = self.stream(frames)
            time.sleep(0.3)
            return count() - before == frames and took <= HELD * frames / fps + 0.1

    def written(self, fps: float, seconds: float) -> bool:
        """Return whether O_DIRECT takes as many bytes while the server streams to a monitor."""
        self.pace(fps)
        frames = int(fps * seconds)
        with self._bare_monitor(), _direct_file(self.directory / "bare", self.frame_bytes) as write:
            began = self._begin(frames)
            for index in range(frames):
                time.sleep(max(0.0, began + index / fps - time.monotonic()))
                write(index)
            took = time.monotonic() - began
            self._wait_until_idle()
            return max(took, time.monotonic() - began) <= HELD * frames / fps + 0.1

    def recorded(self, fps: float, seconds: float, cam: PvaDetector) -> Taken:
        """Record, and throw the file away."""
        self.pace(fps)
        frames = max(1, int(fps * seconds))
        cpu = time.process_time()
        with contextlib.suppress(FailedStatus):  # the ring was full: the account says it
            self.engine(record([cam], num=frames))
        cpu = time.process_time() - cpu
        account = cam.ledger.account
        assert cam.path is not None
        with h5py.File(cam.path) as file:
            group: Any = file["entry/data"]
            stamps = group["timestamp"][:]
            span = float(stamps[-1] - stamps[0]) if len(stamps) else 0.0
        cam.path.unlink()
        return Taken(fps, frames, account.recorded, account.lost, span, cpu)

    @contextmanager
    def detector(self, **options: Any) -> Iterator[PvaDetector]:
        """Return the device, its modules loaded and its ring made."""
        spec = self.spec
        cam = PvaDetector(spec.image, name="cam", control=f"{spec.prefix}:cam1:", directory=self.directory, **options)
        try:
            self.recorded(50, 0.5, cam)
            yield cam
        finally:
            cam.destroy()

    @contextmanager
    def chained(self, *callbacks: Any) -> Iterator[Documents]:
        """Put callbacks behind the recordings; return the documents of the last one."""
        documents = Documents()
        chain = Chain(None, [*callbacks, documents])
        token = self.engine.subscribe(chain)
        self.engine.preprocessors.append(partial(finishing_wrapper, chain=chain))
        try:
            yield documents
        finally:
            self.engine.preprocessors.pop()
            self.engine.unsubscribe(token)

    @contextmanager
    def _bare_monitor(self) -> Iterator[Callable[[], int]]:
        updates = [0]

        def heard(_pv: Any) -> None:
            updates[0] += 1

        channel = pvaccess.Channel(self.spec.image)  # pyright: ignore[reportAttributeAccessIssue]
        channel.subscribe("bare", heard)
        channel.startMonitor("record[queueSize=50]field()")
        try:
            deadline = time.monotonic() + 5
            while not updates[0] and time.monotonic() < deadline:
                time.sleep(0.01)
            yield lambda: updates[0]
        finally:
            channel.stopMonitor()
            time.sleep(0.1)


def highest(holds: Callable[[float], bool], low: float, high: float, steps: int) -> float:
    """Return the highest rate that holds, by bisection of the ratio; 0 when `low` does not."""
    found = 0.0
    for _ in range(steps):
        middle = (low * high) ** 0.5
        if holds(middle):
            found = low = middle
        else:
            high = middle
    return found


@contextmanager
def _direct_file(path: Path, size: int) -> Iterator[Callable[[int], object]]:
    buffer = mmap.mmap(-1, size)
    buffer.write(os.urandom(4096) * (size // 4096))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    try:
        yield lambda index: os.pwrite(fd, buffer, index * size)
    finally:
        os.close(fd)
        path.unlink()
        buffer.close()
