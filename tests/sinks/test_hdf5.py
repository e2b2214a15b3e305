"""Frames in HDF5: every promise of a sink, and what only this one promises."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Geometry
from beamstream.sinks import hdf5_layout
from beamstream.sinks.contract import SinkContract, made_frame, made_frames, write_and_fail
from beamstream.sinks.hdf5 import Hdf5Sink, frames_kept

PLAIN = Geometry((64, 64), "<u2")


class TestHdf5Sink(SinkContract):
    factory = "beamstream.sinks.hdf5:Hdf5Sink"
    kills = 20
    reader = """
import h5py, hdf5plugin
def read(path):
    with h5py.File(path, "r", swmr=True) as file:
        data = file["entry/data"]
        kept = min(len(data[key]) for key in ("data", "unique_id", "timestamp", "received"))
        for index in range(kept):
            yield data["data"][index]
"""


@pytest.mark.parametrize("direct", [True, False], ids=["around the page cache", "through the page cache"])
@pytest.mark.parametrize("shape", [(2048, 2048), (1023, 1025)], ids=str)
def test_large_frames_come_back_both_ways(tmp_path, direct, shape):
    geometry = Geometry(shape, "<u2")
    frames = made_frames(geometry, 0, 7)
    with Hdf5Sink(tmp_path / "run.h5", geometry, direct=direct) as sink:
        sink.write(frames[:1])
        sink.write(frames[1:])
    with h5py.File(tmp_path / "run.h5") as file:
        for frame, image in zip(frames, file["entry/data/data"], strict=True):
            assert np.array_equal(frame.image, image)


def test_a_closed_file_opens_plainly_and_says_that_it_is_complete(tmp_path):
    frames = made_frames(PLAIN, 0, 5)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN, name="cam", attributes={"source": "pva://cam", "roi": [1, 2]}) as sink:
        sink.write(frames)
    with h5py.File(tmp_path / "run.h5") as file:
        data = file["entry/data"]
        assert file["entry"].attrs["complete"] == 1
        assert data["unique_id"][:].tolist() == [f.unique_id for f in frames]
        assert data["timestamp"][:].tolist() == [f.timestamp for f in frames]
        assert data["received"][:].tolist() == [f.received for f in frames]
        assert (data.attrs["detector"], data.attrs["source"], data.attrs["roi"]) == ("cam", "pva://cam", "[1, 2]")


def test_a_file_without_its_end_says_that_it_is_not_complete(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(Hdf5Sink(tmp_path / "run.h5", PLAIN), made_frames(PLAIN, 0, 1))
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["entry"].attrs["complete"] == 0


def test_nexus_viewers_find_what_to_plot(tmp_path):
    geometry = Geometry((8, 9, 3), "|u1", ColorMode.RGB1)
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write(made_frames(geometry, 0, 1))
    with h5py.File(tmp_path / "run.h5") as file:
        group = file
        while "default" in group.attrs:
            group = group[group.attrs["default"]]
        assert group.attrs["NX_class"] == "NXdata"
        assert group[group.attrs["signal"]].shape == (1, 8, 9, 3)
        assert group["data"].attrs["interpretation"] == "rgb-image"
        assert group["timestamp"].attrs["units"] == "s"
        assert list(group.attrs["axes"]) == ["timestamp", ".", ".", "."]


def test_what_is_announced_before_opening_is_what_the_file_holds(tmp_path):
    sink = Hdf5Sink(tmp_path / "run.h5", PLAIN)
    announced = sink.arrays
    with sink:
        sink.write(made_frames(PLAIN, 0, 2))
    assert sink.uri == f"file://localhost{tmp_path}/run.h5"
    with h5py.File(tmp_path / "run.h5") as file:
        for array in announced.values():
            dataset = file[array.parameters["dataset"]]
            assert dataset.dtype.str == array.dtype_numpy
            assert dataset.shape == (2, *array.shape)
            assert list(dataset.chunks) == array.parameters["chunk_shape"]


@pytest.mark.parametrize("batch", [1, 64])
def test_ten_thousand_frames_lie_where_hdf5_thinks_they_lie(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(hdf5_layout, "_METADATA_BLOCK", 16384 + 512)  # a new one often, not after 130 000 frames
    geometry = Geometry((32, 64), "<u2")  # one page a frame: scalars grow in between as well
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        for start in range(0, 10_000, batch):
            sink.write(made_frames(geometry, start, min(start + batch, 10_000)))
    with h5py.File(tmp_path / "run.h5") as file:
        pixels = file["entry/data/data"][:]
        assert file["entry/data/unique_id"][:].tolist() == list(range(1000, 11_000))
    for number, image in enumerate(pixels):
        assert np.array_equal(image, made_frame(geometry, number).image), number
    assert len(pixels) == 10_000


def test_a_filesystem_that_refuses_to_go_around_the_page_cache_gets_the_frames_through_it(tmp_path, monkeypatch):
    really_open = os.open

    def without_direct(path, flags, *args, **kwargs):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return really_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", without_direct)
    geometry = Geometry((1024, 1024), "<u2")
    frames = made_frames(geometry, 0, 40)  # more than the windows that are kept in the cache
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write(frames)
    with h5py.File(tmp_path / "run.h5") as file:
        assert all(np.array_equal(f.image, i) for f, i in zip(frames, file["entry/data/data"], strict=True))
    with pytest.raises(SinkError, match="Invalid argument"), Hdf5Sink(tmp_path / "b.h5", geometry, direct=True):
        pass
    assert not (tmp_path / "b.h5").exists()


def test_frames_are_counted_while_the_file_grows_and_after(tmp_path):
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        assert frames_kept(tmp_path / "run.h5") == 0
        sink.write(made_frames(PLAIN, 0, 3))
        assert frames_kept(tmp_path / "run.h5") == 3
    assert frames_kept(tmp_path / "run.h5") == 3
    with pytest.raises(SinkError, match="no directory"):
        frames_kept(tmp_path / "nowhere" / "run.h5")


def test_a_directory_without_rights_is_named(tmp_path):
    if os.geteuid() == 0:
        where = Path("/proc/self")  # nobody may create files here, root neither
        with pytest.raises(SinkError, match="/proc"), Hdf5Sink(where / "run.h5", PLAIN):
            pass
        return
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match=r"Permission denied.*rights"), Hdf5Sink(tmp_path / "run.h5", PLAIN):
        pass


def test_a_sink_serves_one_run(tmp_path):
    sink = Hdf5Sink(tmp_path / "run.h5", PLAIN)
    with pytest.raises(SinkError, match="is not open"):
        sink.write(made_frames(PLAIN, 0, 1))
    with sink:
        sink.write(made_frames(PLAIN, 0, 1))
    with pytest.raises(SinkError, match="make a new sink"), sink:
        pass


LIMITED = """
import json, resource, sys
from beamstream.errors import DiskFull
from beamstream.frames import Geometry
from beamstream.sinks.contract import made_frames
from beamstream.sinks.hdf5 import Hdf5Sink
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
geometry, kept = Geometry((1000, 700), "<u2"), 0
try:
    with Hdf5Sink(sys.argv[1], geometry) as sink:
        for start in range(0, 100, 2):
            kept = sink.write(made_frames(geometry, start, start + 2))
