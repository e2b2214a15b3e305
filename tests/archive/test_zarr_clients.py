"""Zarr clients over HTTP: with a key they read runs bit by bit, without one they read nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import httpx
import imagecodecs
import numpy as np
import pytest
import zarr
from archive_session import recorded_run
from obstore.store import HTTPStore
from ophyd.sim import SynAxis, SynGauss
from zarr.core.sync import cleanup_resources
from zarr.storage import ObjectStore

from beamstream.archive.catalog import wait_for_run
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.tiff_sequence import TiffSequenceSink
from beamstream.sinks.zarr import ZarrSink

MONO = Geometry((24, 40), "<u2")
SINKS: dict[str, tuple[Geometry, Callable[..., Any]]] = {
    "hdf5": (MONO, lambda where, geometry: Hdf5Sink(where / "cam.h5", geometry)),
    "hdf5, big-endian": (Geometry((24, 40), ">u2"), lambda where, geometry: Hdf5Sink(where / "cam.h5", geometry)),
    "hdf5, float": (Geometry((7, 5), "<f4"), lambda where, geometry: Hdf5Sink(where / "cam.h5", geometry)),
    "hdf5, colours": (
        Geometry((24, 40, 3), "|u1", ColorMode.RGB1),
        lambda where, geometry: Hdf5Sink(where / "cam.h5", geometry),
    ),
    "tiff": (MONO, lambda where, geometry: TiffSequenceSink(where / "tiff", geometry, prefix="cam")),
    "zarr": (MONO, lambda where, geometry: ZarrSink(where / "zarr", geometry, frames_per_shard=4)),
}


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


@pytest.fixture(scope="module")
def run(archive, tmp_path_factory) -> str:
    """A run of six frames."""
    where = archive.layout.recordings / tmp_path_factory.mktemp("zarr").name
    where.mkdir()
    uid = recorded_run(archive.layout.journal, Hdf5Sink(where / "cam.h5", MONO), made_frames(MONO, 0, 6))
    wait_for_run(archive.client, uid)
    return uid


def opened(archive, version: int, path: str) -> Any:
    """Open an array or a group as zarr-python does, with the key in a header."""
    options = {"default_headers": {"Authorization": f"Apikey {archive.key}"}, "allow_http": True}
    store = HTTPStore.from_url(
        f"{archive.url}/zarr/v{version}/", client_options=options, retry_config={"max_retries": 0}
    )
    return zarr.open(ObjectStore(store, read_only=True), path=path, mode="r", zarr_format=version)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kind", SINKS)
def test_zarr_clients_read_recorded_frames_bit_by_bit(archive, tmp_path, kind, version):
    geometry, make = SINKS[kind]
    frames = made_frames(geometry, 0, 5)
    where = archive.layout.recordings / f"{tmp_path.name} {version}"
    where.mkdir()
    sink = make(where, geometry)
    uid = recorded_run(archive.layout.journal, sink, frames)
    wait_for_run(archive.client, uid)
    images = opened(archive, version, f"{uid}/primary/cam_image")
    assert images.shape == (5, *geometry.shape)
    assert np.array_equal(images[:], [frame.image for frame in frames])
    assert np.array_equal(images[1:4, 2:5], [frame.image[2:5] for frame in frames[1:4]])
    for key in set(sink.arrays) - {"data"}:
        column = opened(archive, version, f"{uid}/primary/cam_{key}")
        assert column[:].tolist() == [getattr(frame, key) for frame in frames]


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_clients_read_compressed_frames(archive, tmp_path, version):
    geometry = Geometry((24, 40), "<u2", codec="lz4")
    images = [np.arange(960, dtype="<u2").reshape(24, 40) // 7 + n for n in range(4)]
    packed = [np.frombuffer(imagecodecs.lz4_encode(image.tobytes(), header=False), np.uint8) for image in images]
    frames = [Frame(payload, geometry, n, 1e9 + n, 1e9 + n) for n, payload in enumerate(packed)]
    where = archive.layout.recordings / f"{tmp_path.name} {version}"
    where.mkdir()
    uid = recorded_run(archive.layout.journal, Hdf5Sink(where / "cam.h5", geometry), frames)
    wait_for_run(archive.client, uid)
    assert np.array_equal(opened(archive, version, f"{uid}/primary/cam_image")[:], images)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_clients_read_the_columns_of_tables(archive, version):
    motor = SynAxis(name="motor")
    (uid,) = archive.engine(bp.scan([SynGauss("point", motor, "motor", center=0, Imax=1)], motor, -1, 1, 5))
    wait_for_run(archive.client, uid)
    group = opened(archive, version, f"{uid}/primary")
    assert isinstance(group, zarr.Group)
    assert group["internal"]["motor"][:].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert opened(archive, version, f"{uid}/primary/internal/seq_num")[:].tolist() == [1, 2, 3, 4, 5]
    if version == 3:
        assert opened(archive, 3, uid).attrs["start"]["uid"] == uid


def test_without_the_key_nothing_below_zarr_is_answered(archive, run):
    image = f"{run}/primary/cam_image"
    paths = [
        "v2",
        "v2/",
        "v2/.zgroup",
        "v2/.zattrs",
        "v2.zattrs",
        "v2.zgroup",
        "v3",
        "v3/",
        "v3/zarr.json",
        "v3zarr.json",
    ]
    paths += [f"v2/{run}", f"v2/{run}/.zattrs", f"v2{run}.zattrs", f"v2/{image}/.zarray", f"v2/{image}/0.0.0"]
    paths += [f"v3/{run}", f"v3/{run}/zarr.json", f"v3/{image}zarr.json", f"v3/{image}/c/0/0/0", "v3/nothing"]
    for path in paths:
        for headers in ({}, {"Authorization": "Apikey 00ff"}, {"Cookie": "tiled_api_key=00ff"}):
            answer = httpx.get(f"{archive.url}/zarr/{path}", headers=headers)
            assert answer.status_code == 401, (path, headers)


def asked(archive, path: str) -> httpx.Response:
    return httpx.get(f"{archive.url}/zarr/{path}", headers={"Authorization": f"Apikey {archive.key}"}, timeout=30)


def test_a_chunk_outside_of_an_array_is_not_there_and_takes_no_memory(archive, run):
    def high_water() -> int:
        status = Path(f"/proc/{archive.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    before = high_water()
    for path in (f"v2/{run}/primary/cam_image/{10**8}.0.0", f"v3/{run}/primary/cam_image/c/0/{10**8}/0"):
        assert asked(archive, path).status_code == 404
    assert asked(archive, f"v3/{run}/primary/cam_image/c/{10**11}/{10**11}/1").status_code == 404
    assert high_water() - before < 100 << 10  # KiB


def test_what_zarr_clients_probe_for_is_not_there_rather_than_an_error(archive, run):
    image = f"{run}/primary/cam_image"
    for path in (
        "v2/.zmetadata",
        f"v2/{run}/zarr.json",
        f"v2/{image}/zarr.json",
        f"v2/{run}/.zarray",
        f"v2/{image}/.zgroup",
    ):
        assert asked(archive, path).status_code == 404, path
    for path in (
        f"v3/{image}/.zarray",
        f"v3/{image}/c/x",
        f"v3/{image}/c/0",
        f"v3/{image}/nothing",
        "v3/nothing/zarr.json",
    ):
        assert asked(archive, path).status_code == 404, path
