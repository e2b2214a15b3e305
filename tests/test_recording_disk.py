"""A recording whose disk cannot keep what it took, whose file disappears, or whose frames do not decode.

``python test_recording_disk.py DIRECTORY`` records 400 frames and prints what came of it.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import pytest

from beamstream.errors import CodecError, SinkError
from beamstream.frames import Frame, Geometry
from beamstream.ledger import Ledger, Place
from beamstream.recording import Recording
from beamstream.ring import Ring
from beamstream.sinks.base import Sink
from beamstream.sinks.contract import made_frame
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.tiff_sequence import TiffSequenceSink
from beamstream.window import Window

PLAIN = Geometry((32, 48), "<u2")
JPEG = Geometry((32, 48), "|u1", codec="jpeg")
NUMBER, PERIOD = 400, 0.005  # s


class Outcome:
    """What a window ended with."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.ended = threading.Event()

    def __call__(self, error: Exception | None) -> None:
        self.error = error
        self.ended.set()

    def wait(self) -> Exception | None:
        assert self.ended.wait(30), "the window did not end"
        return self.error


def whole_jpeg(number: int) -> Frame:
    image = np.full(JPEG.shape, number % 200, np.uint8)
    packed = np.frombuffer(imagecodecs.jpeg8_encode(image, level=95), np.uint8)
    return Frame(packed, JPEG, number, 1e9 + number, 1e9 + number)


def damaged_jpeg(number: int) -> Frame:
    frame = whole_jpeg(number)
    return Frame(frame.payload[: frame.payload.size // 2], JPEG, number, frame.timestamp, frame.received)


def expect_columns_that_add_up(ledger: Ledger) -> None:
    assert ledger.received == ledger.recorded + ledger.discarded + ledger.repeated + ledger.lost
    assert sum(gap.missing for gap in ledger.gaps) == ledger.lost


@pytest.fixture
def recorder() -> Iterator[Callable[..., Recording]]:
    made: list[tuple[Recording, Ring]] = []

    def make(sink: Sink, geometry: Geometry, **options: Any) -> Recording:
        ring = Ring("disk", memory=1 << 22)
        made.append((Recording("cam", ring, sink, geometry, **options), ring))
        return made[-1][0]

    yield make
    for recording, ring in made:
        with contextlib.suppress(SinkError):
            recording.close()
        ring.close()


@pytest.mark.parametrize("way", ["deleted", "replaced", "moved", "directory deleted"])
def test_a_file_that_disappears_fails_the_recording_while_it_runs(tmp_path: Path, recorder, way: str) -> None:
    path = tmp_path / "recordings" / "cam.h5"
    path.parent.mkdir()
    recording, outcome = recorder(Hdf5Sink(path, PLAIN, name="cam"), PLAIN), Outcome()
    recording.arm(Window(None, outcome, 20.0))
    for number in range(20):
        recording.frame(made_frame(PLAIN, number), 0)
    path.rename(tmp_path / "elsewhere.h5")
    if way == "replaced":
        path.write_bytes(b"of somebody else")
    elif way.endswith("deleted"):
        (tmp_path / "elsewhere.h5").unlink()
        if way.startswith("directory"):
            path.parent.rmdir()
    error = outcome.wait()
    assert isinstance(error, SinkError)
    for words in ("cam: ", str(path), "deleted, replaced or unmounted", f"cp /proc/{os.getpid()}/fd/"):
        assert words in str(error)
    assert (recording.ledger.recorded, recording.ledger.lost) == (0, 20)
    assert recording.ledger.gaps[0].after == 999
    expect_columns_that_add_up(recording.ledger)
    recording.close()
    cp, source, name = str(error).partition("with `")[2].rstrip("`").split()
    subprocess.run([cp, source, name], cwd=tmp_path, check=True)
    with h5py.File(tmp_path / name, "r", swmr=True) as file:
        assert len(file["entry/data/data"]) == 20  # type: ignore[arg-type]


def test_what_a_disk_took_and_cannot_keep_is_lost_and_fails_the_recording(tmp_path: Path) -> None:
    trouble = "fdatasync:error=EIO:when=2+"
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", f"inject={trouble}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*strace, sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["error"].startswith("SinkError: cam: to bring frames ")
    assert "the disk reports an input/output error" in found["error"]
    assert 0 < found["recorded"] < NUMBER  # what the first sync has on the disk
    assert found["recorded"] + found["lost"] + found["discarded"] == found["received"]
    assert found["gaps"][0][0] == 999 + found["recorded"]  # unique_id of the last frame that is safe
    assert (sum(missing for _, missing, _ in found["gaps"]), {gap[2] for gap in found["gaps"]}) == (
        found["lost"],
        {"disk"},
    )
    with h5py.File(tmp_path / "cam.h5", "r", swmr=True) as file:
        rows: Any = file["entry/data/data"]
        for number in range(found["recorded"]):
            np.testing.assert_array_equal(rows[number], made_frame(PLAIN, number).image)
        assert file["entry"].attrs["complete"] == 0


SINKS: dict[str, Callable[[Path], Sink]] = {
    "hdf5": lambda path: Hdf5Sink(path / "cam.h5", JPEG),
    "tiff": lambda path: TiffSequenceSink(path / "tiff", JPEG),
}


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "free-running"])
def test_a_damaged_frame_among_others_is_the_only_one_that_is_lost(
    tmp_path: Path, recorder, caplog: pytest.LogCaptureFixture, kind: str, exact: bool
) -> None:
    recording, outcome = recorder(SINKS[kind](tmp_path), JPEG), Outcome()
    recording.arm(Window(200, outcome, 20.0, exact=exact))
    for number in range(200):
        recording.frame(damaged_jpeg(number) if number in (60, 61) else whole_jpeg(number), 0)
    deadline = time.monotonic() + 30
    for number in itertools.count(200):  # a camera that runs by itself goes on
        if exact or outcome.ended.wait(0.01) or time.monotonic() > deadline:
            break
        recording.frame(whole_jpeg(number), 0)
    assert outcome.wait() is None
    ledger = recording.ledger
    recording.close()
    assert (ledger.recorded, ledger.lost, ledger.malformed) == (198 if exact else 200, 2, 2)
    assert [(gap.after, gap.missing, gap.place) for gap in ledger.gaps] == [(59, 1, Place.CODEC), (60, 1, Place.CODEC)]
    expect_columns_that_add_up(ledger)
    assert len([r for r in caplog.records if "the JPEG is cut off" in r.getMessage()]) == 1


