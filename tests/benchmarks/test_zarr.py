"""Writing Zarr frame by frame: ours, zarr-python, and the HDF5 that both compete with."""

import mmap
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import pytest
import zarr
from zarr.core.sync import cleanup_resources

from beamstream.frames import Frame, Geometry
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.zarr import ZarrSink

pytestmark = pytest.mark.benchmark
GEOMETRY = Geometry((2048, 2048), "<u2")
COUNT = 48  # 400 MB
FEW = 16  # where each frame rewrites a shard
ROUNDS = 5
SMALL = Geometry((128, 128), "<u2")


def _frames(geometry: Geometry, count: int) -> list[Frame]:
    """Return noise at page boundaries, as a ring has it; eight different frames by turns."""
    memory = mmap.mmap(-1, 8 * geometry.nbytes)
    images = np.frombuffer(memory, "<u2").reshape(8, *geometry.shape)
    images[...] = np.random.default_rng(1).integers(100, 4000, images.shape, "<u2")
    return [Frame(images[n % 8], geometry, n, 1e9 + n, 1e9 + n) for n in range(count)]


def _sink(path: Path, frames: list[Frame], make: Callable = ZarrSink, batch: int = 1, **options) -> None:
    with make(path, frames[0].geometry, **options) as sink:
        for start in range(0, len(frames), batch):
            sink.write(frames[start : start + batch])


def _zarr(path: Path, frames: list[Frame], **options) -> None:
    shape = frames[0].geometry.shape
    array = zarr.create_array(
        path, shape=(len(frames), *shape), chunks=(1, *shape), dtype="uint16", compressors=None, **options
    )
    for number, frame in enumerate(frames):
        array[number] = frame.payload


def _h5py(path: Path, frames: list[Frame]) -> None:
    shape = frames[0].geometry.shape
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("data", (0, *shape), "<u2", maxshape=(None, *shape), chunks=(1, *shape))
        file.swmr_mode = True
        for number, frame in enumerate(frames):
            data.resize(number + 1, axis=0)
            data.id.write_direct_chunk((number, 0, 0), frame.payload)
            data.flush()


WAYS: dict[str, tuple[Callable, int, dict]] = {
    "ours": (_sink, COUNT, {}),
    "ours, 8 at once": (_sink, COUNT, {"batch": 8}),
    "ours, HDF5": (_sink, COUNT, {"make": Hdf5Sink}),
    "h5py direct chunks": (_h5py, COUNT, {}),
    "zarr-python": (_zarr, COUNT, {}),
    "zarr-python, write_empty_chunks": (_zarr, COUNT, {"config": {"write_empty_chunks": True}}),
    "zarr-python, sharded by 8": (_zarr, FEW, {"shards": (8, 2048, 2048)}),
}


def _measured(way: str, path: Path, frames: list[Frame]) -> tuple[float, float, float]:
    """Return MB/s until written, MB/s until on the disk, and ms of processor time a frame."""
    write, count, options = WAYS[way]
    os.sync()
    began, cpu = time.perf_counter(), time.process_time()
    write(path, frames[:count], **options)
    written, cpu = time.perf_counter(), time.process_time() - cpu
    os.sync()
    synced = time.perf_counter()
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    megabytes = count * GEOMETRY.nbytes / 1e6
    return megabytes / (written - began), megabytes / (synced - began), 1e3 * cpu / count


@pytest.mark.timeout(600)
def test_frame_by_frame_against_zarr_python_and_h5py(tmp_path, report):
    frames = _frames(GEOMETRY, COUNT)
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, taken in found.items():
            taken.append(_measured(way, tmp_path / "run", frames))
    cleanup_resources()  # zarr's threads
    for way, taken in found.items():
        ratios = [[ours[i] / theirs[i] for ours, theirs in zip(found["ours"], taken, strict=True)] for i in (0, 1)]
        written, synced, cpu = (median(column) for column in zip(*taken, strict=True))
        report(
            f"Zarr, 2048² uint16: {way}",
            f"{written:.0f} MB/s, {synced:.0f} to the disk, {cpu:.1f} ms CPU a frame; ours is "
            f"{median(ratios[0]):.2f} × as fast ({min(ratios[0]):.2f} to {max(ratios[0]):.2f}), "
            f"{median(ratios[1]):.2f} × to the disk",
        )


@pytest.mark.timeout(600)
def test_the_cost_of_a_small_frame(tmp_path, report):
    frames = _frames(SMALL, 4000)
    for name, make in {"Zarr": ZarrSink, "HDF5": Hdf5Sink}.items():
        taken = []
        for number in range(ROUNDS):
            began = time.perf_counter()
            _sink(tmp_path / f"{name}{number}", frames, make)
            taken.append((time.perf_counter() - began) / len(frames))
        report(f"{name}, 128² uint16, one frame a write", f"{1e6 * median(taken):.0f} µs a frame")
