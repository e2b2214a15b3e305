"""`beamstream record zmq://…` and `doctor`, of a simulated spectrometer."""

from collections.abc import Iterator

import h5py
import numpy as np
import pytest

from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

SPEC = SpectrometerSpec(rate=100.0, shape=(1, 64, 4))


@pytest.fixture(scope="module")
def sun() -> Iterator[SpectraSim]:
    with SpectraSim(SPEC) as sim:
        yield sim


def test_spectra_are_recorded_without_a_configuration(beamstream, sun):
    done = beamstream("record", sun.uri, "--num", 30, "--json")
    assert done.status == 0, done.err
    assert (done.json["recorded"], done.json["lost"]) == (30, 0)
    with h5py.File(done.json["files"]["spectra"]) as file:
        group = file["entry/data"]
        for row, number in enumerate(group["unique_id"][:].tolist()):  # type: ignore[index]
            assert np.array_equal(group["data"][row], SPEC.scene().spectrum(number))  # type: ignore[index]


def test_a_configured_spectrometer_is_well_and_recorded_as_its_section_says(beamstream, sun, tmp_path):
    (tmp_path / "beamstream.toml").write_text(
        '[archive]\ndirectory = "archive"\nport = 0\n[recording]\nring_memory_mb = 32\n'
        f'[devices.sun]\nkind = "zmq_spectrometer"\naddress = "{sun.address}"\n'
        'polarization = "I"\nchannel_averaging = 4\nfirst_mhz = 20.0\nstep_mhz = 0.5\n'
    )
    seen = [finding for finding in beamstream("doctor", "--json").json if finding["area"] == "sun"]
    assert [finding["level"] for finding in seen] == ["ok", "ok"]
    assert seen[0]["text"] == f"{sun.uri.removeprefix('zmq://')} sends 1 × 64 × 4 float32"
    assert "none lost" in seen[1]["text"]
    done = beamstream("record", "sun", "--num", 5, "--json")
    assert done.status == 0, done.err
    with h5py.File(done.json["files"]["sun"]) as file:
        assert file["entry/data/data"].shape == (5, 1, 16)  # type: ignore[union-attr]
        np.testing.assert_allclose(file["entry/data/frequency"][:], 20.75 + 2 * np.arange(16))  # type: ignore[index]


def test_lost_spectra_have_an_exit_status_of_their_own(beamstream):
    with SpectraSim(SPEC) as sim:
        sim.set_faults(SpectraFaults(skip_every=10))
        beamstream("record", sim.uri, "--num", 40).failed_with("frames lost after unique_id", status=3)
