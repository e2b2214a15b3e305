"""Frames in sharded Zarr v3: every promise of a sink, and what only this one promises."""

import ctypes
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import zarr
from zarr.core.sync import cleanup_resources

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks import zarr_layout
from beamstream.sinks.contract import SinkContract, made_frame, made_frames, write_and_fail
from beamstream.sinks.zarr import ZarrSink

PLAIN = Geometry((64, 64), "<u2")
KEYS = ("data", "unique_id", "timestamp", "received")


class TestZarrSink(SinkContract):
    factory = "beamstream.sinks.zarr:ZarrSink"
    reader = """
import numpy, zarr
zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})  # its threads cost more than they give
def read(path):
    group = zarr.open_group(path, mode="r")
    data = group["data"]
    images = data[:]
    for key in ("unique_id", "timestamp", "received"):
        assert group[key].shape[0] >= len(images)
    order = data.metadata.codecs[0].codecs[0].endian  # zarr gives numbers in the reader's own byte order
    return images.astype(images.dtype.newbyteorder(order.value if order else "little"))
"""


@pytest.fixture(autouse=True)
def no_threads_of_zarr() -> Iterator[None]:
    """End the threads that zarr-python keeps for its reads."""
    yield
    cleanup_resources()


def read(path: Path, key: str = "data") -> np.ndarray:
    """Return an array as zarr-python reads it."""
    array = zarr.open_group(path, mode="r")[key]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[:])


def check(path: Path, frames: list[Frame]) -> None:
    """Check that just these frames are there, pixels and numbers."""
    assert np.array_equal(read(path), [frame.image for frame in frames])
    for key in KEYS[1:]:
        assert read(path, key).tolist() == [getattr(frame, key) for frame in frames]


@pytest.mark.parametrize("batch", [1, 3, 8, 21])
def test_batches_and_shards_of_any_size_fit_together(tmp_path, batch):
    frames = made_frames(PLAIN, 0, 21)
    with ZarrSink(tmp_path / "run.zarr", PLAIN, frames_per_shard=8) as sink:
        for start in range(0, 21, batch):
            sink.write(frames[start : start + batch])
            check(sink.path, frames[: start + batch])
    assert sorted(p.name for p in (sink.path / "data" / "c").iterdir()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("shape", "places"),
    [((64, 64), [[80, 8192], [8272, 8192]]), ((256, 129), [[4096, 66048], [73728, 66048]])],
    ids=["small", "large: at pages, for O_DIRECT"],
)
def test_a_shard_says_where_its_chunks_are_and_which_are_missing(tmp_path, shape, places):
    geometry = Geometry(shape, "<u2")
    frames = made_frames(geometry, 0, 2)
    with ZarrSink(tmp_path / "run.zarr", geometry, frames_per_shard=5) as sink:
        sink.write(frames)
        shard = (sink.path / "data/c/0/0/0").read_bytes()
    index = np.frombuffer(shard[:80], "<u8").reshape(5, 2)
    assert index[:2].tolist() == places
    assert (index[2:] == 2**64 - 1).all()
    for (start, nbytes), frame in zip(index[:2].tolist(), frames, strict=True):
        assert shard[start : start + nbytes] == frame.image.tobytes()


def test_a_shard_has_256_mib_and_at_most_1024_frames_unless_said_otherwise(tmp_path):
    sizes = {(2048, 2048): 32, (64, 64): 1024, (16384, 16384): 1}
    assert {s: ZarrSink(tmp_path / "x", Geometry(s, "<u2")).frames_per_shard for s in sizes} == sizes
    assert ZarrSink(tmp_path / "x", PLAIN, frames_per_shard=3000).frames_per_shard == 3000


@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">u2", "<f8"])
@pytest.mark.parametrize("compression", ["zstd", "blosc"])
def test_compressed_frames_come_back_and_take_less_room(tmp_path, compression, dtype):
    geometry = Geometry((64, 64), dtype)
    ramp = np.arange(4096).reshape(64, 64) // 99
    frames = [replace(f, payload=(ramp + f.unique_id % 7).astype(dtype)) for f in made_frames(geometry, 0, 11)]
    with ZarrSink(tmp_path / "run.zarr", geometry, frames_per_shard=4, compression=compression) as sink:
        sink.write(frames[:3])
        check(sink.path, frames[:3])
        sink.write(frames[3:])
    check(sink.path, frames)
    assert (sink.path / "data/c/0/0/0").stat().st_size < 4 * geometry.nbytes / 2


def test_what_the_camera_compressed_with_blosc_is_stored_as_it_came(tmp_path):
    geometry = replace(PLAIN, codec="blosc")
    images = [made_frame(PLAIN, number).image for number in range(3)]
    packed = [imagecodecs.blosc_encode(image.tobytes(), compressor="zstd", typesize=2) for image in images]
    frames = [Frame(np.frombuffer(p, np.uint8), geometry, i, 1.0, 1.0) for i, p in enumerate(packed)]
    with ZarrSink(tmp_path / "run.zarr", geometry) as sink:
        sink.write(frames)
    assert np.array_equal(read(sink.path), images)
    assert all(p in (sink.path / "data/c/0/0/0").read_bytes() for p in packed)


