"""Frames, times and axes in one .npz: every promise of a sink, and what only this one promises."""

import json
import random
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.axes import Axes, polarization_names
from beamstream.sinks.contract import SinkContract, made_frames, write_and_fail
from beamstream.sinks.hdf5_layout import Column
from beamstream.sinks.hdf5_spectra import COLUMNS
from beamstream.sinks.npz import NpzSink

PLAIN = Geometry((64, 64), "<u2")
SPECTRUM = Geometry((1, 6, 4), "<f4")
AXES = Axes(("beam", "frequency", "polarization"), 14.0 + np.arange(6.0), "arb. u.", polarization_names(4))
BEGAN = 1_755_537_514.794256  # 2025-08-18 17:18:34.794256 UTC


class TestNpzSink(SinkContract):
    factory = "beamstream.sinks.npz:NpzSink"
    kills = 2
    reader = """
import numpy, os
def read(path):
    if os.path.exists(path):
        with numpy.load(path, allow_pickle=False) as file:
            yield from file["image"]
    else:
        yield from numpy.load(path + ".parts/image.npy", mmap_mode="r")
"""

    # how pixels are written is `beamstream.sinks.npy`'s, whose tests try every one: here those that could go wrong
    @pytest.mark.parametrize("dtype", [">u2", "<i8", "<f4"])
    def test_every_pixel_type_comes_back_bit_exact(self, tmp_path, dtype):
        super().test_every_pixel_type_comes_back_bit_exact(tmp_path, dtype)

    @pytest.mark.parametrize("mode", [ColorMode.MONO, ColorMode.RGB2])
    def test_every_colour_mode_comes_back_bit_exact(self, tmp_path, mode):
        super().test_every_colour_mode_comes_back_bit_exact(tmp_path, mode)

    @pytest.mark.parametrize("shape", [(1, 1), (1021, 1031)], ids=str)
    def test_every_size_and_place_in_memory_comes_back_bit_exact(self, tmp_path, shape):
        super().test_every_size_and_place_in_memory_comes_back_bit_exact(tmp_path, shape)

    def test_what_was_reported_is_beside_the_pixels_after_kill_9(self, tmp_path):
        reported = self.kill_a_writer(tmp_path / "run", random.Random(3))
        pixels = np.load(tmp_path / "run.parts/image.npy", mmap_mode="r")
        rows = np.load(tmp_path / "run.parts/frames.npy")
        assert len(rows) >= len(pixels) >= reported > 0
        assert rows["unique_id"].tolist() == list(range(1000, 1000 + len(rows)))


def spectra(num: int) -> list[Frame]:
    """Return spectra half a second apart, received a quarter of a second later."""
    frames = made_frames(SPECTRUM, 0, num)
    then = [{"last_block_time": BEGAN + i / 2, "delay": 0.25, "time_tag": 2**58 + i} for i in range(num)]
    return [
        Frame(f.image, SPECTRUM, f.unique_id, f.timestamp, f.received, attributes=then[i]) for i, f in enumerate(frames)
    ]


def test_spectra_have_their_times_and_frequencies_with_them(tmp_path):
    about = {"run": "3f9a", "limits": np.array([1.0, np.nan])}
    frames, columns = spectra(20), (*COLUMNS, Column("motor", "<f8", "mm"))
    with NpzSink(tmp_path / "s.npz", SPECTRUM, name="spec", attributes=about, axes=AXES, columns=columns) as sink:
        for start in range(0, 20, 6):
            sink.write(frames[start : start + 6])
    with np.load(tmp_path / "s.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert np.array_equal(arrays["spectrum"], [frame.image for frame in frames])
    assert arrays["frequency_mhz"].tolist() == AXES.frequency.tolist()
    assert arrays["polarization"].tolist() == ["XX", "YY", "XY_real", "XY_imag"]
    assert arrays["time"][0] == np.datetime64("2025-08-18T17:18:34.794256")
    assert set(np.diff(arrays["time"])) == {np.timedelta64(500, "ms")}
    assert arrays["unique_id"].tolist() == [frame.unique_id for frame in frames]
    assert arrays["timestamp"].tolist() == [frame.timestamp for frame in frames]
    assert arrays["time_tag"].tolist() == [2**58 + i for i in range(20)]
    assert set(arrays["delay"]) == {0.25}
    assert set(arrays["motor"]) == {0.0}  # of a frame that has none
    said = json.loads(str(arrays["about"]))
    assert (said["run"], said["detector"], said["complete"], said["units"]) == ("3f9a", "spec", True, "arb. u.")
    assert said["dims"] == ["time", "beam", "frequency", "polarization"]
    assert said["limits"] == [1.0, "nan"]
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]


