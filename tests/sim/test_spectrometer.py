"""The simulated spectrometer: its wire, its pace, its faults, by real sockets."""

import json
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for spectra_subscriber

from spectra_subscriber import Subscriber

from beamstream.errors import ConfigurationError, MalformedMessage
from beamstream.sim.pace import GULP, Pace
from beamstream.sim.spectra_faults import MALFORMED, SpectraFaults
from beamstream.sim.spectrometer import Spectrometer, SpectrometerSpec
from beamstream.spectra_wire import time_of_tag

SMALL = (1, 64, 4)
RECORDERS = ["time_tag", "nbeam", "nchan", "npol", "timestamp", "last_block_time", "data_shape", "data_type"]


@contextmanager
def publishing(faults=None, *, high_water=0, **spec):
    """Run a spectrometer in a thread, to begin when its subscriber is there; high water 0: no limit on either side."""
    spec = SpectrometerSpec(**{"shape": SMALL, "rate": 500, "subscribers": 1, "high_water": high_water} | spec)
    with Spectrometer(spec, faults) as spectrometer:
        thread = threading.Thread(target=spectrometer.run)
        thread.start()
        subscriber = Subscriber(spectrometer.address, high_water)
        try:
            yield spectrometer, subscriber
        finally:
            spectrometer.stop()
            thread.join(5)
            subscriber.close()
            assert not thread.is_alive()


@pytest.mark.parametrize("shape", [(1, 3072, 4), (3, 100, 2), (2, 1, 1)])
@pytest.mark.parametrize("sequence", [True, False])
def test_message_n_carries_spectrum_n_of_the_scene(shape, sequence):
    with publishing(shape=shape, seed=3, sequence=sequence) as (spectrometer, subscriber):
        messages = subscriber.take(30)
    scene = spectrometer.spec.scene()
    for number, message in enumerate(messages):
        assert np.array_equal(message.spectrum.values, scene.spectrum(number))
        assert message.spectrum.sequence == (number if sequence else None)


def test_without_a_sequence_the_header_is_the_recorders_to_the_letter():
    with publishing(sequence=False) as (_, subscriber):
        (message,) = subscriber.take(1)
    topic, _, values = message.parts
    header = message.header
    assert (topic, list(header), len(values)) == (b"data", RECORDERS, 64 * 4 * 4)
    assert (header["data_shape"], header["data_type"]) == ([1, 64, 4], "<f4")
    assert (header["nbeam"], header["nchan"], header["npol"]) == SMALL
    assert isinstance(header["time_tag"], int)


def test_block_times_advance_by_the_cadence_from_the_time_tag_on_and_whole_seconds_have_no_fraction():
    with publishing(interval=1 / 40) as (_, subscriber):
        messages = subscriber.take(41)
    times = [m.spectrum.last_block_time for m in messages]
    assert np.diff(times) == pytest.approx(1 / 40, abs=2e-6)
    (tag,) = {m.header["time_tag"] for m in messages}
    assert 0 <= time_of_tag(tag) - times[0] < 1
    assert abs(times[0] - time.time()) < 5
    assert ["." in m.header["last_block_time"] for m in messages[39:]] == [True, False]
    delays = [time.time() - time.monotonic() + m.arrived - m.spectrum.timestamp for m in messages]
    assert np.median(delays) == pytest.approx(0, abs=0.05)


def test_gulps_come_as_two_messages_of_one_timestamp_and_silence():
    with publishing(gulps=True) as (spectrometer, subscriber):
        messages = subscriber.take(4)
    timestamps = [m.header["timestamp"] for m in messages]
    assert timestamps[0] == timestamps[1] < timestamps[2] == timestamps[3]
    arrived = np.array([m.arrived for m in messages])
    assert np.diff(arrived) == pytest.approx([0.15, GULP - 0.15, 0.15], abs=0.12)
    assert np.diff([m.spectrum.last_block_time for m in messages]) == pytest.approx(GULP / 2, abs=2e-6)
    assert spectrometer.spec.cadence == pytest.approx(0.513588, abs=1e-6)


@pytest.mark.parametrize("rate", [300, 4000])
def test_the_rate_is_kept_without_drift(rate, wait_for):
    number = rate // 2
    with publishing(rate=rate, number=number) as (spectrometer, subscriber):
        assert subscriber.sequences(number) == list(range(number))
        wait_for(lambda: spectrometer.counters()["done"], what="the end")
        counters = spectrometer.counters()
    assert (counters["made"], counters["sent"], counters["slipped"]) == (number, number, 0)
    assert (number - 1) / rate <= counters["seconds"] < 1  # an absolute clock makes up for what others took
    assert counters["rate"] == (number - 1) / counters["seconds"]


