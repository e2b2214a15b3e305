"""SpectraReceiver against a real publisher: what it keeps, what it says, how it starts and ends."""

import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil
import pytest

from beamstream.errors import ConfigurationError
from beamstream.ops.spectra import Selection
from beamstream.readers import RingView
from beamstream.receiver import SpectraReceiver, StreamReceiver
from beamstream.sim.spectra_faults import SpectraFaults
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

SPEC = SpectrometerSpec(rate=200, interval=0.25)


@pytest.fixture(scope="module")
def sim() -> Iterator[SpectraSim]:
    with SpectraSim(SPEC) as sim:
        yield sim


@pytest.fixture(scope="module")
def small() -> Iterator[SpectraSim]:
    with SpectraSim(replace(SPEC, shape=(1, 96, 4))) as sim:
        yield sim


@pytest.fixture
def few(small) -> Iterator[SpectraSim]:
    """A publisher of small spectra with which something may go wrong."""
    yield small
    small.set_faults()


def status(receiver: SpectraReceiver) -> dict:
    """Return the status, after a look at whether it is JSON."""
    said = receiver.get_buffer_status()
    return json.loads(json.dumps(said, allow_nan=False))


def test_by_default_it_keeps_the_first_polarization_and_the_mean_of_four_channels(sim, receive, wait_for):
    receiver = receive(sim, buffer_length=30)
    receiver.start()
    wait_for(lambda: receiver.account.received >= 40, what="spectra")
    spectra = receiver.newest(20)
    scene, select = SPEC.scene(), Selection(0, 4)
    assert spectra.values.shape == (20, 768)
    assert spectra.values.dtype == np.float32
    for unique_id, values in zip(spectra.unique_ids, spectra.values, strict=True):
        np.testing.assert_array_equal(values, select(scene.spectrum(int(unique_id)))[0])
    assert (np.diff(spectra.unique_ids) == 1).all()


def test_the_latest_data_have_two_dimensions_and_grow_to_the_length_of_the_buffer(sim, receive, wait_for):
    receiver = receive(sim, buffer_length=25)
    assert receiver.get_latest_data().shape == (0, 0)
    receiver.start()
    wait_for(lambda: receiver.account.received >= 1, what="a spectrum")
    assert receiver.get_latest_data().shape == (1, 768)
    wait_for(lambda: receiver.account.received >= 60, what="spectra")
    assert [receiver.get_latest_data(n).shape[0] for n in (1, 10, 25, 1000, None, 0)] == [1, 10, 25, 25, 25, 0]


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((1, 96, 4), {"polarization": "I", "average": 1}, (96, "I", 1)),
        ((2, 96, 4), {"polarization": "V", "beam": 1}, (24, "V", 4)),
        ((1, 96, 4), {"polarization": 2, "average": 96}, (1, 2, 96)),
        ((1, 90, 1), {}, (30, 0, 3)),
        ((1, 97, 2), {}, (97, 0, 1)),
    ],
)
def test_any_shape_is_received_and_the_average_is_the_largest_that_fits(shape, options, expected, receive, wait_for):
    spec = replace(SPEC, shape=shape)
    with SpectraSim(spec) as sim:
        receiver = receive(sim, **options)
        receiver.start()
        wait_for(lambda: receiver.account.received >= 3, what="spectra")
        spectra = receiver.newest(1)
    channels, polarization, average = expected
    values = Selection(polarization, average)(spec.scene().spectrum(int(spectra.unique_ids[0])))
    np.testing.assert_array_equal(spectra.values, values[options.get("beam", 0)][None])
    said = status(receiver)
    assert (said["buffer_shape"], said["average"]) == ([1200, channels], average)


