"""Spectra out of a real server: with our function as xarray, and without anything of ours."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from archive_session import make_engine
from bluesky import RunEngine
from bluesky_tiled_plugins.queries import TimeRange
from strangers_publisher import StrangersPublisher
from tiled.adapters.hdf5 import HDF5Adapter
from tiled.ndslice import NDBlock, NDSlice
from tiled.queries import Comparison, Contains, Eq

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))  # for recorded_spectra

from recorded_spectra import SHAPE, TIME_TAG, UNITS, SpectraRuns, frame, times
from recorded_spectra import spectra as measured

from beamstream.archive.catalog import connect, wait_for_run
from beamstream.archive.hdf5_rows import RecordedHdf5, Rows
from beamstream.archive.layout import Layout, read_key
from beamstream.archive.process import running_server
from beamstream.archive.spectra import spectra
from beamstream.errors import ArchiveError
from beamstream.ops.spectra import Band, Selection
from beamstream.receiver import SpectraReceiver
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec
from devices.spectrometer import ZmqSpectrometer
from plans.record import record

STARTED = 1_600_000_000.0  # 2020-09-13 12:26:40 UTC
FREQUENCY = Band().axis(SHAPE[1])
UTC_TIMES = (np.round(times(40) * 1e6).astype("<i8").view("<M8[us]")).astype("<M8[ns]")


@dataclass
class Served:
    """A served archive of its own: searches find the runs of these tests alone."""

    layout: Layout
    url: str
    client: Any
    engine: RunEngine

    def get(self, path: str, **parameters: str) -> bytes:
        """GET below the API, as any program does."""
        key = {"Authorization": f"Apikey {read_key(self.layout.key)}"}
        return httpx.get(f"{self.url}/api/v1{path}", headers=key, params=parameters).raise_for_status().content


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Iterator[Served]:
    layout = Layout(tmp_path_factory.mktemp("spectra"))
    with running_server(layout.directory) as address:
        client = connect(layout.directory)
        yield Served(layout, address.url, client, make_engine(layout.journal))
        client.context.close()


@pytest.fixture(scope="module")
def runs(archive) -> SpectraRuns:
    return SpectraRuns(archive.layout.directory)


@pytest.fixture(scope="module")
def recorded(archive, runs):
    """Record a run, and return its client when all of it is in the catalogue."""

    def recording(*args: Any, **kwargs: Any) -> Any:
        uid = runs.record(*args, **kwargs)
        wait_for_run(archive.client, uid)
        return archive.client.v3[uid]

    return recording


@pytest.fixture(scope="module")
def sun(recorded):
    """Forty spectra of the Sun with all polarisations."""
    return recorded(40, sample="Sun", detectors=["spec"], time=STARTED)


@pytest.fixture(scope="module")
def both(recorded):
    """Two spectrometers in one run: two beams, Stokes I."""
    settings = {"polarization": "I", "channel_averaging": 4}
    return recorded(10, shape=(2, 96), names=("spec", "other"), settings=settings, detectors=["spec", "other"])


def test_spectra_come_with_their_times_and_frequencies(sun):
    found = spectra(sun)
    assert found["spectrum"].dims == ("time", "beam", "frequency", "polarization")
    assert found["spectrum"].attrs["units"] == UNITS
    assert np.array_equal(found["spectrum"], measured(40))
    assert found["time"].dtype == "datetime64[ns]"
    assert np.array_equal(found["time"], UTC_TIMES)
    assert np.array_equal(found["frequency"], FREQUENCY)
    assert found["frequency"].attrs["units"] == "MHz"
    assert found["polarization"].values.tolist() == ["XX", "YY", "XY_real", "XY_imag"]
    frames = [frame(number) for number in range(40)]
    for column in ("unique_id", "timestamp", "received"):
        assert found[column].dims == ("time",)
        assert found[column].values.tolist() == [getattr(f, column) for f in frames]
    assert found["time_tag"].values.tolist() == [TIME_TAG + number for number in range(40)]
    assert (set(found["delay"].values), found["delay"].attrs["units"]) == ({0.25}, "s")
    about = {"run": sun.start["uid"], "sample": "Sun", "detector": "spec", "stream": "primary", "scan_id": 1}
    assert about.items() <= found.attrs.items()
    assert (found.attrs["polarization"], found.attrs["channel_averaging"]) == ("all", 1)


def test_what_a_device_recorded_comes_back_with_what_it_was_told_to_record(archive):
    spec = SpectrometerSpec(rate=100.0, shape=(1, 96, 4))
    with SpectraSim(spec) as sim:
        options = {"directory": archive.layout.recordings, "ring_memory": 8 * 2**20}
        device = ZmqSpectrometer(sim.address, name="sun", polarization="I", channel_averaging=4, **options)
        try:
            (uid,) = archive.engine(record([device], num=20))
        finally:
            device.destroy()
    wait_for_run(archive.client, uid)
    found, scene, treat = spectra(archive.client[uid]), spec.scene(), Selection("I", 4)
    ids = found["unique_id"].values.tolist()
    assert ids == list(range(ids[0], ids[0] + 20))
    assert np.array_equal(found["spectrum"], [treat(scene.spectrum(number)) for number in ids])
    assert np.array_equal(found["frequency"], treat.axis(Band().axis(96)))
    assert (found.attrs["polarization"], found.attrs["channel_averaging"], found.attrs["detector"]) == ("I", 4, "sun")
    steps = np.diff(found["time"]) / np.timedelta64(1, "s")
    np.testing.assert_allclose(steps, spec.cadence, atol=2e-6)


def test_only_what_is_selected_is_fetched(archive, sun):
    asked: list[Any] = []
    http = archive.client.context.http_client
    before = http.event_hooks
    http.event_hooks = {**before, "response": [*before["response"], lambda r: (r.read(), asked.append(r))]}
    try:
        found = spectra(sun)
        began, ended = found["time"].values[[4, 9]]
        part = found["spectrum"].sel(time=slice(began, ended), frequency=slice(15.0, 15.5), polarization="YY")
        channels = (FREQUENCY >= 15.0) & (FREQUENCY <= 15.5)
        assert not [r for r in asked if "/array/full/" in str(r.url) and "last_block_time" not in str(r.url)]
        asked.clear()
        assert np.array_equal(part, measured(40)[4:10, :, channels, 1])
        (answer,) = asked
        assert len(answer.content) == 6 * channels.sum() * 4
    finally:
        http.event_hooks = before


def test_any_other_index_of_xarray_works_as_well(sun):
    lazy, whole = spectra(sun)["spectrum"], measured(40)
    assert np.array_equal(lazy.isel(time=slice(None, None, -3), beam=0), whole[::-3, 0])
    assert np.array_equal(lazy.isel(frequency=[50, 3, 7], time=-1), whole[-1][:, [50, 3, 7]])
    assert np.array_equal(lazy.sel(frequency=15.3, method="nearest"), whole[:, :, np.abs(FREQUENCY - 15.3).argmin()])
    np.testing.assert_allclose(lazy.mean("time")[0, :, 2], whole.mean(axis=0)[0, :, 2], rtol=1e-5)


def test_one_of_several_spectrometers_is_chosen_by_name(both):
    with pytest.raises(ArchiveError, match="other in stream other_stream, spec in stream primary; say detector="):
        spectra(both)
    with pytest.raises(ArchiveError, match="of detector cam, there are other in stream other_stream"):
        spectra(both, "cam")
    for found in (spectra(both, "other"), spectra(both, stream="other_stream"), spectra(both["other_stream"])):
        assert found["spectrum"].dims == ("time", "beam", "frequency")
        assert found.attrs["detector"] == "other"
        assert (found.attrs["polarization"], found.attrs["channel_averaging"]) == ("I", 4)
        assert np.array_equal(found["spectrum"], measured(10, (2, 96)))


def test_a_run_without_spectra_says_what_it_has(archive, recorded):
    with pytest.raises(ArchiveError, match=r"it has no spectra \(streams: none\)"):
        spectra(recorded(names=()))
    with pytest.raises(ArchiveError, match=r"give a run of the archive, like connect\('archive'\)\[-1\]"):
        spectra(archive.client)


def test_frequencies_that_are_not_there_are_an_error(recorded):
    run = recorded(3, settings={"frequency": [1.0, 2.0]})
    words = r"frequencies of 96 channels of spec in run .* it says 2; read run\['primary'\]\['spec_spectrum'\]"
    with pytest.raises(ArchiveError, match=words):
        spectra(run)


def test_times_that_are_not_there_are_an_error(recorded):
    run = recorded(3, columns=False)
    with pytest.raises(ArchiveError, match=r"times of spec in run .* there is no spec_last_block_time; read run"):
        spectra(run)
    assert np.array_equal(run["primary"]["spec_spectrum"].read(), measured(3))


def test_a_run_of_which_nothing_is_recorded_is_an_error(recorded):
    with pytest.raises(ArchiveError, match=r"spec_spectrum in run .* nothing is recorded there"):
        spectra(recorded(0))


def test_a_step_scan_has_its_motor_beside_the_spectra_as_far_as_both_are_there(archive, runs):
    uid = runs.steps([0.5, 1.5, 2.5])  # of the last step there is no event
    wait_for_run(archive.client, uid)
    found = spectra(archive.client.v3[uid])
    assert found["motor"].values.tolist() == [0.5, 1.5]
    assert found["motor"].attrs["units"] == "deg"
    assert np.array_equal(found["spectrum"], measured(2))
    assert np.array_equal(found["time"], UTC_TIMES[:2])


def test_runs_with_spectra_are_found_by_detector_sample_and_time(archive, sun, both):
    def found(*queries: Any) -> set[str]:
        catalog = archive.client
        for query in queries:
            catalog = catalog.search(query)
        return set(catalog)

    uids = {sun.start["uid"], both.start["uid"]}
    assert found(Contains("detectors", "spec")) == uids
    assert found(Contains("detectors", "other")) == {both.start["uid"]}
    assert found(Contains("detectors", "spec"), Eq("sample", "Sun")) == {sun.start["uid"]}
    day = TimeRange(since="2020-09-13 12:00", until="2020-09-14", timezone="UTC")
    assert found(Contains("detectors", "spec"), day) == {sun.start["uid"]}
    later = STARTED + 3600  # which runs went on by then?
    assert found(Comparison("le", "start.time", later), Comparison("ge", "stop.time", later)) == {sun.start["uid"]}


def test_the_stock_client_reads_a_stream_with_its_dimensions(sun):
    stream = sun["primary"]
    with pytest.warns(DeprecationWarning, match="streams"):
        assert set(sun["streams/primary"]) == set(stream)
    whole = stream.read()
    assert whole["spec_spectrum"].dims == ("time", "beam", "frequency", "polarization")
    assert np.array_equal(whole["spec_spectrum"], measured(40))
    assert whole["spec_last_block_time"].dims == ("time",)
    assert whole["spec_last_block_time"].values.tolist() == times(40).tolist()
    assert stream["spec_spectrum"].dims == ("time", "beam", "frequency", "polarization")
    assert np.array_equal(stream["spec_spectrum"][-3:, 0, 5:9, 2], measured(40)[-3:, 0, 5:9, 2])
    settings = stream.metadata["configuration"]["spec"]["data"]
    assert np.array_equal(settings["spec_frequency"], FREQUENCY)


def test_any_program_gets_a_part_of_the_spectra(archive, sun):
    where = f"/array/full/{sun.start['uid']}/primary/spec_spectrum"
    raw = archive.get(where, slice="7,0,::1,3")
    assert np.array_equal(np.frombuffer(raw, "<f4"), measured(8)[7, 0, :, 3])
    text = archive.get(where, slice="7,0,::1,3", format="application/json")
    np.testing.assert_allclose(json.loads(text), measured(8)[7, 0, :, 3], rtol=1e-6)


def described(run: Any, key: str) -> tuple[Any, Any]:
    """Return what a server knows of an array."""
    client = run["primary"].base[key]
    source = replace(client.include_data_sources().data_sources()[0], structure=client.structure())
    return source, SimpleNamespace(metadata_={}, specs=())


def adapters(run: Any, key: str) -> tuple[Any, Any]:
    """Return tiled's own adapter of an array, and ours, as a server makes them."""
    source, node = described(run, key)
    return tuple(kind.from_catalog(source, node, **source.parameters) for kind in (HDF5Adapter, RecordedHdf5))