def test_a_damaged_frame_fails_a_recording_that_may_lose_none(tmp_path: Path, recorder) -> None:
    recording, outcome = recorder(SINKS["hdf5"](tmp_path), JPEG, on_loss="fail"), Outcome()
    recording.arm(Window(None, outcome, 20.0))
    for number in range(20):
        recording.frame(damaged_jpeg(number) if number == 6 else whole_jpeg(number), 0)
    assert isinstance(outcome.wait(), CodecError)
    recording.close()
    assert (recording.ledger.recorded, recording.ledger.lost) == (19, 1)
    expect_columns_that_add_up(recording.ledger)


def _record(directory: Path) -> None:
    ring, outcome = Ring("disk", memory=1 << 22), Outcome()
    recording = Recording("cam", ring, Hdf5Sink(directory / "cam.h5", PLAIN, name="cam"), PLAIN)
    recording.arm(Window(NUMBER, outcome, 20.0))
    for number in range(NUMBER):
        recording.frame(made_frame(PLAIN, number), 0)
        time.sleep(PERIOD)
    error, ledger = outcome.wait(), recording.ledger
    columns = {key: getattr(ledger, key) for key in ("received", "recorded", "lost", "discarded")}
    gaps = [[gap.after, gap.missing, gap.place] for gap in ledger.gaps]
    sys.stdout.write(json.dumps({"error": f"{type(error).__name__}: {error}", "gaps": gaps} | columns))
    recording.close()
    ring.close()


if __name__ == "__main__":
    _record(Path(sys.argv[1]))