def test_the_status_says_everything_and_is_json(sim, receive, wait_for):
    receiver = receive(sim, buffer_length=30)
    before = status(receiver)
    assert (before["running"], before["n_received"], before["buffer_index"]) == (False, 0, 0)
    assert f"{before['current_delay']:.3f}" == "0.000", "scripts format it before anything came"
    receiver.start()
    wait_for(lambda: status(receiver)["n_received"] > 100, what="spectra")
    wait_for(lambda: status(receiver)["rate"] > 100, what="a rate")
    said = status(receiver)
    assert (said["running"], said["is_running"], said["connected"]) == (True, True, True)
    assert (said["lost"], said["malformed"], said["repeated"], said["refused"]) == (0, {}, 0, 0)
    assert said["buffer_shape"] == [30, 768]
    assert 0 < said["current_delay"] < 1
    assert receiver.get_current_delay() == pytest.approx(said["current_delay"], abs=1)
    assert said["latest_min"] < said["latest_mean"] < said["latest_max"]
    assert said["silent_for"] < 1
    assert said["memory"]["receiver"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert (said["plot_running"], said["last_plot_time"], said["web_url"]) == (False, None, None)


def test_the_index_of_the_buffer_is_0_only_while_it_is_empty(few, receive, wait_for):
    receiver = receive(few, buffer_length=3)
    receiver.start()
    wait_for(lambda: receiver.account.received, what="a spectrum")
    seen = set()
    wait_for(lambda: seen.add(status(receiver)["buffer_index"]) or seen >= {1, 2, 3}, what="every index")
    assert seen == {1, 2, 3}


def test_starting_twice_and_stopping_twice_do_no_harm_and_both_can_be_repeated(few, receive, wait_for):
    receiver = receive(few)
    receiver.stop()
    for _ in range(3):
        receiver.start()
        receiver.start()
        assert receiver.running
        assert receiver.account.received == 0
        wait_for(lambda: receiver.account.received > 3, what="spectra")
        receiver.stop()
        receiver.stop()
        kept = receiver.account.received
        assert not status(receiver)["running"]
        assert receiver.get_latest_data(None).shape == (kept, 24), "the spectra stay"


def test_it_is_a_context_and_known_under_the_name_that_scripts_use(few, wait_for):
    port = int(few.address.rpartition(":")[2])
    with StreamReceiver(stream_port=port, plot_interval=0, plot_dir="/proc/nobody/looks/there") as receiver:
        wait_for(lambda: receiver.get_latest_data().size, what="a spectrum")
    assert not receiver.running


def test_two_receivers_of_one_publisher_do_not_mix(few, receive, wait_for):
    first, second = receive(few, average=1), receive(few, average=8)
    first.start()
    second.start()
    wait_for(lambda: first.account.received > 2 and second.account.received > 2, what="spectra")
    shapes = {name: RingView(name) for name in (first.ring.name, second.ring.name)}
    assert [view.frame(view.bounds()[1] - 1).payload.shape for view in shapes.values()] == [(1, 96), (1, 12)]
    for view in shapes.values():
        view.close()


def test_other_threads_may_ask_while_spectra_come(receive, wait_for):
    with SpectraSim(replace(SPEC, rate=2000, shape=(1, 96, 4))) as sim:
        receiver = receive(sim, buffer_length=200)
        receiver.start()
        wait_for(lambda: receiver.account.received > 200, what="spectra")
        wrong: list[object] = []

        def ask() -> None:
            for _ in range(20):
                spectra = receiver.newest(200)
                status(receiver)
                if len(spectra.times) != 200 or not (np.diff(spectra.unique_ids) == 1).all():
                    wrong.append(spectra.unique_ids)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert receiver.account.lost == 0


def test_what_goes_wrong_is_counted_by_kind(few, receive, wait_for):
    receiver = receive(few)
    receiver.start()
    wait_for(lambda: receiver.account.received > 5, what="spectra")
    before = few.counters()
    few.set_faults(SpectraFaults(skip_every=10, repeat_every=7, malformed_at=1, malformed_count=4, malformed="dtype"))
    wait_for(lambda: receiver.account.lost > 10 and receiver.account.repeated > 10, what="faults")
    few.set_faults()
    made = {name: count - before[name] for name, count in few.counters().items() if name in ("repeated", "skipped")}
    wait_for(lambda: status(receiver)["repeated"] == made["repeated"], what="the last of them")
    # what was skipped last is missed when the next one comes
    wait_for(lambda: status(receiver)["lost"] >= made["skipped"] + 4, what="the last that is missing")
    said = status(receiver)
    assert said["connected"]
    assert (said["malformed"], said["lost"]) == ({"dtype": 4}, made["skipped"] + 4)


def test_spectra_without_numbers_in_them_are_received_and_the_status_stays_json(few, receive, wait_for):
    few.set_faults(SpectraFaults(nan_every=1))
    receiver = receive(few, average=2)
    receiver.start()
    wait_for(lambda: receiver.account.received > 5, what="spectra")
    data = receiver.get_latest_data(3)
    assert np.isnan(data[:, ::5]).all()
    assert np.isfinite(data).sum() == 3 * (48 - 10), "and nothing else"
    assert math.isfinite(status(receiver)["latest_mean"])


def test_a_change_of_shape_is_a_new_beginning_and_no_crash(few, receive, wait_for):
    receiver = receive(few)
    receiver.start()
    wait_for(lambda: receiver.account.received > 5, what="spectra")
    few.set_faults(SpectraFaults(wrong_size_at=0))
    wait_for(lambda: receiver.get_latest_data().shape == (1, 12), what="the other shape")
    few.set_faults()
    wait_for(lambda: receiver.get_latest_data().shape == (1, 24), what="the first shape again")
    assert receiver.ring.statistics().epoch == 2
    assert (status(receiver)["malformed"], status(receiver)["refused"]) == ({}, 0)


def test_a_polarization_that_the_publisher_has_not_is_said_and_counted(receive, wait_for, caplog):
    with SpectraSim(replace(SPEC, shape=(1, 96, 2))) as sim:
        receiver = receive(sim, polarization="V")
        receiver.start()
        wait_for(lambda: status(receiver)["malformed"].get("selection", 0) > 3, what="refusals")
        assert status(receiver)["n_received"] == 0
    assert "polarization V asked for, the spectra have 2" in caplog.text


def test_a_buffer_that_would_take_all_the_memory_is_refused(few, receive, wait_for, caplog):
    receiver = receive(few, buffer_length=10_000_000)
    receiver.start()
    wait_for(lambda: status(receiver)["malformed"].get("selection"), what="a refusal")
    assert "keep fewer" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"buffer_length": 0}, "buffer of 0"),
        ({"plot_interval": 0.5}, "0 for none"),
        ({"plot_interval": -1}, "0 for none"),
        ({"plot_interval": math.nan}, "0 for none"),
        ({"polarization": "Q"}, "use I, V or a number"),
        ({"polarization": "all"}, "use I, V or a number"),
        ({"polarization": -1}, "use I, V or a number"),
        ({"average": 0}, "use 1 or more"),
        ({"beam": -1}, "count from 0"),
    ],
)
def test_what_cannot_be_is_said_when_it_is_made(options, words, receive):
    with pytest.raises(ValueError, match=words):
        receive(9798, **options)


def test_an_address_that_is_none_is_said_when_it_is_made():
    with pytest.raises(ConfigurationError, match="tcp://"):
        SpectraReceiver("nowhere at all")
