"""Spectra as lines of text: the promises of a sink, and what only this one promises."""

import csv
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beamstream.errors import DiskFull, SinkError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sinks.axes import Axes
from beamstream.sinks.contract import SinkContract, made_frame, made_frames
from beamstream.sinks.csv import CsvSink
from beamstream.sinks.hdf5_layout import Column

BEGAN = 1_755_537_514.794256  # 2025-08-18 17:18:34.794256 UTC
FREQUENCY = 196 * (600 + np.arange(6)) / 8192


class TestCsvSink(SinkContract):
    factory = "beamstream.sinks.csv:CsvSink"
    geometry = Geometry((100, 150), "<u2")
    kills = 2
    # the file says nothing of types: the test does, as whoever loads it has to
    reader = """
import numpy
def read(path, dtype, shape):
    dtype = numpy.dtype(dtype)
    with open(path) as file:
        for line in list(file)[1:]:
            if line.endswith("\\n"):
                values = numpy.fromstring(line.split(",", 2)[2], dtype.newbyteorder("="), sep=",")
                yield values.astype(dtype).reshape(shape)
"""

    @pytest.fixture(autouse=True)
    def _geometries(self):
        self._made = {}

    def make(self, path, geometry=None):
        self._made[path] = geometry or self.geometry
        return super().make(path, geometry)

    def arguments(self, path):
        made = self._made.get(path, self.geometry)
        return [str(path), made.dtype, made.shape]

    @pytest.mark.parametrize("mode", [ColorMode.MONO, ColorMode.RGB2])
    def test_every_colour_mode_comes_back_bit_exact(self, tmp_path, mode):
        super().test_every_colour_mode_comes_back_bit_exact(tmp_path, mode)

    @pytest.mark.parametrize("shape", [(1, 1), (3, 5), (301, 307)], ids=str)
    def test_every_size_and_place_in_memory_comes_back_bit_exact(self, tmp_path, shape):
        super().test_every_size_and_place_in_memory_comes_back_bit_exact(tmp_path, shape)


def axes(dims: tuple[str, ...], polarizations: tuple[str, ...] = ()) -> Axes:
    return Axes(dims, FREQUENCY, "arb. u.", polarizations)


def spectra(shape: tuple[int, ...], num: int = 3, dtype: str = "<f4") -> list[Frame]:
    """Return frames of noise, half a second apart."""
    chance = np.random.default_rng(0)
    geometry = Geometry(shape, dtype)
    values = (chance.standard_normal((num, *shape)) * 10.0 ** chance.integers(-30, 30, (num, *shape))).astype(dtype)
    then = [{"last_block_time": BEGAN + i / 2, "delay": 0.5, "time_tag": 1, "motor": i / 10} for i in range(num)]
    return [Frame(values[i], geometry, 7 + i, 1e9, 1e9, attributes=then[i]) for i in range(num)]


def kept(path: Path, frames: list[Frame], of: Axes | None, columns: tuple[Column, ...] = ()) -> pd.DataFrame:
    with CsvSink(path, frames[0].geometry, axes=of, columns=columns) as sink:
        sink.write(frames[:1])
        assert sink.write(frames[1:]) == len(frames)
    return pd.read_csv(path)


def test_a_spectrum_is_a_line_with_its_time_and_a_column_a_channel(tmp_path):
    frames = spectra((1, 6))
    table = kept(tmp_path / "run.csv", frames, axes(("beam", "frequency")))
    assert list(table.columns[:2]) == ["time", "unique_id"]
    assert [float(c.removesuffix(" MHz")) for c in table.columns[2:]] == FREQUENCY.tolist()
    assert table["time"][0] == "2025-08-18T17:18:34.794256Z"
    assert pd.to_datetime(table["time"]).diff()[1] == pd.Timedelta(0.5, "s")
    assert table["unique_id"].tolist() == [7, 8, 9]
    values = table.to_numpy()[:, 2:].astype("f4")
    assert np.array_equal(values, [frame.image[0] for frame in frames])


