"""Recording small frames at thousands a second, with and without twenty attributes on each."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

import pvaccess
import pytest
from attribute_camera import expected
from bench_rig import highest

from beamstream.recorded import RecordedFrames
from devices.pva_detector import PvaDetector

SIZE, FPS = 128, 4000.0
STEPS = 4  # of a bisection
pva: Any = pvaccess  # compiled, without type information


@dataclass(frozen=True)
class Run:
    """What became of a recording: frames posted, recorded, lost; s that the posting took; s of this process a frame."""

    posted: int
    recorded: int
    lost: int
    took: float
    cpu: float


class AttributeCamera:
    """The camera in a process of its own."""

    def __init__(self, pv: str, attributes: int) -> None:
        self.pv, self.attributes = pv, attributes
        program = Path(__file__).with_name("attribute_camera.py")
        command = [sys.executable, str(program), pv, str(SIZE), str(attributes)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        self._answer()
        self.post(1, 10.0)  # a server that has made no frame has no geometry
        return self

    def post(self, frames: int, fps: float) -> float:
        """Post frames; return how long it took, s."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"fps": fps, "frames": frames}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._process.communicate(timeout=20)

    def recorded(self, cam: PvaDetector, fps: float, seconds: float) -> Run:
        """Record that many seconds of it, look at a frame in a hundred, and throw the file away."""
        frames = int(fps * seconds)
        cam.stage()
        try:
            cam.kickoff()
            self.post(5, 100.0)  # the first one was begun before the kickoff, for all that is known
            cpu = time.process_time()
            took = self.post(frames, fps)
            cam.complete().wait(60)
            cpu = (time.process_time() - cpu) / frames
            account = cam.ledger.account
        finally:
            cam.unstage()
        assert cam.path is not None
        self._check(cam.path)
        cam.path.unlink()
        return Run(frames, account.recorded, account.lost, took, cpu)

    def _check(self, path: Path) -> None:
        with RecordedFrames(path) as recorded:
            for row in range(0, len(recorded), 100):
                ((frame,),) = recorded.read(row, row + 1)
                own = {key: value for key, value in frame.attributes.items() if key != "ColorMode"}
                assert own == expected(frame.unique_id, self.attributes)

    def plainly_read(self, fps: float, seconds: float) -> bool:
        """Return whether a monitor that reads the attributes, and does nothing else, gets every frame."""
        frames, count = int(fps * seconds), [0]

        def read(pv: Any) -> None:
            pv.getStructureArray("attribute")
            count[0] += 1

        channel = pva.Channel(self.pv)
        channel.subscribe("plain", read)
        channel.startMonitor("record[queueSize=500]field()")
        try:
            deadline = time.monotonic() + 5
            while not count[0] and time.monotonic() < deadline:
                time.sleep(0.01)
            before = count[0]
            took = self.post(frames, fps)
            time.sleep(0.3)
            return count[0] - before == frames and took <= 1.03 * seconds + 0.1
        finally:
            channel.stopMonitor()


@contextmanager
def detector(camera: AttributeCamera, directory: Path) -> Iterator[PvaDetector]:
    cam = PvaDetector(camera.pv, name="cam", directory=directory)
    try:
        camera.recorded(cam, 500.0, 0.5)  # its modules loaded, its ring made
        yield cam
    finally:
        cam.destroy()


@pytest.mark.benchmark
@pytest.mark.timeout(1500)
def test_twenty_attributes_on_every_frame_against_none_and_against_a_monitor_that_only_reads_them(
    tmp_path: Path, seconds: float, report: Callable[[str, str], None]
) -> None:
    seconds = min(seconds, 10.0)
    runs: dict[int, list[Run]] = {0: [], 20: []}
    with AttributeCamera("BENCH:NONE", 0) as none, AttributeCamera("BENCH:TWENTY", 20) as twenty:
        reference = highest(lambda fps: twenty.plainly_read(fps, seconds / 2), FPS / 8, FPS * 1.2, STEPS)
        with detector(none, tmp_path) as without, detector(twenty, tmp_path) as with_twenty:
            fps = min(FPS, 0.6 * reference)
            for _ in range(3):
                runs[0].append(none.recorded(without, fps, seconds))
                runs[20].append(twenty.recorded(with_twenty, fps, seconds))
            ours = highest(lambda fps: holds(twenty.recorded(with_twenty, fps, seconds / 2)), FPS / 8, FPS * 1.2, STEPS)
    report(
        f"{SIZE}² uint16 at {fps:.0f} fps with 0 and with 20 attributes",
        f"{lost(runs[0])} and {lost(runs[20])} lost; {1e6 * cpu(runs[0]):.0f} and {1e6 * cpu(runs[20]):.0f} µs of CPU "
        f"a frame: {cpu(runs[20]) / cpu(runs[0]):.2f}",
    )
    report(
        "the highest rate with 20 attributes",
        f"{ours:.0f} fps = {ours / reference:.2f} of a monitor that only reads them ({reference:.0f})",
    )
    assert reference
    assert all(holds(run) for each in runs.values() for run in each)


def holds(run: Run) -> bool:
    return run.lost == 0 and run.recorded >= run.posted


def lost(runs: list[Run]) -> int:
    return sum(run.lost for run in runs)


def cpu(runs: list[Run]) -> float:
    return median(run.cpu for run in runs)
