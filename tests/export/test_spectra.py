"""Recorded spectra in other formats: every value, with its time, its frequency and what was read beside it."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
import xarray
from read_formats import npz
from recorded_spectra import BEGAN, CADENCE, SHAPE, TIME_TAG, UNITS, SpectraRuns, frame, spectra, times

from beamstream.archive.documents import Tail
from beamstream.callbacks.recorder import Recorder
from beamstream.errors import SinkError
from beamstream.export import ExportedFile, export_run
from beamstream.ops.spectra import Band

FREQUENCY = Band().axis(SHAPE[1])
UTC = np.datetime64(0, "us") + np.round(times(40) * 1e6).astype("timedelta64[us]")


@pytest.fixture
def runs(tmp_path: Path) -> SpectraRuns:
    return SpectraRuns(tmp_path / "archive")


@pytest.fixture
def export(runs, tmp_path):
    """Export a run to ``out``; return the one file that this makes."""

    def exporting(uid: str, format: str, **options: Any) -> ExportedFile:
        (file,) = export_run(runs.documents(uid), Recorder(tmp_path / "out", format=format, **options)).files
        return file

    return exporting


def test_npz_has_everything_of_each_spectrum(runs, export):
    path = export(runs.record(40, sample="Sun"), "npz").path
    assert path.name.endswith("_spec.npz")
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    assert np.array_equal(arrays["spectrum"], spectra(40))
    assert np.array_equal(arrays["frequency_mhz"], FREQUENCY)
    assert np.array_equal(arrays["time"], UTC)
    assert arrays["unique_id"].tolist() == [frame(i).unique_id for i in range(40)]
    assert arrays["time_tag"].tolist() == [TIME_TAG + i for i in range(40)]
    assert set(arrays["delay"]) == {0.25}
    assert arrays["polarization"].tolist() == ["XX", "YY", "XY_real", "XY_imag"]
    about = json.loads(str(arrays["about"]))
    assert (about["units"], about["polarization"], about["channel_averaging"]) == (UNITS, "all", 1)


def test_csv_has_a_line_a_spectrum_and_a_column_a_channel(runs, export):
    table = pd.read_csv(export(runs.record(40, shape=(1, 96)), "csv").path)
    assert len(table) == 40
    assert [float(c.removesuffix(" MHz")) for c in table.columns[2:]] == FREQUENCY.tolist()
    assert np.array_equal(pd.to_datetime(table["time"]).dt.tz_localize(None), UTC)
    assert np.array_equal(table.to_numpy()[:, 2:].astype("f4"), spectra(40, (1, 96))[:, 0])


def test_csv_of_all_polarizations_has_a_line_for_each(runs, export):
    table = pd.read_csv(export(runs.record(10), "csv").path)
    yy = table[table["polarization"] == "YY"]
    assert np.array_equal(yy.to_numpy()[:, 3:].astype("f4"), spectra(10)[:, 0, :, 1])


def test_hdf5_is_as_it_was_recorded(runs, export):
    uid = runs.record(40)
    with h5py.File(export(uid, "hdf5").path) as made, h5py.File(runs.raw(uid, "spec")) as raw:
        ours, theirs = made["entry/data"], raw["entry/data"]
        assert set(ours) == set(theirs)
        for key in theirs:
            assert np.array_equal(ours[key], theirs[key]), key
            assert ours[key].attrs.get("units") == theirs[key].attrs.get("units"), key
        assert list(ours.attrs["axes"]) == ["last_block_time", ".", "frequency", "."]
        assert ours.attrs["signal"] == "data"
        assert ours["last_block_time"][3] == BEGAN + 3 * CADENCE


def test_xarray_opens_zarr_with_its_axes(runs, export):
    path = export(runs.record(40), "zarr").path
    with xarray.open_zarr(path, consolidated=False, chunks=None) as opened:
        assert opened["data"].dims == ("time", "beam", "frequency", "polarization")
        assert np.array_equal(opened["time"], UTC)
        assert (opened["frequency"].attrs["units"], opened["data"].attrs["units"]) == ("MHz", UNITS)
        part = opened.sel(time=slice("2025-08-18T17:18:40", None), frequency=slice(15.0, 15.5))
        rows, channels = times(40) >= 1_755_537_520, (FREQUENCY >= 15) & (FREQUENCY <= 15.5)
        assert np.array_equal(part["data"], spectra(40)[rows][:, :, channels])
        assert np.array_equal(part["time_tag"], TIME_TAG + np.flatnonzero(rows))


def test_formats_for_images_take_spectra_as_well(runs, export):
    shape = (2, 96)
    uid = runs.record(5, shape=shape)
    assert np.array_equal(np.load(export(uid, "npy").path), spectra(5, shape))
    pages = [tifffile.imread(file) for file in sorted(export(uid, "tiff").path.iterdir())]
    assert np.array_equal(pages, spectra(5, shape))


def test_tiff_has_no_pages_of_several_polarizations_and_says_so(runs, export, tmp_path):
    uid = runs.record(5)
    with pytest.raises(SinkError, match="TIFF: pages of 1 × 96 × 4 float32 asked for"):
        export(uid, "tiff")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_region_cuts_the_frequencies_with_the_values(runs, export):
    uid = runs.record(10, shape=(2, 96))
    options = {"region": (1, 20, 1, 30), "stride": 3}
    with np.load(export(uid, "npz", **options).path) as file:
        assert np.array_equal(file["spectrum"], spectra(10, (2, 96))[::3, 1:2, 20:50])
        assert np.array_equal(file["frequency_mhz"], FREQUENCY[20:50])
        assert np.array_equal(file["time"], UTC[:10:3])


class Halved:
    """Half of the channels: no axis of the run fits what this makes."""

    def apply(self, image: Any, meta: Any) -> Any:
        return image[:, ::2]


def test_what_an_op_makes_of_spectra_has_no_axes_that_do_not_fit(runs, export):
    uid = runs.record(5, shape=(1, 96))
    path = export(uid, "npz", op_for=lambda _source: Halved(), label="halved").path
    assert np.array_equal(npz(path, "image"), spectra(5, (1, 96))[..., ::2])
    with np.load(path) as file:
        assert "frequency_mhz" not in file
        assert np.array_equal(file["time"], UTC[:5])


@pytest.mark.parametrize("settings", [{"frequency": None}, {"frequency": [1.0, 2.0]}], ids=["none", "wrong"])
def test_spectra_without_an_axis_that_fits_are_exported_as_plain_numbers(runs, export, settings):
    path = export(runs.record(5, settings=settings), "npz").path
    assert np.array_equal(npz(path, "image"), spectra(5))


def test_several_spectrometers_become_files_of_their_own(runs, tmp_path):
    uid = runs.record(5, names=("spec", "other"))
    both = export_run(runs.documents(uid), Recorder(tmp_path / "out", format="csv")).files
    assert [file.path.name.rpartition("_")[2] for file in both] == ["spec.csv", "other.csv"]


@pytest.mark.parametrize("format", ["npz", "csv"])
def test_what_exists_is_never_overwritten(runs, export, format):
    uid = runs.record(5)
    path = export(uid, format).path
    before = path.read_bytes()
    with pytest.raises(SinkError, match="exists and is never overwritten"):
        export(uid, format)
    assert path.read_bytes() == before


@pytest.mark.parametrize("format", ["npz", "csv"])
def test_an_interrupted_export_leaves_nothing(runs, tmp_path, format):
    def interrupt(done: int, announced: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_run(runs.documents(runs.record(300)), Recorder(tmp_path / "out", format=format), progress=interrupt)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_long_run_takes_no_more_memory_than_a_short_one(runs, tmp_path):
    shape, num = (1, 3072), 1500  # 18 MB
    uid = runs.record(num, shape=shape)
    for format in ("npz", "csv"):
        told: list[int] = []
        tracemalloc.start()
        try:
            recorder = Recorder(tmp_path / "out", format=format)
            export_run(runs.documents(uid), recorder, progress=lambda done, _, told=told: told.append(done))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert len(told) > 10
        assert told[-1] == num
        assert peak < 12e6


def test_where_the_motor_stood_in_a_step_scan_comes_along(runs, export):
    uid = runs.steps([0.5, 1.5, 2.5, 3.5])
    stood = [0.5, 1.5, 2.5, np.nan]
    np.testing.assert_array_equal(npz(export(uid, "npz").path, "motor"), stood)
    table = pd.read_csv(export(uid, "csv").path)
    assert list(table.columns[:4]) == ["time", "unique_id", "motor", "polarization"]
    np.testing.assert_array_equal(table["motor"], np.repeat(stood, 4))
    with h5py.File(export(uid, "hdf5").path) as file:
        np.testing.assert_array_equal(file["entry/data/motor"], stood)
        assert file["entry/data/motor"].attrs["units"] == "deg"
    with xarray.open_zarr(export(uid, "zarr").path, consolidated=False, chunks=None) as opened:
        np.testing.assert_array_equal(opened["motor"], stood)
        assert opened["motor"].dims == ("time",)


def test_documents_of_a_run_that_goes_on_are_enough(runs, export):
    uid = runs.record(40)
    kept = [d for d in Tail(runs.journal / f"{uid}.jsonl").read(1 << 30) if d.name != "stop"]
    announced = [d for d in kept if d.name != "stream_datum" or d.doc["indices"]["stop"] <= 16]
    (file,) = export_run(announced, Recorder(runs.directory / "now", format="npz")).files
    assert np.array_equal(npz(file.path, "spectrum"), spectra(16))