def test_a_rate_that_cannot_be_kept_is_counted_as_late(wait_for):
    with publishing(rate=1e6, number=3000, lossless=True) as (spectrometer, subscriber):
        subscriber.take(3000)
        wait_for(lambda: spectrometer.counters()["done"], what="the end")
        counters = spectrometer.counters()
    assert counters["late"] > 10
    assert counters["behind"] > 0.002


def test_the_pace_is_that_of_an_absolute_clock():
    pace = Pace(100, gulps=False, now=50.0)
    for number in range(1000):
        assert pace.due == pytest.approx(50 + number / 100, abs=1e-9)
        pace.sent(pace.due + (0.005 if number % 3 else 0.03))
    assert (pace.late, pace.slipped) == (334, 0)
    assert pace.behind == pytest.approx(0.03)


def test_more_than_a_second_behind_is_given_up():
    pace = Pace(100, gulps=False, now=0.0)
    pace.sent(0.9)
    assert pace.due == pytest.approx(0.01)
    pace.sent(5.01)
    assert (pace.due, pace.slipped) == (pytest.approx(5.02), pytest.approx(5))


def test_nothing_is_made_before_the_subscribers_are_there(wait_for):
    spec = SpectrometerSpec(shape=SMALL, rate=500, subscribers=2)
    with Spectrometer(spec) as spectrometer:
        thread = threading.Thread(target=spectrometer.run)
        thread.start()
        first = Subscriber(spectrometer.address, topic=b"data")
        other = Subscriber(spectrometer.address, topic=b"weather")  # of something else
        wait_for(lambda: spectrometer.counters()["subscribers"] == 1, what="the first")
        assert first.receive(0.2) is None
        second = Subscriber(spectrometer.address)
        assert first.sequences(10) == second.sequences(10) == list(range(10))
        assert spectrometer.counters()["subscribers"] == 2
        second.close()
        wait_for(lambda: spectrometer.counters()["subscribers"] == 1, what="the second to be missed")
        spectrometer.stop()
        thread.join(5)
        first.close()
        other.close()


def test_without_a_rate_it_is_as_fast_as_it_goes_and_lossless_waits_for_the_slow(wait_for):
    number, shape = 1000, (1, 3072, 4)  # 49 MB, more than sockets and queues hold
    options = {"rate": 0, "number": number, "shape": shape}
    with publishing(lossless=True, high_water=10, **options) as (spectrometer, subscriber):
        wait_for(lambda: _rests(spectrometer), what="it to wait")
        assert spectrometer.counters()["made"] < number
        assert subscriber.sequences(number) == list(range(number))
        wait_for(lambda: spectrometer.counters()["done"], what="the end")
    with publishing(lossless=False, high_water=10, **options) as (spectrometer, subscriber):
        wait_for(lambda: spectrometer.counters()["done"], what="the end")
        came = 0
        while subscriber.receive(0.3):
            came += 1
    assert 10 < came < number


def _rests(spectrometer):
    made = spectrometer.counters()["made"]
    time.sleep(0.1)
    return made > 10 and spectrometer.counters()["made"] == made


def test_skipped_messages_are_missing_and_counted(wait_for):
    faults = SpectraFaults(skip_every=5, skip_ids=frozenset({2, 3}))
    with publishing(faults, number=20) as (spectrometer, subscriber):
        assert subscriber.sequences(14) == [n for n in range(20) if n % 5 != 4 and n not in (2, 3)]
        wait_for(lambda: spectrometer.counters()["done"], what="the end")
        counters = spectrometer.counters()
    assert (counters["made"], counters["sent"], counters["skipped"]) == (20, 14, 6)


def test_random_losses_are_those_of_the_seed():
    lost = [[n for n in range(1000) if not SpectraFaults(skip_random=0.1, seed=s).copies(n, n)] for s in (1, 1, 2)]
    assert lost[0] == lost[1] != lost[2]
    assert 60 < len(lost[0]) < 140


def test_repeated_messages_are_the_same_to_the_bit(wait_for):
    with publishing(SpectraFaults(repeat_every=3), number=6) as (spectrometer, subscriber):
        messages = subscriber.take(8)
        wait_for(lambda: spectrometer.counters()["done"], what="the end")
        counters = spectrometer.counters()
    assert [m.header["sequence"] for m in messages] == [0, 1, 2, 2, 3, 4, 5, 5]
    assert messages[2].parts == messages[3].parts
    assert (counters["made"], counters["sent"], counters["repeated"]) == (6, 8, 2)


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_message_is_wrong_as_asked_for_and_the_next_is_good_again(kind):
    expected = {"json": "header", "binary": "topic"}.get(kind, kind)
    with publishing(SpectraFaults(malformed=kind, malformed_at=2, malformed_count=3)) as (spectrometer, subscriber):
        messages = subscriber.take(8)
        assert spectrometer.counters()["malformed"] == 3
    scene = spectrometer.spec.scene()
    for number, message in enumerate(messages):
        if 2 <= number < 5:
            with pytest.raises(MalformedMessage) as caught:
                message.spectrum  # noqa: B018
            assert caught.value.kind == expected
        else:
            assert np.array_equal(message.spectrum.values, scene.spectrum(number))