def test_images_have_the_detectors_time_and_no_frequency(tmp_path):
    with NpzSink(tmp_path / "run.npz", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 3))
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        assert set(file) == {"image", "time", "unique_id", "timestamp", "received", "about"}
        seconds = (file["time"] - np.datetime64("1970-01-01")) / np.timedelta64(1, "s")
        np.testing.assert_allclose(seconds, file["timestamp"], atol=1e-6)


def test_nothing_recorded_is_an_array_of_nothing(tmp_path):
    with NpzSink(tmp_path / "run.npz", SPECTRUM, axes=AXES):
        pass
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        assert file["spectrum"].shape == (0, 1, 6, 4)
        assert file["time"].shape == (0,)


def test_a_run_that_failed_says_so(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(NpzSink(tmp_path / "run.npz", PLAIN), made_frames(PLAIN, 0, 3))
    with np.load(tmp_path / "run.npz") as file:
        assert len(file["image"]) == 3
        assert json.loads(str(file["about"]))["complete"] is False


def test_it_is_read_while_it_grows(tmp_path):
    program = "import numpy, sys; print(numpy.load(sys.argv[1], mmap_mode='r')[2].sum())"
    with NpzSink(tmp_path / "run.npz", PLAIN) as sink:
        frames = made_frames(PLAIN, 0, 3)
        sink.write(frames)
        command = [sys.executable, "-c", program, sink.parts / "image.npy"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) == frames[2].image.sum()


def test_a_disk_that_is_too_small_to_pack_keeps_what_was_recorded(small_disk):
    geometry = Geometry((1024, 1024), "<u2")
    frames = made_frames(geometry, 0, 5)
    sink = NpzSink(small_disk / "run.npz", geometry)
    with pytest.raises(DiskFull, match="the disk is full"), sink:
        assert sink.write(frames) == 5  # 10 of 16 MB
    assert np.array_equal(np.load(sink.parts / "image.npy"), [frame.image for frame in frames])
    assert sorted(path.name for path in small_disk.rglob("*")) == ["frames.npy", "image.npy", "run.npz.parts"]


def test_what_a_killed_writer_left_is_not_overwritten(tmp_path):
    (tmp_path / "run.npz.parts").mkdir()
    (tmp_path / "run.npz.parts" / "image.npy").write_text("somebody's")
    with pytest.raises(SinkError, match="exists"), NpzSink(tmp_path / "run.npz", PLAIN):
        pass
    assert (tmp_path / "run.npz.parts" / "image.npy").read_text() == "somebody's"


def test_somebodys_file_in_the_way_at_the_end_is_left_alone(tmp_path):
    sink = NpzSink(tmp_path / "run.npz", PLAIN).__enter__()
    sink.write(made_frames(PLAIN, 0, 2))
    sink.path.write_text("mine")
    with pytest.raises(SinkError, match="exists"):
        sink.__exit__(None, None, None)
    assert sink.path.read_text() == "mine"
    assert len(np.load(sink.parts / "image.npy")) == 2


def test_memory_is_bounded_by_blocks(tmp_path):
    geometry = Geometry((1024, 1024), "<u2")
    frames = made_frames(geometry, 0, 4)
    tracemalloc.start()
    try:
        with NpzSink(tmp_path / "run.npz", geometry) as sink:
            for _ in range(20):
                sink.write(frames)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sink.path.stat().st_size > 80 * geometry.nbytes  # 168 MB
    assert peak < 40e6