def test_what_zarr_cannot_decode_is_stored_as_pixels(tmp_path):
    geometry = Geometry((64, 80), "|u1", codec="jpeg")
    packed = imagecodecs.jpeg8_encode(made_frame(Geometry((64, 80), "|u1"), 0).image, level=90)
    with ZarrSink(tmp_path / "run.zarr", geometry) as sink:
        sink.write([Frame(np.frombuffer(packed, np.uint8), geometry, 0, 1.0, 1.0)])
        assert sink.write([Frame(np.frombuffer(b"no picture", np.uint8), geometry, 1, 1.0, 1.0)]) == 1
        assert [frame.unique_id for frame in sink.undecoded] == [1]
    assert np.array_equal(read(sink.path), [imagecodecs.jpeg8_decode(packed)])
    assert zarr.open_group(sink.path, mode="r")["data"].attrs["received_codec"] == "jpeg"


def test_ten_thousand_frames_and_their_numbers_come_back(tmp_path):
    geometry = Geometry((5, 3), "<u2")
    with ZarrSink(tmp_path / "run.zarr", geometry) as sink:
        for start in range(0, 10_000, 33):
            sink.write(made_frames(geometry, start, min(start + 33, 10_000)))
    check(sink.path, made_frames(geometry, 0, 10_000))


@pytest.mark.parametrize("dtype", ["|b1", "<f2", ">f4", "<c8", ">c16"])
def test_rarer_pixel_types_come_back_bit_exact(tmp_path, dtype):
    frames = made_frames(Geometry((8, 9), dtype), 0, 3)
    with ZarrSink(tmp_path / "run.zarr", frames[0].geometry) as sink:
        sink.write(frames)
    check(sink.path, frames)


def test_a_pixel_type_that_zarr_does_not_know_is_refused(tmp_path):
    with pytest.raises(SinkError, match="no such type"), ZarrSink(tmp_path / "run.zarr", Geometry((8, 9), "<f16")):
        pass
    assert not (tmp_path / "run.zarr").exists()


def test_numbers_keep_every_bit(tmp_path):
    frames = [
        replace(made_frame(PLAIN, 0), unique_id=2**63 - 1, timestamp=1.7e9 + 2**-22, received=float("nan")),
        replace(made_frame(PLAIN, 1), unique_id=-(2**53) - 1, timestamp=5e-324, received=float("inf")),
    ]
    with ZarrSink(tmp_path / "run.zarr", PLAIN) as sink:
        sink.write(frames)
    for key in KEYS[1:]:
        assert np.array_equal(read(sink.path, key), [getattr(f, key) for f in frames], equal_nan=key != "unique_id")


def test_dark_frames_are_stored_as_well(tmp_path):
    frames = [replace(made_frame(PLAIN, n), payload=np.zeros((64, 64), "<u2")) for n in range(2)]
    with ZarrSink(tmp_path / "run.zarr", PLAIN, frames_per_shard=2) as sink:
        sink.write(frames)
    check(sink.path, frames)
    assert (sink.path / "data/c/0/0/0").stat().st_size == 2 * (16 + PLAIN.nbytes)


def test_the_group_says_what_it_holds(tmp_path):
    geometry = Geometry((3, 8, 9), "<f4", ColorMode.RGB3)
    given = {"source": "pva://cam", "roi": np.array([1, 2]), "gain": float("nan"), "at": Path("/x")}
    with ZarrSink(tmp_path / "run.zarr", geometry, name="cam", attributes=given) as sink:
        sink.write(made_frames(geometry, 0, 1))
        assert zarr.open_group(sink.path, mode="r").attrs["complete"] is False
    group = zarr.open_group(sink.path, mode="r")
    told = {"source": "pva://cam", "roi": [1, 2], "gain": "nan", "at": "/x"}
    about = {key: value for key, value in group.attrs.items() if key != "ome"}
    assert about == {**told, "creator": "beamstream", "detector": "cam", "complete": True}
    assert set(group.array_keys()) == {*KEYS, "t"}
    assert group["data"].metadata.dimension_names == ("t", "c", "y", "x")
    assert dict(group["data"].attrs) == {"units": "counts", "color_mode": "rgb3", "received_codec": ""}
    assert group["timestamp"].attrs["units"] == "s"
    json.loads((sink.path / "zarr.json").read_text(), parse_constant=pytest.fail)  # NaN is not JSON


def test_what_is_announced_before_opening_is_what_zarr_reads(tmp_path):
    geometry = Geometry((8, 9), ">u2")
    sink = ZarrSink(tmp_path / "run.zarr", geometry)
    with sink:
        sink.write(made_frames(geometry, 0, 2))
    for announced in sink.arrays.values():
        array = zarr.open_array((announced.uri or sink.uri).removeprefix("file://localhost"), mode="r")
        assert (array.dtype.str, array.shape) == (announced.dtype_numpy, (2, *announced.shape))
        assert list(array.chunks) == announced.parameters["chunk_shape"]


