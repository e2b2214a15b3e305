"""Frames whose bytes lie, recorded before they were checked: no reader ends by them, the others come back."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import httpx
import imagecodecs
import numpy as np
import pytest
from archive_session import recorded_run

from beamstream.archive.catalog import wait_for_run
from beamstream.errors import CodecError
from beamstream.frames import Frame, Geometry
from beamstream.ingest.files import StreamFiles
from beamstream.ingest.shard import encode_index
from beamstream.ingest.tokens import Chunk
from beamstream.recorded import RecordedFrames
from beamstream.sinks.hdf5 import Hdf5Sink

SHAPE, NBYTES = (64, 64), 64 * 64 * 2
IMAGE = np.arange(64 * 64, dtype="<u2").reshape(SHAPE) // 3


@pytest.fixture(scope="module")
def archive(own_archive):
    """What is registered here is none of the runs that other tests find."""
    return own_archive


def _bitshuffled() -> bytes:
    shuffled = imagecodecs.bitshuffle_encode(IMAGE.tobytes(), itemsize=2, blocksize=IMAGE.size)
    packed = imagecodecs.lz4_encode(shuffled, header=False)
    return struct.pack(">QII", NBYTES, NBYTES, len(packed)) + packed


def _bomb() -> bytes:
    packer = zlib.compressobj()
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()


_LZ4 = imagecodecs.lz4_encode(IMAGE.tobytes(), header=False)
GOOD = {
    "bslz4": _bitshuffled(),
    "lz4": struct.pack(">QII", NBYTES, NBYTES, len(_LZ4)) + _LZ4,
    "zlib": zlib.compress(IMAGE.tobytes()),
    "blosc": imagecodecs.blosc_encode(IMAGE.tobytes(), typesize=2, compressor="lz4", shuffle=1),
}
_FAR = b"\x0f\x01\x00" + b"\xff" * 200 + b"\x00"  # a match that is longer than everything
_LITERALS = b"\xf0" + b"\xff" * 30 + b"\x00"  # more bytes as they are than there are
BAD = {
    "bslz4": [
        struct.pack(">QI", NBYTES, 8192),
        struct.pack(">QI", NBYTES, 0xFFFFFFF0),
        struct.pack(">QI", 1 << 62, 8192) + b"\xff" * 8,
        struct.pack(">QII", NBYTES, 8192, 0x7FFFFFFF) + b"\xf0",
        struct.pack(">QII", NBYTES, NBYTES, len(_LITERALS)) + _LITERALS,
        b"\xff" * 12,
    ],
    "lz4": [
        struct.pack(">QII", NBYTES, NBYTES, len(_LITERALS)) + _LITERALS,
        struct.pack(">QII", NBYTES, NBYTES, len(_FAR)) + _FAR,
        struct.pack(">QII", 1 << 40, 1 << 30, 4) + b"abcd",
        struct.pack(">QII", NBYTES, NBYTES, NBYTES) + b"\x01" * 8,
        b"\x00" * 12,
    ],
    "zlib": [_bomb(), zlib.compress(b"short"), b"\x78"],
    "blosc": [GOOD["blosc"][:40], b"\x02\x01\x11\x02" + struct.pack("<III", 1 << 31, 1 << 20, 16), b"\x00" * 16],
}


def damaged(path: Path, codec: str) -> int:
    """Write a file as one had been recorded: bad frames between good ones; return how many."""
    geometry = Geometry(SHAPE, "<u2", codec=codec)
    chunks = [GOOD[codec], *BAD[codec], GOOD[codec]]
    with Hdf5Sink(path, geometry) as sink:
        sink.write(
            [Frame(np.frombuffer(GOOD[codec], np.uint8), geometry, n, 1e9 + n, 1e9 + n) for n in range(len(chunks))]
        )
    with h5py.File(path, "r+") as file:
        dataset: Any = file["entry/data/data"]
        for number, chunk in enumerate(chunks):
            dataset.id.write_direct_chunk((number, 0, 0), chunk, 0)
    return len(chunks)


def high_water(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("codec", GOOD)
def test_a_frame_that_lies_ends_no_reader_of_the_file_and_shows_no_memory(tmp_path, codec):
    count = damaged(tmp_path / "cam.h5", codec)
    before = high_water(os.getpid())
    with RecordedFrames(tmp_path / "cam.h5") as frames:
        for row in (0, count - 1):
            ((frame,),) = frames.read(row, row + 1)
            assert np.array_equal(frame.image, IMAGE)
        for row in range(1, count - 1):
            with pytest.raises(CodecError, match=f"frame {row} does not decode"):
                list(frames.read(row, row + 1))
    assert high_water(os.getpid()) - before < 100 << 10  # KiB


@pytest.mark.parametrize("codec", GOOD)
def test_a_frame_that_lies_has_no_pixels_over_http_and_the_others_come_back(archive, tmp_path, codec):
    where, count = archive.layout.recordings / f"{tmp_path.name}.h5", len(BAD[codec]) + 2
    geometry = Geometry(SHAPE, "<u2", codec=codec)
    good = np.frombuffer(GOOD[codec], np.uint8)
    frames = [Frame(good, geometry, n, 1e9 + n, 1e9 + n) for n in range(count)]
    uid = recorded_run(archive.layout.journal, Hdf5Sink(where, geometry), frames)
    wait_for_run(archive.client, uid)
    with h5py.File(where, "r+") as file:
        dataset: Any = file["entry/data/data"]
        for number, chunk in enumerate(BAD[codec], 1):
            dataset.id.write_direct_chunk((number, 0, 0), chunk, 0)
    before, path = high_water(archive.pid), f"{uid}/primary/cam_image"
    for row in range(count):
        for part in (f"full/{path}?slice={row},::1,::1", f"block/{path}?block={row},0,0"):
            answer = archive.get(f"/array/{part}&format=application/octet-stream")
            if row in (0, count - 1):
                assert answer.content == IMAGE.tobytes()
            else:
                assert answer.status_code == 422 or answer.content == bytes(NBYTES)
    assert high_water(archive.pid) - before < 200 << 10  # KiB


def test_a_whole_file_that_somebody_registers_is_read_the_same_way(archive, tmp_path):
    where = archive.layout.recordings / f"{tmp_path.name}.h5"
    damaged(where, "bslz4")
    asset = {"data_uri": f"file://localhost{where}", "is_directory": False, "parameter": "data_uri", "num": None}
    source = {"structure_family": "container", "structure": {"keys": ["entry"]}, "mimetype": "application/x-hdf5"}
    source |= {"assets": [asset], "management": "external", "parameters": {}}
    body = {"structure_family": "container", "metadata": {}, "data_sources": [source], "specs": []}
    headers = {"Authorization": f"Apikey {archive.key}"}
    key = httpx.post(f"{archive.url}/api/v1/register/", json=body, headers=headers).raise_for_status().json()["id"]
    path = f"/array/full/{key}/entry/data/data"
    answer = archive.get(f"{path}?slice=0,::1,::1&format=application/octet-stream")
    assert answer.content == IMAGE.tobytes()
    answer = archive.get(f"{path}?slice=1,::1,::1&format=application/octet-stream")
    assert answer.status_code >= 400 or answer.content == bytes(NBYTES)
    assert archive.get("/").status_code == 200


def _growing() -> bytes:
    """Return 30 kB of Zstandard without a size, which decode to a gigabyte."""
    size, count = 1 << 17, 1 << 13
    blocks = b"".join((size << 3 | 2 | (n == count - 1)).to_bytes(3, "little") + b"\x07" for n in range(count))
    return b"\x28\xb5\x2f\xfd\x00\x58" + blocks


def test_an_uploaded_frame_that_grows_takes_no_memory_and_rows_far_away_are_black(archive, tmp_path):
    good, rows = imagecodecs.zstd_encode(bytes([9]) * 240), 50_000
    bodies = [good, _growing(), good]
    ends = np.cumsum([len(body) for body in bodies])
    index = np.array([(end - len(body), len(body)) for body, end in zip(bodies, ends, strict=True)], "<u8")
    chunk, part = Chunk("x", 0, 3, 12, 20, 3, 5.0, 1000, 2400), tmp_path / "part"
    files = StreamFiles(archive.layout.streams / "taken in before")
    files.make(chunk, {})
    part.write_bytes(b"".join(bodies) + encode_index(index))
    files.put(part, chunk)
    files.publish(chunk, rows)
    asset = {"data_uri": f"file://localhost{files.frames}", "is_directory": True, "parameter": "data_uri", "num": None}
    data_type = {"endianness": "not_applicable", "kind": "u", "itemsize": 1, "dt_units": None}
    structure = {"data_type": data_type, "shape": [rows, 12, 20], "chunks": [[1] * rows, [12], [20]]}
    structure |= {"dims": None, "resizable": False}
    source = {"structure_family": "array", "structure": structure, "mimetype": "application/x-zarr"}
    source |= {"assets": [asset], "management": "external", "parameters": {}}
    body = {"structure_family": "array", "metadata": {}, "data_sources": [source], "specs": []}
    headers = {"Authorization": f"Apikey {archive.key}"}
    url = f"{archive.url}/api/v1/register/"
    key = httpx.post(url, json=body, headers=headers, timeout=30).raise_for_status().json()["id"]
    asked, before = f"/array/full/{key}?format=application/octet-stream&slice=", high_water(archive.pid)
    assert archive.get(f"{asked}1").status_code == 422
    assert archive.get(f"{asked}0").content == archive.get(f"{asked}2").content == bytes([9]) * 240
    assert archive.get(f"{asked}{rows - 1}").content == bytes(240)
    zarr_chunk = httpx.get(f"{archive.url}/zarr/v3/{key}/c/1/0/0", headers=headers, timeout=30)
    assert zarr_chunk.status_code == 422
    assert high_water(archive.pid) - before < 200 << 10  # KiB