def test_our_adapter_reads_what_tiled_reads(sun):
    theirs, ours = adapters(sun, "spec_spectrum")
    assert isinstance(ours, Rows)
    assert ours.structure() == theirs.structure()
    for index in ((), (3,), (-1, 0), np.s_[5:30:4, :, ::-1, 1:3], np.s_[::-7, 0, 5], np.s_[4:4, 0], (..., 2)):
        asked = NDSlice(*index)
        np.testing.assert_array_equal(ours.read(asked), theirs.read(asked), err_msg=str(index))
    block, part = NDBlock(3, 0, 0, 0), NDSlice(0, 0, 5)
    assert np.array_equal(ours.read_block(block), theirs.read_block(block))
    assert np.array_equal(ours.read_block(block, part), theirs.read_block(block, part))


def test_our_adapter_reads_the_rows_of_one_stream_of_several(sun):
    source, node = described(sun, "spec_spectrum")
    rows = [[1, 4], [7, 8], [30, 40]]
    wanted = measured(40)[np.r_[1:4, 7, 30:40]]
    shape = replace(source.structure, shape=wanted.shape, chunks=((1,) * len(wanted), *source.structure.chunks[1:]))
    ours = RecordedHdf5.from_catalog(replace(source, structure=shape), node, rows=rows, **source.parameters)
    for index in ((), (3,), (-1, 0), np.s_[2:13:4, :, ::-1, 1:3], np.s_[::-3, 0, 5], np.s_[4:4, 0], (..., 2)):
        np.testing.assert_array_equal(ours.read(NDSlice(*index)), wanted[index], err_msg=str(index))
    assert np.array_equal(ours.read_block(NDBlock(3, 0, 0, 0), NDSlice(0, 0, 5)), wanted[3:4][0, 0, 5])


