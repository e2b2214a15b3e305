"""All frames in one .npy: every promise of a sink, and what only this one promises."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.contract import SinkContract, made_frame, made_frames
from beamstream.sinks.npy import ROW, NpySink

PLAIN = Geometry((64, 64), "<u2")


class TestNpySink(SinkContract):
    factory = "beamstream.sinks.npy:NpySink"
    reader = """
import numpy
def read(path):
    yield from numpy.load(path, mmap_mode="r")
"""

    def test_what_was_reported_is_beside_the_pixels_after_kill_9(self, tmp_path):
        reported = self.kill_a_writer(tmp_path / "run", random.Random(3))
        pixels = np.load(tmp_path / "run", mmap_mode="r")
        rows = np.load(tmp_path / "run.frames.npy")
        assert len(rows) >= len(pixels) >= reported > 0
        assert rows["unique_id"].tolist() == list(range(1000, 1000 + len(rows)))


def test_ids_and_times_are_in_a_second_file(tmp_path):
    frames = made_frames(PLAIN, 0, 5)
    with NpySink(tmp_path / "run.npy", PLAIN) as sink:
        sink.write(frames[:2])
        assert len(np.load(sink.frames_path)) == 2
        sink.write(frames[2:])
    rows = np.load(tmp_path / "run.frames.npy")
    assert rows.dtype == ROW
    assert rows.tolist() == [(f.unique_id, f.timestamp, f.received) for f in frames]


@pytest.mark.parametrize("shape", [(64, 64), (7,), (3, 4, 5, 6)], ids=str)
def test_the_array_has_its_final_shape_at_every_moment(tmp_path, shape):
    geometry = Geometry(shape, ">f4")
    frames = made_frames(geometry, 0, 12)
    with NpySink(tmp_path / "run.npy", geometry) as sink:
        assert np.load(sink.path).shape == (0, *shape)
        for count, frame in enumerate(frames, 1):
            sink.write([frame])
            assert np.array_equal(np.load(sink.path), [f.image for f in frames[:count]])
    assert np.load(sink.path).dtype == np.dtype(">f4")


@pytest.mark.parametrize("count", [0, 9, 10, 99_999_999, 100_000_000, 10**15])
def test_the_header_has_room_for_any_number_of_frames(tmp_path, count):
    with NpySink(tmp_path / "run.npy", PLAIN) as sink:
        sink._pixels.publish(count)
        with sink.path.open("rb") as file:
            np.lib.format.read_magic(file)
            assert np.lib.format.read_array_header_1_0(file) == ((count, 64, 64), False, np.dtype("<u2"))
            assert file.tell() == 4096
        sink._pixels.publish(0)


def test_python_without_us_maps_it_while_it_grows(tmp_path):
    program = "import numpy, sys; print(numpy.load(sys.argv[1], mmap_mode='r')[2].sum())"
    with NpySink(tmp_path / "run.npy", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 3))
        done = subprocess.run([sys.executable, "-c", program, sink.path], capture_output=True, text=True, timeout=60)
    assert int(done.stdout) == made_frame(PLAIN, 2).image.sum()


def test_large_frames_come_back_through_and_around_the_page_cache(tmp_path, monkeypatch):
    for shape in ((1024, 1024), (1023, 1025)):
        geometry = Geometry(shape, "<u2")
        monkeypatch.setattr("beamstream.sinks.burst._BURST", 3 * geometry.nbytes)
        frames = made_frames(geometry, 0, 8)
        with NpySink(tmp_path / f"{shape[0]}.npy", geometry) as sink:
            for start, stop in ((0, 1), (1, 3), (3, 4), (4, 8)):
                sink.write(frames[start:stop])
        assert np.array_equal(np.load(sink.path), [f.image for f in frames])


def test_a_failed_call_gives_its_room_back(small_disk):
    geometry = Geometry((1024, 1024), "<u2")
    with NpySink(small_disk / "run.npy", geometry) as sink:
        sink.write(made_frames(geometry, 0, 3))
        with pytest.raises(DiskFull, match="frames 3:10"):
            sink.write(made_frames(geometry, 3, 10))
        assert sink.path.stat().st_size == 4096 + 3 * geometry.nbytes
        with pytest.raises(SinkError, match="failed before"):
            sink.write(made_frames(geometry, 3, 4))
    assert len(np.load(sink.path)) == len(np.load(sink.frames_path)) == 3


def test_another_runs_second_file_is_not_overwritten_and_no_first_is_left(tmp_path):
    (tmp_path / "run.frames.npy").write_text("somebody's")
    with pytest.raises(SinkError, match="exists"), NpySink(tmp_path / "run.npy", PLAIN):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run.frames.npy"]
    assert (tmp_path / "run.frames.npy").read_text() == "somebody's"


def test_compressed_frames_are_stored_as_pixels(tmp_path):
    import zlib

    geometry = Geometry((64, 64, 3), "|u1", ColorMode.RGB1, "zlib")
    image = made_frame(Geometry((64, 64, 3), "|u1"), 1).image
    packed = np.frombuffer(zlib.compress(image.tobytes()), np.uint8)
    with NpySink(tmp_path / "run.npy", geometry) as sink:
        sink.write([Frame(packed, geometry, 1, 1e9, 1e9)])
    assert np.array_equal(np.load(sink.path), image[None])


def test_a_directory_without_rights_is_named(tmp_path):
    if os.geteuid() == 0:
        with pytest.raises(SinkError, match="/proc"), NpySink(Path("/proc/self/run.npy"), PLAIN):
            pass
        return
    tmp_path.chmod(0o500)
    with pytest.raises(SinkError, match=r"Permission denied.*rights"), NpySink(tmp_path / "run.npy", PLAIN):
        pass


def test_a_sink_serves_one_run_and_tiled_is_told_nothing(tmp_path):
    sink = NpySink(tmp_path / "run.npy", PLAIN)
    assert (sink.uri, sink.mimetype, sink.arrays) == (f"file://localhost{tmp_path}/run.npy", "application/x-npy", {})
    with sink:
        sink.write(made_frames(PLAIN, 0, 1))
    with pytest.raises(SinkError, match="make a new sink"), sink:
        pass
