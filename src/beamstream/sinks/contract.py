"""The promises of a sink, as tests: subclass `SinkContract` for every place that keeps frames.

It ships with the package, and not with its tests, because sinks of plug-ins have to keep the same promises. It also
is the writer that the tests kill: ``python -m beamstream.sinks.contract FACTORY PATH GEOMETRY BATCH BATCHES``
writes `made_frame` after `made_frame` and prints the number kept after each batch.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from beamstream.children import PYTHON, python_module
from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry

DTYPES = ("|i1", "|u1", "<i2", "<u2", ">u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8")
SHAPES = {
    ColorMode.MONO: (48, 64),
    ColorMode.BAYER: (48, 64),
    ColorMode.RGB1: (48, 64, 3),
    ColorMode.RGB2: (48, 3, 64),
    ColorMode.RGB3: (3, 48, 64),
}
_DIGESTS = """
import hashlib, json, sys
def digests(arguments):
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in read(*arguments)]
for line in sys.stdin:
    print(json.dumps(digests(json.loads(line))), flush=True)
"""


def made_frame(geometry: Geometry, number: int) -> Frame:
    """Make a frame that no other number makes; the same in every process."""
    count = int(np.prod(geometry.shape))
    pixels = (np.arange(count, dtype=np.int64) * 7 + number * 13).astype(np.dtype(geometry.dtype))
    return Frame(pixels.reshape(geometry.shape), geometry, 1000 + number, 1e9 + number / 7, 1e9 + number / 7 + 0.01)


def made_frames(geometry: Geometry, start: int, stop: int) -> list[Frame]:
    """Make the frames from `start` to `stop`."""
    return [made_frame(geometry, number) for number in range(start, stop)]


def digest(frame: Frame) -> str:
    """Return what `SinkContract.digests` returns for the same pixels."""
    return hashlib.sha256(frame.image.tobytes()).hexdigest()


def write_and_fail(sink: Any, frames: list[Frame]) -> None:
    """Write frames, then have an error that has nothing to do with the sink."""
    with sink:
        sink.write(frames)
        raise ZeroDivisionError


def write_and_move(sink: Any, frames: list[Frame], directory: Path) -> None:
    """Write frames, then take their directory away."""
    with sink:
        sink.write(frames)
        directory.rename(directory.with_name("elsewhere"))


class _Stranger:
    """A process that reads files, one after the other: most of the life of one for each file would be its start.

    Parameters
    ----------
    reader : str
        As `SinkContract.reader`.
    """

    def __init__(self, reader: str) -> None:
        command = [*PYTHON, "-c", reader + _DIGESTS]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def digests(self, arguments: list[Any]) -> list[str]:
        """Read a file; return the checksum of each frame."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(arguments)}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the reader failed: {self._process.communicate()[1]}"
        return json.loads(line)