def test_our_adapter_reads_no_row_that_was_not_announced(sun, runs):
    with h5py.File(runs.raw(sun.start["uid"], "spec"), "r+", libver="latest") as file:
        for key in ("data", "unique_id"):
            file[f"entry/data/{key}"].resize(45, axis=0)  # the file is ahead of the documents
    assert np.array_equal(adapters(sun, "spec_spectrum")[1].read(), measured(40))
    assert adapters(sun, "spec_unique_id")[1].read(NDSlice(-1)) == frame(39).unique_id


def test_the_publisher_of_a_stranger_is_received_shown_recorded_and_queried(archive):
    with StrangersPublisher() as stranger:
        device = ZmqSpectrometer(
            f"tcp://127.0.0.1:{stranger.port}", name="lwa", directory=archive.layout.recordings, ring_memory=2**20
        )
        with SpectraReceiver(stream_port=stranger.port, plot_interval=0, start_webshow=True, web_port=0) as receiver:
            try:
                (uid,) = archive.engine(record([device], num=12))
            finally:
                device.destroy()
            assert receiver.web is not None
            shown = httpx.get(f"{receiver.web.url}refresh", params={"n_frames": 6}).raise_for_status().json()["data"]
    assert (device.ledger.account.lost, receiver.account.lost) == (0, 0)
    sent = list(stranger.sent.values())
    means = [values[0, :, 0].reshape(24, 4).mean(axis=1).tolist() for values in sent]
    assert any(np.allclose(means[n : n + 6], shown, rtol=1e-6) for n in range(len(means)))
    wait_for_run(archive.client, uid)
    found = spectra(archive.client[uid])
    blocks = [str(time).replace("T", " ").removesuffix("000") for time in found["time"].values]
    for block, values in zip(blocks, found["spectrum"].values, strict=True):
        assert np.array_equal(values, stranger.sent[block.removesuffix(".000000")])
    assert len(blocks) == 12