def test_from_a_message_on_there_are_half_the_channels():
    with publishing(SpectraFaults(wrong_size_at=2)) as (spectrometer, subscriber):
        values = [m.spectrum.values for m in subscriber.take(4)]
    assert [v.shape for v in values] == [SMALL] * 2 + [(1, 32, 4)] * 2
    assert np.array_equal(values[3], spectrometer.spec.scene().spectrum(3)[:, :32])


def test_nan_comes_when_asked_for():
    with publishing(SpectraFaults(nan_every=2)) as (_, subscriber):
        bad = [np.isnan(m.spectrum.values).any(axis=2)[0].nonzero()[0].tolist() for m in subscriber.take(4)]
    assert bad == [[], list(range(0, 64, 10))] * 2


def test_a_stalled_stream_goes_on_where_it_stopped_when_the_faults_are_cleared():
    with publishing(SpectraFaults(silent_after=5)) as (spectrometer, subscriber):
        before = subscriber.take(5)
        assert subscriber.receive(0.3) is None
        spectrometer.set_faults(SpectraFaults())
        after = subscriber.take(20)
        counters = spectrometer.counters()
    assert [m.header["sequence"] for m in after] == list(range(5, 25))
    assert after[0].spectrum.last_block_time - before[-1].spectrum.last_block_time == pytest.approx(1 / 500, abs=2e-6)
    assert counters["slipped"] == 0
    assert counters["behind"] < 0.25  # it does not hurry to make up for it


def test_a_stall_may_end_by_itself():
    with publishing(SpectraFaults(silent_after=5, silent_seconds=0.3)) as (_, subscriber):
        messages = subscriber.take(10)
    assert [m.header["sequence"] for m in messages] == list(range(10))
    gaps = np.diff([m.arrived for m in messages])
    assert np.argmax(gaps) == 4
    assert gaps[4] == pytest.approx(0.3, abs=0.15)


@pytest.mark.parametrize("jump", [0.0, 12.5])
def test_a_restarted_sequence_begins_at_0_with_another_time_tag(jump):
    with publishing(SpectraFaults(restart_at=3, restart_jump=jump)) as (spectrometer, subscriber):
        messages = subscriber.take(6)
    assert [m.header["sequence"] for m in messages] == [0, 1, 2, 0, 1, 2]
    tags = [m.header["time_tag"] for m in messages]
    assert tags[0] == tags[2] != tags[3] == tags[5]
    assert time_of_tag(tags[3]) - time_of_tag(tags[0]) == pytest.approx(0.006 + jump, abs=2e-6)
    steps = np.diff([m.spectrum.last_block_time for m in messages])
    assert steps == pytest.approx([0.002, 0.002, 0.002 + jump, 0.002, 0.002], abs=2e-6)
    assert np.array_equal(messages[5].spectrum.values, spectrometer.spec.scene().spectrum(5))


def test_faults_set_later_count_from_then_on():
    with publishing(rate=200) as (spectrometer, subscriber):
        subscriber.take(10)
        spectrometer.set_faults(SpectraFaults(skip_every=4))
        sequences = subscriber.sequences(60)
    steps = np.diff(sequences)
    first = int(np.argmax(steps == 2))
    assert steps[first:].tolist() == ([2, 1, 1] * 40)[: len(steps) - first]


def test_faults_and_specifications_survive_json():
    faults = SpectraFaults(skip_ids=frozenset({3, 1}), malformed="size", silent_after=4)
    spec = SpectrometerSpec(rate=0, gulps=True, shape=(2, 3, 4), interval=0.1)
    assert SpectraFaults.from_dict(json.loads(json.dumps(faults.to_dict()))) == faults
    assert SpectrometerSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(ValueError, match="a rate of -1"):
        SpectrometerSpec(rate=-1)
    with pytest.raises(ValueError, match="use one of json"):
        SpectraFaults.from_dict({"malformed": "nonsense"})


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "tcp://256.0.0.1:9", "nonsense"])
def test_an_address_that_cannot_be_bound_is_an_error_at_once(address):
    with Spectrometer(SpectrometerSpec(shape=SMALL)) as other:
        address = address.format(port=other.address.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=f"to publish at {address} asked for"):
            Spectrometer(SpectrometerSpec(shape=SMALL, address=address))