def test_a_run_with_an_error_does_not_say_that_it_is_complete(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(ZarrSink(tmp_path / "run.zarr", PLAIN), made_frames(PLAIN, 0, 1))
    assert zarr.open_group(tmp_path / "run.zarr", mode="r").attrs["complete"] is False


def test_nothing_but_the_arrays_is_left_behind(tmp_path):
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    with ZarrSink(tmp_path / "run.zarr", PLAIN, frames_per_shard=1) as sink:
        sink.write(made_frames(PLAIN, 0, 50))
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files
    names = {p.relative_to(sink.path).as_posix() for p in sink.path.rglob("*") if p.is_file()}
    chunks = {f"data/c/{n}/0/0" for n in range(50)} | {f"{key}/c/0" for key in (*KEYS[1:], "t")}
    assert names == {"zarr.json", *(f"{key}/zarr.json" for key in (*KEYS, "t")), *chunks}


def test_zarr_can_append_to_a_closed_run(tmp_path):
    frames = made_frames(PLAIN, 0, 6)
    with ZarrSink(tmp_path / "run.zarr", PLAIN, frames_per_shard=4) as sink:
        sink.write(frames[:5])
    array = zarr.open_array(sink.path / "data", mode="r+")
    array.append(frames[5].image[np.newaxis])
    assert np.array_equal(read(sink.path), [frame.image for frame in frames])


WATCH = """
import sys, numpy, zarr
seen = set()
while len(seen) < 200:
    data = zarr.open_group(sys.argv[1], mode="r")["data"]
    for number in {data.shape[0] - 1, data.shape[0] // 2} if data.shape[0] else ():
        expected = (numpy.arange(600, dtype=numpy.int64) * 7 + number * 13).astype("<u2")
        assert numpy.array_equal(data[number].reshape(-1), expected), (number, data.shape)
    seen.add(data.shape[0])
"""


@pytest.mark.parametrize("compression", ["", "zstd"])
def test_a_reader_that_never_rests_sees_only_whole_frames(tmp_path, compression):
    geometry, limit = Geometry((20, 30), "<u2"), 500_000
    with ZarrSink(tmp_path / "run.zarr", geometry, frames_per_shard=100, compression=compression) as sink:
        command = [sys.executable, "-c", WATCH, str(sink.path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as reader:
            while reader.poll() is None and sink.kept < limit:
                sink.write([made_frame(geometry, sink.kept)])
            error = reader.communicate(timeout=30)[1]
    assert (reader.returncode, error) == (0, "")


def _refusing(code: int):
    def renameat2(*_args) -> int:
        ctypes.set_errno(code)
        return -1

    return renameat2


@pytest.mark.parametrize("renameat2", [None, _refusing(errno.EINVAL)], ids=["no such call", "not on this filesystem"])
def test_names_that_cannot_be_exchanged_are_replaced(tmp_path, monkeypatch, renameat2):
    monkeypatch.setattr(zarr_layout, "_renameat2", renameat2)
    frames = made_frames(PLAIN, 0, 12)
    with ZarrSink(tmp_path / "run.zarr", PLAIN, frames_per_shard=5) as sink:
        for start in range(0, 12, 3):
            sink.write(frames[start : start + 3])
            check(sink.path, frames[: start + 3])
    assert sorted(os.listdir(sink.path / "data")) == ["c", "zarr.json"]  # noqa: PTH208


def test_a_disk_that_fails_is_named_and_the_count_stays(tmp_path, monkeypatch):
    with ZarrSink(tmp_path / "run.zarr", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 3))
        monkeypatch.setattr(zarr_layout, "_renameat2", _refusing(errno.EIO))
        with pytest.raises(SinkError, match=r"keep frames 3:4.*input/output error"):
            sink.write(made_frames(PLAIN, 3, 4))
    check(sink.path, made_frames(PLAIN, 0, 3))


def test_a_full_disk_leaves_four_arrays_of_one_length(small_disk):
    geometry = Geometry((1024, 1024), "<u2")
    with ZarrSink(small_disk / "run.zarr", geometry) as sink:
        sink.write(made_frames(geometry, 0, 3))
        with pytest.raises(DiskFull):
            sink.write(made_frames(geometry, 3, 13))
        with pytest.raises(SinkError, match="failed before"):
            sink.write(made_frames(geometry, 3, 4))
    check(sink.path, made_frames(geometry, 0, 3))
    assert zarr.open_group(sink.path, mode="r").attrs["complete"] is False


def test_a_disk_without_room_for_an_empty_group_says_so_and_nothing_is_left(small_disk):
    (small_disk / "ballast").write_bytes(bytes((16 << 20) - 4096))
    with pytest.raises(DiskFull, match="to create"), ZarrSink(small_disk / "run.zarr", PLAIN):
        pass
    assert not (small_disk / "run.zarr").exists()


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="0 frames per shard"):
        ZarrSink(tmp_path / "x", PLAIN, frames_per_shard=0)
    with pytest.raises(ValueError, match="'gzip' asked for, known are zstd"):
        ZarrSink(tmp_path / "x", PLAIN, compression="gzip")  # pyright: ignore[reportArgumentType]
