"""The publisher through real sockets: what goes over the wire, what is counted, what it never does."""

import contextlib
import itertools
import json
import socket
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import zmq

from beamstream.errors import SinkError
from beamstream.sinks.spectra_publisher import PublisherCounters, SpectraPublisher
from beamstream.spectra_wire import decode

ANY = "tcp://127.0.0.1:*"
SHAPE = (1, 96, 4)
TIME_TAG = 344085352899674112
START = datetime(2025, 8, 18, 17, 18, 34, 794256, UTC).timestamp()  # of that tag
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)  # of ZMTP 3.0
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
RECORDERS = ["time_tag", "nbeam", "nchan", "npol", "timestamp", "last_block_time", "data_shape", "data_type"]


def gulp(times, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(1000, 30, (times, *shape)).astype("f4")


class Subscriber:
    """Somebody else's: ZeroMQ and the description of the format, nothing of ours."""

    def __init__(self, address, topic=b"data", queue=0):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.set(zmq.RCVHWM, queue)
        self.socket.subscribe(topic)
        self.socket.connect(address)

    def parts(self, timeout=5.0):
        assert self.socket.poll(1000 * timeout), "no message"
        return self.socket.recv_multipart()

    def read(self, timeout=5.0):
        """Return header and values."""
        topic, header, data = self.parts(timeout)
        said = json.loads(header.decode("utf-8"))
        assert topic == b"data"
        assert said["data_shape"] == [said["nbeam"], said["nchan"], said["npol"]]
        return said, np.frombuffer(data, said["data_type"]).reshape(said["data_shape"])

    def pending(self):
        return bool(self.socket.poll(50))

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture
def subscribe():
    made = []

    def one(address, **options):
        made.append(Subscriber(address, **options))
        return made[-1]

    yield one
    for subscriber in made:
        subscriber.close()


@pytest.fixture
def joined(subscribe):
    """Make a publisher with a subscriber that is there."""
    publishers = []

    def make(**options):
        publisher = SpectraPublisher(ANY, **options)
        publishers.append(publisher)
        subscriber = subscribe(publisher.address)
        assert publisher.wait(5.0)
        return publisher, subscriber

    yield make
    for publisher in publishers:
        publisher.close()


def test_a_gulp_becomes_a_message_for_each_interval(joined):
    publisher, subscriber = joined(interval=0.2)
    samples, before = gulp(250), time.time()
    assert publisher.add(samples, START, 0.004) == 5
    for number in range(5):
        parts = subscriber.parts()
        theirs, ours = json.loads(parts[1]), decode(parts)
        mean = samples[50 * number : 50 * number + 50].mean(axis=0, dtype="f8").astype("f4")
        np.testing.assert_array_equal(np.frombuffer(parts[2], "<f4").reshape(theirs["data_shape"]), mean)
        np.testing.assert_array_equal(ours.values, mean)
        last = START + 0.2 * (number + 1) - 0.004
        assert ours.last_block_time == pytest.approx(last, abs=2e-6)
        assert theirs["last_block_time"] == str(datetime.fromtimestamp(last, UTC).replace(tzinfo=None))
        assert before <= theirs["timestamp"] <= time.time()
        assert (ours.sequence, theirs["sequence"]) == (number, number)
        assert abs(ours.time_tag - TIME_TAG) < 196  # 1 µs
        assert ours.time_tag == publisher.time_tag
    assert publisher.counters == PublisherCounters(5, 250, 0, 0, 0, 0, 1)


def test_what_remains_leaves_when_the_publisher_is_closed(joined):
    publisher, subscriber = joined(interval=1.0)
    assert publisher.add(gulp(14), START, 0.1) == 1
    assert publisher.counters.waiting == 4
    publisher.close()
    publisher.close()
    assert subscriber.read()[0]["sequence"] == 0
    said, values = subscriber.read()
    np.testing.assert_array_equal(values, gulp(14)[10:].mean(axis=0, dtype="f8").astype("f4"))
    assert said["last_block_time"] == "2025-08-18 17:18:36.094256"
    assert publisher.counters == PublisherCounters(2, 14, 0, 1, 0, 0, 1)


def test_an_error_in_between_loses_nothing_of_what_was_given(joined):
    publisher, subscriber = joined(interval=1.0)
    with pytest.raises(ZeroDivisionError), publisher:
        _ = publisher.add(gulp(4), START, 0.1) / 0
    np.testing.assert_array_equal(subscriber.read()[1], gulp(4).mean(axis=0, dtype="f8").astype("f4"))


def test_a_shorter_average_can_be_asked_for(joined):
    publisher, subscriber = joined(interval=1.0)
    assert publisher.flush() == 0
    publisher.add(gulp(4), START, 0.1)
    assert publisher.flush() == 1
    assert subscriber.read()[0]["sequence"] == 0
    assert publisher.counters.short == 1


def test_headers_have_the_keys_of_the_recorder_and_a_number(joined):
    publisher, subscriber = joined(interval=1.0)
    publisher.add(gulp(2), START, 0.5)
    said, _ = subscriber.read()
    assert list(said) == [*RECORDERS, "sequence"]
    assert (said["nbeam"], said["nchan"], said["npol"], said["data_type"]) == (*SHAPE, "<f4")


def test_without_numbers_headers_have_just_the_keys_of_the_recorder(joined):
    publisher, subscriber = joined(interval=1.0, sequence=False, time_tag=TIME_TAG)
    publisher.add(gulp(3), float(int(START)), 0.5)
    said, _ = subscriber.read()
    assert list(said) == RECORDERS
    assert said["time_tag"] == TIME_TAG
    assert said["last_block_time"] == "2025-08-18 17:18:34.500000"
    publisher.flush()
    assert subscriber.read()[0]["last_block_time"] == "2025-08-18 17:18:35"  # as str(datetime) has it


@pytest.mark.parametrize("shape", [(1, 3072, 4), (3, 17, 2), (1, 1, 1)])
def test_any_number_of_beams_channels_and_polarizations_is_published(joined, shape):
    publisher, subscriber = joined(interval=1.0)
    samples = (1000 * gulp(5, shape=shape)).astype(">i4")
    publisher.add(samples, START, 0.2)
    said, values = subscriber.read()
    assert said["data_shape"] == list(shape)
    np.testing.assert_array_equal(values, samples.mean(axis=0, dtype="f8").astype("f4"))


def test_nan_passes_through_and_the_header_stays_json(joined):
    publisher, subscriber = joined(interval=1.0)
    samples = gulp(4)
    samples[0, 0, 5, 1], samples[1, 0, 6, 2] = np.nan, -np.inf
    publisher.add(samples, START, 0.5)
    _, first = subscriber.read()
    _, second = subscriber.read()
    assert np.argwhere(~np.isfinite(first)).tolist() == [[0, 5, 1], [0, 6, 2]]
    assert np.isfinite(second).all()


def test_by_the_wall_clock_a_message_holds_all_that_came(joined, wait_for):
    publisher, subscriber = joined(interval=0.1, clock="wall")
    times = itertools.count(START, 1000.0)  # by their own clock each would be a message
    wait_for(lambda: publisher.add(gulp(2), next(times), 500.0), what="a message")
    counters, (said, values) = publisher.counters, subscriber.read()
    assert (counters.published, counters.short, counters.waiting) == (1, 0, 0)
    assert counters.samples > 2
    assert said["sequence"] == 0
    np.testing.assert_allclose(values, gulp(2).mean(axis=0, dtype="f8"), rtol=1e-6)


def test_spectra_of_another_shape_are_refused_and_those_before_go_on(joined):
    publisher, subscriber = joined(interval=1.0)
    publisher.add(gulp(1), START, 0.5)
    with pytest.raises(SinkError, match="spectra of 1 × 48 × 4 given, they were 1 × 96 × 4"):
        publisher.add(gulp(1, shape=(1, 48, 4)), START + 0.5, 0.5)
    assert publisher.add(gulp(1), START + 0.5, 0.5) == 1
    assert subscriber.read()[0]["nchan"] == 96


def test_what_nobody_hears_is_counted(subscribe):
    with SpectraPublisher(ANY, interval=1.0) as publisher:
        assert not publisher.wait(0.01)
        publisher.add(gulp(3), START, 1.0)
        assert publisher.counters.unheard == 3
        subscriber = subscribe(publisher.address)
        assert publisher.wait(5.0)
        publisher.add(gulp(2), START + 3, 1.0)
        assert [subscriber.read()[0]["sequence"] for _ in range(2)] == [3, 4]
        assert (publisher.counters.unheard, publisher.counters.published) == (3, 5)


def present(publisher):
    publisher.wait(0)
    return publisher.counters.subscribers


def test_subscribers_are_counted_as_they_come_and_go(subscribe, wait_for):
    with SpectraPublisher(ANY) as publisher:
        first, second = subscribe(publisher.address), subscribe(publisher.address, topic=b"")
        subscribe(publisher.address, topic=b"weather")
        wait_for(lambda: present(publisher) == 2, what="both")
        first.close()
        wait_for(lambda: present(publisher) == 1, what="one to go")
        second.close()
        wait_for(lambda: present(publisher) == 0, what="nobody")


def test_what_is_no_subscription_is_not_counted():
    with SpectraPublisher(ANY) as publisher, zmq.Context() as context, context.socket(zmq.XSUB) as peer:
        peer.linger = 0
        peer.connect(publisher.address)
        for request in (b"\x00data", b"hello", b"", b"\x02data", b"\x01x", b"\x01dat"):
            peer.send(request)
        assert publisher.wait(5.0)
        assert publisher.counters.subscribers == 1


def test_who_subscribes_to_a_megabyte_is_shown_the_door_and_others_are_served(subscribe, wait_for):
    with SpectraPublisher(ANY, interval=1.0) as publisher:
        port = int(publisher.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer, contextlib.suppress(ConnectionError):
            peer.sendall(GREETING + READY + b"\x02" + (2**20).to_bytes(8, "big") + b"\x01data" + bytes(2**20 - 5))
            while peer.recv(4096):  # raises TimeoutError where it may stay
                pass
        subscriber = subscribe(publisher.address)
        wait_for(lambda: present(publisher) == 1, what="the other one")
        publisher.add(gulp(1), START, 1.0)
        assert subscriber.read()[0]["sequence"] == 0


def test_a_slow_subscriber_loses_alone_and_holds_nobody_up(subscribe, wait_for):
    sample, number, longest = gulp(1, shape=(1, 3072, 4)), 0, 0.0
    with SpectraPublisher(ANY, interval=1.0, queue=5) as publisher:
        slow, fast = subscribe(publisher.address, queue=1), subscribe(publisher.address)
        wait_for(lambda: present(publisher) == 2, what="both")
        while not publisher.counters.overflows and number < 20_000:
            began = time.perf_counter()
            publisher.add(sample, START + number, 1.0)
            longest = max(longest, time.perf_counter() - began)
            assert fast.read()[0]["sequence"] == number  # none is missing
            number += 1
        publisher.add(sample, START + number, 1.0)
        assert fast.read()[0]["sequence"] == number
        assert publisher.counters.overflows == 1
        assert longest < 1.0
        theirs = [slow.read()[0]["sequence"]]
        while slow.pending():
            theirs.append(slow.read()[0]["sequence"])
        assert theirs == list(range(number - 1))  # all but the last two, which its queue had no room for
        for late in range(2):  # it takes part again
            publisher.add(sample, START + number + 1 + late, 1.0)
        assert slow.read()[0]["sequence"] == number + 1
        assert publisher.counters.overflows == 1


def test_the_rest_is_not_put_into_a_message_that_ctrl_c_broke_off(joined, monkeypatch):
    publisher, subscriber = joined(interval=1.0)

    def broken_off(socket, parts, flags=0):
        socket.send(parts[0], flags | zmq.SNDMORE)
        raise KeyboardInterrupt

    monkeypatch.setattr(zmq.Socket, "send_multipart", broken_off)
    with pytest.raises(KeyboardInterrupt):
        publisher.add(gulp(3), START, 0.6)
    monkeypatch.undo()
    with pytest.raises(SinkError, match="it is closed"):
        publisher.add(gulp(1), START + 1.2, 0.6)
    publisher.close()
    assert not subscriber.pending()


def test_a_port_in_use_is_an_error_that_names_it():
    with SpectraPublisher(ANY) as publisher, pytest.raises(SinkError, match=f"{publisher.address} .* it is in use"):
        SpectraPublisher(publisher.address)
    SpectraPublisher(publisher.address).close()  # it is free again


def test_an_address_of_another_machine_is_an_error():
    with pytest.raises(SinkError, match=r"192\.0\.2\.1:9798 .* no such address; use 127\.0\.0\.1"):
        SpectraPublisher("tcp://192.0.2.1:9798")


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SinkError, match="No such file or directory"):
        SpectraPublisher(f"ipc://{tmp_path}/nowhere/socket")


def test_a_file_is_an_address_too(tmp_path, subscribe):
    with SpectraPublisher(f"ipc://{tmp_path}/socket", interval=1.0) as publisher:
        subscriber = subscribe(publisher.address)
        assert publisher.wait(5.0)
        publisher.add(gulp(1), START, 1.0)
        assert subscriber.read()[0]["sequence"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "127.0.0.1:9798"}, "address '127.0.0.1:9798' given; give tcp://HOST:PORT"),
        ({"address": "tcp://127.0.0.1"}, "address"),
        ({"address": "tcp://127.0.0.1:65536"}, "address"),  # ZeroMQ would open port 0
        ({"interval": 0.0}, "interval = 0.0"),
        ({"interval": float("nan")}, "interval = nan"),
        ({"interval": float("inf")}, "interval = inf"),
        ({"clock": "sun"}, "clock = 'sun'"),
        ({"queue": 0}, "queue = 0"),
    ],
)
def test_wrong_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        SpectraPublisher(**({"address": ANY} | options))


def test_a_closed_publisher_says_so():
    publisher = SpectraPublisher(ANY)
    publisher.close()
    for use in (lambda: publisher.add(gulp(1), START, 1.0), publisher.flush, lambda: publisher.wait(0)):
        with pytest.raises(SinkError, match=r"to be used, but it is closed; make a new one"):
            use()