class SinkContract:
    """Every promise of a sink, once.

    Attributes
    ----------
    factory : str
        The sink as ``"module:name"``; called with a path and a geometry.
    reader : str
        Python source of ``read(path)``, which yields the frames of a sink that may be open, or whose writer was
        killed. It runs in a process of its own, one for all tests of the class, and should use what a stranger would
        use, nothing of ours. It keeps no file open.
    kills : int
        Writers that are killed; more where a frame that is reported as recorded depends on it.
    """

    factory: ClassVar[str]
    reader: ClassVar[str]
    kills: ClassVar[int] = 8
    stranger: ClassVar[_Stranger]
    geometry = Geometry((200, 300), "<u2")  # no whole number of pages

    def make(self, path: Path, geometry: Geometry | None = None) -> Any:
        """Make a sink."""
        return _load(self.factory)(path, geometry or self.geometry)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _stranger_for_all(cls) -> Iterator[None]:
        with _Stranger(cls.reader) as cls.stranger:
            yield

    def arguments(self, path: Path) -> list[Any]:
        """Return what ``read`` is called with."""
        return [str(path)]

    def digests(self, *paths: Path) -> list[list[str]]:
        """Read files in another process; return the checksum of each frame."""
        return [self.stranger.digests(self.arguments(path)) for path in paths]

    def expect(self, path: Path, frames: Iterable[Frame]) -> None:
        """Check that the file has just these frames."""
        assert self.digests(path) == [[digest(frame) for frame in frames]]

    def test_frames_are_readable_by_another_process_while_the_sink_is_open(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        frames = made_frames(self.geometry, 0, 12)
        with self.make(path) as sink:
            assert sink.write(frames[:1]) == 1
            self.expect(path, frames[:1])
            assert sink.write(frames[1:9]) == 9
            assert sink.write([]) == 9
            self.expect(path, frames[:9])
            assert sink.write(frames[9:]) == 12
            self.expect(path, frames)

    def test_frames_are_readable_after_closing(self, tmp_path: Path) -> None:
        frames = made_frames(self.geometry, 0, 70)
        with self.make(tmp_path / "run") as sink:
            for start in range(0, 70, 7):
                sink.write(frames[start : start + 7])
        self.expect(tmp_path / "run", frames)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_every_pixel_type_comes_back_bit_exact(self, tmp_path: Path, dtype: str) -> None:
        geometry = Geometry((61, 67), dtype)
        frames = made_frames(geometry, 0, 5)
        with self.make(tmp_path / "run", geometry) as sink:
            sink.write(frames)
        self.expect(tmp_path / "run", frames)

    @pytest.mark.parametrize("mode", list(ColorMode))
    def test_every_colour_mode_comes_back_bit_exact(self, tmp_path: Path, mode: ColorMode) -> None:
        geometry = Geometry(SHAPES[mode], "|u1", mode)
        frames = made_frames(geometry, 0, 5)
        with self.make(tmp_path / "run", geometry) as sink:
            sink.write(frames)
        self.expect(tmp_path / "run", frames)

    @pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 32), (1021, 1031), (2048, 1024)], ids=str)
    def test_every_size_and_place_in_memory_comes_back_bit_exact(self, tmp_path: Path, shape: tuple[int, int]) -> None:
        geometry = Geometry(shape, "<u2")
        frames = [frame for number in range(2) for frame in _elsewhere_in_memory(made_frame(geometry, number))]
        with self.make(tmp_path / "run", geometry) as sink:
            sink.write(frames[:1])
            sink.write(frames[1:])
        self.expect(tmp_path / "run", frames)

    def test_what_was_reported_as_kept_survives_kill_9_at_any_instant(self, tmp_path: Path) -> None:
        paths = [tmp_path / f"run{i}" for i in range(self.kills)]
        with ThreadPoolExecutor(2) as pool:  # most of a writer's life is its start
            reported = list(pool.map(self.kill_a_writer, paths, map(random.Random, range(self.kills))))
        for kept, found in zip(reported, self.digests(*paths), strict=True):
            assert len(found) >= kept
            assert found == [digest(frame) for frame in made_frames(self.geometry, 0, len(found))]
        assert max(reported) > 50

    def kill_a_writer(self, path: Path, chance: random.Random) -> int:
        """Let a process write, kill it at a random instant; return how many frames it had reported by then."""
        batch = chance.choice((1, 3, 16))
        with _writer(self.factory, path, self.geometry, batch) as process:
            assert process.stdout is not None
            kept = int(process.stdout.readline() or 0)
            until = time.monotonic() + chance.uniform(0, 0.3)
            while time.monotonic() < until:
                kept = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split("\n")[:-1]  # the last line may be cut off
        return int(rest[-1]) if rest else kept

    def test_an_existing_file_is_not_overwritten(self, tmp_path: Path) -> None:
        frames = made_frames(self.geometry, 0, 2)
        with self.make(tmp_path / "run") as sink:
            sink.write(frames)
        with pytest.raises(SinkError, match="exists"), self.make(tmp_path / "run"):
            pass
        self.expect(tmp_path / "run", frames)

    def test_a_missing_directory_is_named_when_opening(self, tmp_path: Path) -> None:
        with pytest.raises(SinkError, match=r"no directory .*nowhere"), self.make(tmp_path / "nowhere" / "run"):
            pass

    def test_a_frame_of_another_geometry_is_refused_and_the_others_are_kept(self, tmp_path: Path) -> None:
        frames = made_frames(self.geometry, 0, 2)
        other = made_frame(Geometry((200, 301), "<u2"), 7)
        with self.make(tmp_path / "run") as sink:
            sink.write(frames)
            with pytest.raises(SinkError, match="200 × 301"):
                sink.write([frames[0], other])
        self.expect(tmp_path / "run", frames)

    def test_an_error_in_the_run_passes_through_and_leaves_the_frames_readable(self, tmp_path: Path) -> None:
        frames = made_frames(self.geometry, 0, 3)
        with pytest.raises(ZeroDivisionError):
            write_and_fail(self.make(tmp_path / "run"), frames)
        self.expect(tmp_path / "run", frames)

    def test_a_disk_that_takes_frames_and_cannot_keep_them_fails_the_run_before_it_is_complete(
        self, tmp_path: Path
    ) -> None:
        trouble = "fdatasync,fsync:error=EIO"
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", f"inject={trouble}"]
        with _writer(self.factory, tmp_path / "run", self.geometry, 3, batches=2, before=strace) as process:
            said, _ = process.communicate(timeout=60)
        assert "the disk reports an input/output error" in said
        assert "SinkError" in said
        assert str(tmp_path / "run") in said

    def test_files_that_are_deleted_in_mid_run_fail_the_run_before_it_is_complete(self, tmp_path: Path) -> None:
        path = tmp_path / "recordings" / "run"
        path.parent.mkdir()
        with pytest.raises(SinkError, match="deleted, replaced or unmounted"):
            write_and_move(self.make(path), made_frames(self.geometry, 0, 3), path.parent)

    def test_a_full_disk_is_named_and_leaves_the_frames_readable(self, small_disk: Path) -> None:
        path = small_disk / "run"
        frames = made_frames(self.geometry, 0, 400)  # 48 MB
        kept = [0]
        with self.make(path) as sink, pytest.raises(DiskFull, match=r"full.*make room"):
            kept.extend(sink.write(frames[start : start + 3]) for start in range(0, 400, 3))
        assert kept[-1] > 10
        self.expect(path, frames[: kept[-1]])


