"""How fast a recorded run is exported, beside h5py that writes the same frames from memory."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for recorded_runs

from recorded_runs import Runs, shown

from beamstream.callbacks.recorder import Recorder
from beamstream.export import export_run
from beamstream.frames import Geometry

pytestmark = pytest.mark.benchmark
GEOMETRY = Geometry((1024, 1024), "<u2")
FRAMES = int(os.environ.get("BEAMSTREAM_BENCH_FRAMES", "512"))  # 2 MiB each
ROUNDS = 3


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Runs, str]]:
    """A raw run of 1 GiB."""
    runs = Runs(tmp_path / "archive")
    yield runs, runs.record(FRAMES, geometry=GEOMETRY)
    shutil.rmtree(runs.directory)


def seconds(work: Callable[[Path], object], directory: Path) -> tuple[float, float]:
    """Return how long work takes, and how long until the disk has it all; what it made is deleted."""
    directory.mkdir()
    began = time.perf_counter()
    work(directory)
    returned = time.perf_counter() - began
    for file in (path for path in directory.rglob("*") if path.is_file()):
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    kept = time.perf_counter() - began
    shutil.rmtree(directory)
    return returned, kept


def write_direct(images: NDArray[Any], path: Path) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (FRAMES, *GEOMETRY.shape), GEOMETRY.dtype, chunks=(1, *GEOMETRY.shape))
        for row in range(FRAMES):
            data.id.write_direct_chunk((row, 0, 0), images[row % len(images)])


def uncached(path: Path) -> None:
    """Have the raw file forgotten by the page cache: a run of yesterday is not in it."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@pytest.mark.parametrize("format", ["hdf5", "tiff", "zarr"])
def test_an_export_beside_h5py_from_memory(run, tmp_path, report, format):
    runs, uid = run
    images = shown(16, GEOMETRY)

    def export(directory: Path) -> None:
        export_run(runs.documents(uid), Recorder(directory, format=format))

    took: dict[str, list[tuple[float, float]]] = {"h5py": [], "cached": [], "cold": []}
    for _ in range(ROUNDS):
        took["h5py"].append(seconds(lambda directory: write_direct(images, directory / "run.h5"), tmp_path / "out"))
        took["cached"].append(seconds(export, tmp_path / "out"))
        uncached(runs.raw(uid))
        took["cold"].append(seconds(export, tmp_path / "out"))
    total = FRAMES * GEOMETRY.nbytes / 1e6
    for n, until in enumerate(("until it returns", "until the disk has it")):
        rate = {what: total / median(times[n] for times in all_times) for what, all_times in took.items()}
        ratio = {what: rate[what] / rate["h5py"] for what in ("cached", "cold")}
        report(
            f"export of {total / 1e3:.2f} GB, 1024² uint16, to {format}, {until}",
            f"{rate['cached']:.0f} MB/s from the page cache ({ratio['cached']:.2f} of h5py from memory), "
            f"{rate['cold']:.0f} MB/s from the disk ({ratio['cold']:.2f}); h5py {rate['h5py']:.0f} MB/s",
        )