except DiskFull as error:
    print(json.dumps([kept, str(error)]))
"""


def test_a_limit_on_the_file_size_is_named_and_leaves_the_frames_readable(tmp_path):
    path, limit = tmp_path / "run.h5", 20 << 20
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LIMITED, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    kept, text = json.loads(done.stdout)
    assert "ulimit -f" in text
    assert f"keep frames {kept}:{kept + 2}" in text
    assert kept == 14  # 19.6 MB of pixels and 1 MB of books
    assert frames_kept(path) == kept
    with h5py.File(path, swmr=True) as file:
        geometry = Geometry((1000, 700), "<u2")
        for frame, image in zip(made_frames(geometry, 0, kept), file["entry/data/data"], strict=False):
            assert np.array_equal(frame.image, image)


def test_a_disk_without_room_for_an_empty_file_says_so_when_opening(small_disk):
    (small_disk / "ballast").write_bytes(bytes((16 << 20) - (512 << 10)))
    with pytest.raises(DiskFull, match="to create"), Hdf5Sink(small_disk / "run.h5", PLAIN):
        pass
    assert not (small_disk / "run.h5").exists()


def test_a_failed_sink_takes_no_more_and_closes_quietly(small_disk):
    geometry = Geometry((1024, 1024), "<u2")
    with Hdf5Sink(small_disk / "run.h5", geometry) as sink:
        sink.write(made_frames(geometry, 0, 3))
        with pytest.raises(DiskFull):
            sink.write(made_frames(geometry, 3, 13))
        with pytest.raises(SinkError, match="failed before"):
            sink.write(made_frames(geometry, 3, 4))
        assert sink.kept == frames_kept(sink.path) == 3
    with h5py.File(sink.path) as file:
        assert file["entry"].attrs["complete"] == 0
        assert {len(file["entry/data"][key]) for key in sink.arrays} == {3}
