"""`beamstream export` of spectra, from the command line."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for recorded_spectra

from recorded_spectra import CADENCE, SpectraRuns, spectra

from beamstream.ops.spectra import Band


@pytest.fixture
def runs(tmp_path) -> SpectraRuns:
    """Runs in the archive of the configuration."""
    return SpectraRuns(tmp_path / "archive")


def test_the_newest_run_becomes_an_npz_that_numpy_opens(beamstream, runs):
    uid = runs.record(20, sample="Sun")
    done = beamstream("export", "-1", "--to", "npz", "--json")
    assert done.status == 0, done.err
    (file,) = done.json["files"]
    assert (done.json["run"], file["detector"], file["frames"]) == (uid, "spec", 20)
    with np.load(file["path"], allow_pickle=False) as arrays:
        assert np.array_equal(arrays["spectrum"], spectra(20))
        assert np.array_equal(arrays["frequency_mhz"], Band().axis(96))
    assert file["nbytes"] == Path(file["path"]).stat().st_size


def test_a_band_of_every_second_spectrum_becomes_a_table(beamstream, runs, tmp_path):
    runs.record(21, shape=(2, 96))
    done = beamstream("export", "-1", "--to", "csv", "--region", "1,20,1,30", "--stride", 2, "--out", "tables")
    assert done.status == 0, done.err
    (path,) = (tmp_path / "tables").iterdir()
    assert str(path) in done.out
    table = pd.read_csv(path)
    assert [float(name.removesuffix(" MHz")) for name in table.columns[2:]] == Band().axis(96)[20:50].tolist()
    assert np.array_equal(table.to_numpy()[:, 2:].astype("f4"), spectra(21, (2, 96))[::2, 1, 20:50])
    assert set(pd.to_datetime(table["time"]).diff()[1:].dt.total_seconds()) == {2 * CADENCE}
    beamstream("export", "-1", "--to", "csv", "--out", "tables").failed_with("exists and is never overwritten")


def test_what_a_format_cannot_hold_is_said_and_leaves_nothing(beamstream, runs, tmp_path):
    runs.record(3)
    beamstream("export", "-1", "--to", "tiff", "--out", "frames").failed_with("TIFF: pages of 1 × 96 × 4 float32")
    assert list((tmp_path / "frames").iterdir()) == []
