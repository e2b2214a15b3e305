"""`ZmqSpectrometer` in real plans against a simulated spectrometer: step, fly, beside a camera, in trouble."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import bluesky.plans as bp
import h5py
import numpy as np
import pytest
from bluesky.utils import FailedStatus

from beamstream.errors import FrameLoss, NotConnected, SilentSource, SourceError
from beamstream.ops.spectra import Band, Selection
from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec
from devices.spectrometer import ZmqSpectrometer
from plans.record import record

SPEC = SpectrometerSpec(rate=100.0, shape=(2, 96, 4))
COLUMNS = {"unique_id", "timestamp", "received", "last_block_time", "delay", "time_tag"}


@pytest.fixture(scope="module")
def sun() -> Iterator[SpectraSim]:
    with SpectraSim(SPEC) as sim:
        yield sim


@pytest.fixture
def spectrometer(tmp_path) -> Iterator[Callable[..., ZmqSpectrometer]]:
    """Make spectrometers; they are destroyed afterwards."""
    made: list[ZmqSpectrometer] = []

    def make(sim: SpectraSim, **kwargs: Any) -> ZmqSpectrometer:
        options = {"directory": tmp_path, "timeout": 3.0, "ring_memory": 8 * 2**20, "name": "spec"} | kwargs
        made.append(ZmqSpectrometer(sim.address, **options))
        return made[-1]

    yield make
    for device in made:
        device.destroy()


def recorded(device: ZmqSpectrometer) -> dict[str, Any]:
    """Return what the file holds."""
    assert device.path is not None
    with h5py.File(device.path) as file:
        group: Any = file["entry/data"]
        return {"axes": list(group.attrs["axes"])} | {key: group[key][()] for key in group}


def test_a_flight_is_recorded_bit_by_bit_with_its_axes_and_times(sun, spectrometer, engine, docs):
    spec = spectrometer(sun)
    engine(record([spec], num=50))
    assert (docs.stop["exit_status"], spec.ledger.account.lost, spec.ledger.account.recorded) == ("success", 0, 50)
    file = recorded(spec)
    ids = file["unique_id"].tolist()
    assert ids == list(range(ids[0], ids[0] + 50))
    scene = SPEC.scene()
    for row, number in enumerate(ids):
        assert np.array_equal(file["data"][row], scene.spectrum(number))
    assert file["axes"] == ["last_block_time", ".", "frequency", "."]
    np.testing.assert_allclose(file["frequency"], Band().axis(96))
    np.testing.assert_allclose(np.diff(file["last_block_time"]), SPEC.cadence, atol=2e-6)
    assert np.all((file["delay"] > 0) & (file["delay"] < 2.0))
    np.testing.assert_allclose(file["received"] - file["timestamp"], file["delay"], atol=1e-6)
    assert set(file["time_tag"]) == {int(file["time_tag"][0])}


def test_documents_say_what_is_recorded_and_where_the_channels_lie(sun, spectrometer, engine, docs):
    spec = spectrometer(sun, polarization="I", channel_averaging=4)
    engine(record([spec], num=5))
    (descriptor,) = (d for d in docs.of("descriptor") if d["name"] == "primary")
    keys = descriptor["data_keys"]
    assert set(keys) == {"spec_spectrum"} | {f"spec_{name}" for name in COLUMNS}
    about = keys["spec_spectrum"]
    assert (about["shape"], about["dtype_numpy"], about["dims"]) == ([2, 24], "<f4", ["beam", "frequency"])
    assert about["source"] == sun.uri
    said = descriptor["configuration"]["spec"]
    assert said["data"]["spec_polarization"] == "I"
    assert said["data"]["spec_channel_averaging"] == 4
    np.testing.assert_allclose(said["data"]["spec_frequency"], Band().axis(96).reshape(24, 4).mean(axis=1))
    assert said["data_keys"]["spec_frequency"]["units"] == "MHz"
    file = recorded(spec)
    selection, scene = Selection("I", 4), SPEC.scene()
    for row, number in enumerate(file["unique_id"].tolist()):
        assert np.array_equal(file["data"][row], selection(scene.spectrum(number)))
    assert file["axes"] == ["last_block_time", ".", "frequency"]


def test_a_step_scan_takes_one_new_spectrum_a_point_and_its_numbers(sun, spectrometer, engine, docs):
    spec = spectrometer(sun, polarization=0)
    engine(bp.count([spec], num=4))
    (descriptor,) = (d for d in docs.of("descriptor") if d["name"] == "primary")
    events = [e for e in docs.of("event") if e["descriptor"] == descriptor["uid"]]
    file = recorded(spec)
    assert len(events) == len(file["data"]) == 4
    assert "spec_stats_mean" in descriptor["hints"]["spec"]["fields"]
    for row, event in enumerate(events):
        power = file["data"][row][0]
        assert event["data"]["spec_stats_mean"] == pytest.approx(power.mean(dtype=float))
        assert event["data"]["spec_stats_max"] == power.max()
        assert event["data"]["spec_stats_peak_channel"] == power.argmax()
        assert event["data"]["spec_lost"] == 0
    begun = [e["time"] for e in events]
    assert np.all(np.diff(begun) > 0)


def test_what_is_put_counts_from_the_next_run_on(sun, spectrometer, engine):
    spec = spectrometer(sun)
    engine(bp.count([spec]))
    assert recorded(spec)["data"].shape == (1, 2, 96, 4)
    spec.polarization.put("V")
    spec.channel_averaging.put(8)
    engine(bp.count([spec]))
    assert recorded(spec)["data"].shape == (1, 2, 12)
    spec.polarization.put("7")
    with pytest.raises(SourceError, match="polarization 7 asked for, the spectra have 4"):
        engine(bp.count([spec]))
    spec.polarization.put("all")
    engine(bp.count([spec]))
    assert recorded(spec)["frequency"].shape == (12,)


def test_spectra_and_camera_are_complete_in_one_run_each_at_its_own_rate(sun, spectrometer, cam, engine, docs):
    spec = spectrometer(sun)
    engine(record([cam, spec], num=60))
    assert docs.stop["exit_status"] == "success"
    assert docs.stop["num_events"]["cam"] == docs.stop["num_events"]["spec"] == 60
    for device in (cam, spec):
        ids = recorded(device)["unique_id"]
        assert np.array_equal(np.diff(ids), np.ones(59))
    assert (docs.ledger["cam_ledger_lost"], docs.ledger["spec_ledger_lost"]) == (0, 0)


@pytest.mark.parametrize("sequence", [True, False])
def test_lost_spectra_are_counted_with_and_without_a_sequence(spectrometer, engine, docs, sequence):
    with SpectraSim(SpectrometerSpec(rate=100.0, shape=(1, 32, 4), sequence=sequence)) as sim:
        spec = spectrometer(sim)
        sim.set_faults(SpectraFaults(skip_every=10))
        engine(record([spec], num=60))
    assert docs.stop["exit_status"] == "success"
    gaps = np.diff(recorded(spec)["unique_id"]) - 1
    assert set(gaps.tolist()) == {0, 1}
    right_before = np.flatnonzero(gaps)[0] == 8  # nine come between two: the first was lost after the one passed over
    assert docs.ledger["spec_ledger_lost"] == gaps.sum() + right_before
    assert 5 <= gaps.sum() <= 7


def test_lost_spectra_fail_the_run_where_that_is_asked_for(sun, spectrometer, engine):
    with SpectraSim(SpectrometerSpec(rate=100.0, shape=(1, 32, 4))) as sim:
        spec = spectrometer(sim, on_loss="fail")
        sim.set_faults(SpectraFaults(skip_every=10))
        with pytest.raises(FailedStatus) as failed:
            engine(record([spec], num=60))
    assert isinstance(failed.value.__cause__, FrameLoss)


def test_a_stall_ends_the_run_in_time_and_keeps_what_came(spectrometer, engine, docs):
    with SpectraSim(SpectrometerSpec(rate=100.0, shape=(1, 32, 4))) as sim:
        spec = spectrometer(sim, timeout=1.0)
        sim.set_faults(SpectraFaults(silent_after=30))
        with pytest.raises(FailedStatus) as failed:
            engine(record([spec], num=1000))
    assert isinstance(failed.value.__cause__, SilentSource)
    assert docs.stop["exit_status"] == "fail"
    assert len(recorded(spec)["data"]) == spec.ledger.account.recorded > 0


def test_a_publisher_that_comes_back_goes_on_in_the_same_run_which_is_marked(spectrometer, engine, docs, wait_for):
    with SpectraSim(SpectrometerSpec(rate=100.0, shape=(1, 32, 4))) as sim:
        spec = spectrometer(sim, timeout=10.0)

        def restart() -> None:
            wait_for(lambda: spec.get_index() > 10)
            sim.restart()

        other = threading.Thread(target=restart)
        other.start()
        engine(record([spec], num=100))
        other.join()
    assert docs.stop["exit_status"] == "success"
    assert (docs.ledger["spec_ledger_recorded"], docs.ledger["spec_ledger_restarts"] > 0) == (100, True)


def test_malformed_messages_are_counted_and_cost_no_spectrum(spectrometer, engine, docs):
    with SpectraSim(SpectrometerSpec(rate=100.0, shape=(1, 32, 4))) as sim:
        spec = spectrometer(sim)
        sim.set_faults(SpectraFaults(malformed_at=20, malformed_count=3, malformed="json"))
        engine(record([spec], num=60))
    assert docs.ledger["spec_ledger_malformed"] == 3
    assert docs.ledger["spec_ledger_lost"] == 3


def test_nobody_there_is_said_before_anything_moves(spectrometer, engine, tmp_path):
    class Nowhere:
        address = "tcp://127.0.0.1:9"

    spec = spectrometer(Nowhere(), timeout=0.5)  # type: ignore[arg-type]
    with pytest.raises(NotConnected, match=r"spec: no publisher at tcp://127.0.0.1:9 within 0.5 s"):
        engine(bp.count([spec]))
    assert not list(tmp_path.rglob("*.h5"))