def _elsewhere_in_memory(frame: Frame) -> list[Frame]:
    """Return the frame at a page boundary, beside one, and not contiguous."""
    shape, dtype, nbytes = frame.geometry.shape, np.dtype(frame.geometry.dtype), frame.geometry.nbytes
    memory = np.zeros(nbytes + 2 * 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    places = []
    for shift in (0, 64):
        place = memory[start + shift : start + shift + nbytes].view(dtype).reshape(shape)
        place[...] = frame.image
        places.append(place)
        memory = memory.copy()
        start = -memory.ctypes.data % 4096
    places.append(np.asfortranarray(frame.image))
    return [Frame(p, frame.geometry, frame.unique_id, frame.timestamp, frame.received) for p in places]


def _load(factory: str) -> Any:
    module, _, name = factory.partition(":")
    return getattr(import_module(module), name)


def _writer(
    factory: str, path: Path, geometry: Geometry, batch: int, *, batches: int = 1 << 30, before: Sequence[str] = ()
) -> subprocess.Popen[str]:
    arguments = [factory, str(path), json.dumps(geometry.to_dict()), str(batch), str(batches)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    errors = subprocess.STDOUT if before else None
    command = [*before, *python_module("beamstream.sinks.contract", *arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, stderr=errors)


def _write_batches(factory: str, path: str, geometry: Geometry, batch: int, batches: int) -> None:
    with _load(factory)(Path(path), geometry) as sink:
        for start in range(0, batches * batch, batch):
            sys.stdout.write(f"{sink.write(made_frames(geometry, start, start + batch))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    try:
        _write_batches(
            sys.argv[1], sys.argv[2], Geometry.from_dict(json.loads(sys.argv[3])), int(sys.argv[4]), int(sys.argv[5])
        )
    except SinkError as refusal:
        sys.exit(f"{type(refusal).__name__}: {refusal}")