def test_beams_and_polarizations_have_lines_of_their_own_that_say_so(tmp_path):
    frames = spectra((2, 6, 4))
    names = ("XX", "YY", "XY_real", "XY_imag")
    table = kept(tmp_path / "run.csv", frames, axes(("beam", "frequency", "polarization"), names))
    assert list(table.columns[:4]) == ["time", "unique_id", "beam", "polarization"]
    assert len(table) == 3 * 2 * 4
    picked = table[(table["beam"] == 1) & (table["polarization"] == "XY_imag")]
    assert picked["unique_id"].tolist() == [7, 8, 9]
    assert np.array_equal(picked.to_numpy()[:, 4:].astype("f4"), [frame.image[1, :, 3] for frame in frames])


def test_one_beam_is_not_said_but_its_polarizations_are(tmp_path):
    frames = spectra((1, 6, 2))
    table = kept(tmp_path / "run.csv", frames, axes(("beam", "frequency", "polarization"), ("0", "1")))
    assert list(table.columns[:3]) == ["time", "unique_id", "polarization"]
    assert np.array_equal(table.to_numpy()[1::2, 3:].astype("f4"), [frame.image[0, :, 1] for frame in frames])


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_what_is_no_number_has_a_word_of_its_own_and_all_digits_are_there(tmp_path, dtype):
    with np.errstate(over="ignore"):
        frames = spectra((1, 6), dtype=dtype)
    frames[1].image[0, :3] = np.nan, np.inf, -np.inf
    table = kept(tmp_path / "run.csv", frames, axes(("beam", "frequency")))
    values = table.to_numpy()[:, 2:].astype(dtype)
    np.testing.assert_array_equal(values, [frame.image[0] for frame in frames])
    assert ",nan,inf,-inf," in (tmp_path / "run.csv").read_text()


def test_readings_of_a_step_stand_before_the_values(tmp_path):
    of = axes(("beam", "frequency"))
    columns = (Column("last_block_time", "<f8", "s"), Column("motor", "<f8", "mm"), Column("x,y", "<f8"))
    table = kept(tmp_path / "run.csv", spectra((1, 6)), of, columns)
    assert list(table.columns[:5]) == ["time", "unique_id", "motor", "x,y", "14.35546875 MHz"]
    assert table["motor"].tolist() == [0.0, 0.1, 0.2]
    assert table["x,y"].isna().all()  # no frame has any


def test_images_that_are_too_large_for_lines_are_refused_with_a_better_format(tmp_path):
    with pytest.raises(SinkError, match="4194304 values \\(100000 at most\\); use hdf5, npz or zarr"):
        CsvSink(tmp_path / "run.csv", Geometry((2048, 2048), "<u2"), name="cam").__enter__()
    assert not (tmp_path / "run.csv").exists()


def test_what_is_no_number_is_refused(tmp_path):
    with pytest.raises(SinkError, match="complex64"):
        CsvSink(tmp_path / "run.csv", Geometry((3, 4), "<c8")).__enter__()


def test_a_full_disk_takes_whole_lines_back(small_disk):
    geometry = Geometry((100, 100), "<u4")
    path = small_disk / "run.csv"
    with CsvSink(path, geometry) as sink, pytest.raises(DiskFull):
        [sink.write([made_frame(geometry, number)]) for number in range(1000)]
    text = path.read_text()
    assert text.endswith("\n")
    assert text.count("\n") == 1 + sink.kept


def test_python_reads_it_while_it_grows(tmp_path):
    geometry = Geometry((2, 3), "|u1")
    with CsvSink(tmp_path / "run.csv", geometry) as sink:
        for count, frame in enumerate(made_frames(geometry, 0, random.Random(1).randint(3, 9)), 1):
            sink.write([frame])
            with sink.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert len(rows) == count
            assert rows[-1]["1_2"] == str(frame.image[1, 2])
