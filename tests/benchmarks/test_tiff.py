"""How fast frames become TIFF and NPY, next to tifffile and numpy writing the same frames from the same memory."""

import mmap
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import tifffile

from beamstream.frames import Frame, Geometry
from beamstream.sinks.npy import NpySink
from beamstream.sinks.tiff_file import TiffFileSink
from beamstream.sinks.tiff_sequence import TiffSequenceSink

pytestmark = pytest.mark.benchmark
ROUNDS = 6
SIZES = [Geometry((2048, 2048), "<u2"), Geometry((512, 512), "|u1")]
TOTAL = 320 << 20  # bytes a round


def made(geometry: Geometry, count: int) -> list[Frame]:
    """Make different frames at the beginnings of pages, as a ring has them."""
    frames, random = [], np.random.default_rng(7)
    for number in range(count):
        memory = np.frombuffer(mmap.mmap(-1, geometry.nbytes), np.uint8)
        memory[:] = random.integers(0, 256, geometry.nbytes, np.uint8)
        frames.append(Frame(memory.view(geometry.dtype).reshape(geometry.shape), geometry, number, 1e9, 1e9))
    return frames


def ours(sink: type, batch: int) -> Callable[[Path, list[Frame], int], None]:
    def write(path: Path, frames: list[Frame], count: int) -> None:
        with sink(path, frames[0].geometry) as opened:
            for start in range(0, count, batch):
                opened.write([frames[n % len(frames)] for n in range(start, min(start + batch, count))])

    return write


def files_of_tifffile(path: Path, frames: list[Frame], count: int) -> None:
    path.mkdir()
    for number in range(count):
        tifffile.imwrite(path / f"frame_{number:06d}.tiff", frames[number % len(frames)].image)


def pages_of_tifffile(path: Path, frames: list[Frame], count: int) -> None:
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number in range(count):
            writer.write(frames[number % len(frames)].image, contiguous=False)


def array_of_numpy(path: Path, frames: list[Frame], count: int) -> None:
    shape = (count, *frames[0].geometry.shape)
    array = np.lib.format.open_memmap(path, "w+", frames[0].geometry.dtype, shape)
    for number in range(count):
        array[number] = frames[number % len(frames)].image
    array.flush()


WAYS = {
    "TIFF files": (TiffSequenceSink, files_of_tifffile),
    "TIFF pages": (TiffFileSink, pages_of_tifffile),
    "NPY": (NpySink, array_of_numpy),
}


@pytest.mark.parametrize("geometry", SIZES, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_frames_are_written_next_to_the_library(tmp_path, report, geometry, way):
    """Ratios of frames a second, round by round: until the last call returns, and until the disk has everything."""
    sink, theirs = WAYS[way]
    count, frames = TOTAL // geometry.nbytes, made(geometry, max(4, (32 << 20) // geometry.nbytes))
    writers = {"library": theirs, "ours, 1 a call": ours(sink, 1), "ours, 16 a call": ours(sink, 16)}
    returned: dict[str, list[float]] = {who: [] for who in writers}
    synced: dict[str, list[float]] = {who: [] for who in writers}
    for turn in range(ROUNDS):
        for step in range(len(writers)):  # each is the first in its turn
            who, write = list(writers.items())[(turn + step) % len(writers)]
            path, began = tmp_path / "run", time.perf_counter()
            write(path, frames, count)
            returned[who].append(time.perf_counter() - began)
            os.sync()
            synced[who].append(time.perf_counter() - began)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            path.with_name("run.frames.npy").unlink(missing_ok=True)
    for who in list(writers)[1:]:
        ratios = [
            median(a / b for a, b in zip(taken["library"], taken[who], strict=True)) for taken in (returned, synced)
        ]
        rate = count * geometry.nbytes / 1e6 / median(returned[who])
        report(
            f"{way}, {geometry}, {who}",
            f"{rate:.0f} MB/s, {ratios[0]:.2f} × the library; on the disk {ratios[1]:.2f} ×",
        )


def sustained(write: Callable[[Path, list[Frame], int], None], path: Path, frames: list[Frame], count: int) -> float:
    """Return MB/s of a long run, with what it takes to get the last of it onto the disk."""
    os.sync()
    began = time.perf_counter()
    write(path, frames, count)
    os.sync()
    seconds = time.perf_counter() - began
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return count * frames[0].geometry.nbytes / 1e6 / seconds


@pytest.mark.parametrize("way", ["TIFF files", "TIFF pages"])
def test_a_long_run_is_written_next_to_the_library(tmp_path, report, way):
    sink, theirs = WAYS[way]
    count, frames = (6 << 30) // SIZES[0].nbytes, made(SIZES[0], 4)
    rates = {
        who: sustained(write, tmp_path / "run", frames, count)
        for who, write in (("ours", ours(sink, 4)), ("library", theirs))
    }
    report(f"{way}, 6 GB", ", ".join(f"{who} {rate:.0f} MB/s" for who, rate in rates.items()))
