"""Connecting to a publisher of spectra: what its spectra look like, or why there are none."""

import socket
import time

import pytest
import zmq
from spectra_peers import GEOMETRY, a_message

from beamstream.errors import ConfigurationError, NotConnected, SourceError
from beamstream.frames import Geometry
from beamstream.ops.spectra import Selection
from beamstream.sim.loopback import free_port
from beamstream.sources.spectra import SpectraSource

QUICK = 1.0  # s; what must not wait for anybody, on a busy machine


def test_connecting_tells_the_geometry(publisher, source_of, repeating):
    repeating(a_message((2, 16, 4), "<f8"))
    assert source_of(publisher.address).connect(10.0) == Geometry((2, 16, 4), "<f8")


def test_the_first_valid_message_tells_the_geometry_whatever_comes_before(publisher, source_of, repeating):
    good = a_message()
    repeating([b"data", b"rubbish", b""])
    repeating([good[0], good[1], good[2] * 2])
    repeating(good)
    assert source_of(publisher.address).connect(10.0) == GEOMETRY


def test_without_a_publisher_the_error_says_so(source_of):
    port = free_port()
    source = source_of(f"tcp://127.0.0.1:{port}")
    before = time.monotonic()
    with pytest.raises(NotConnected, match=f"spec: no publisher at tcp://127.0.0.1:{port}"):
        source.connect(0.2)
    with pytest.raises(NotConnected, match=f"spec: no publisher at tcp://127.0.0.1:{port}"):
        source.start(object(), 0.2)  # pyright: ignore[reportArgumentType]
    assert time.monotonic() - before < 0.4 + QUICK
    assert not source.connected


def test_a_host_that_does_not_exist_is_no_publisher(source_of):
    with pytest.raises(NotConnected, match=r"no publisher at tcp://nowhere\.invalid:9798"):
        source_of("tcp://nowhere.invalid:9798").connect(0.2)


def test_a_name_is_looked_up(publisher, source_of, repeating):
    repeating(a_message())
    assert source_of(f"tcp://localhost:{publisher.port}").connect(10.0) == GEOMETRY


def test_a_silent_publisher_is_told_from_none(publisher, source_of):
    with pytest.raises(NotConnected, match=r"is connected, but sent no spectrum within 0\.3 s$"):
        source_of(publisher.address).connect(0.3)


def test_a_publisher_of_rubbish_is_told_from_a_silent_one(publisher, source_of, repeating):
    repeating([b"data", b"rubbish", b""])
    with pytest.raises(NotConnected, match=r"no spectrum within 0\.5 s; \d+ messages malformed \(first: the header is"):
        source_of(publisher.address).connect(0.5)


def test_what_listens_and_is_no_publisher_is_told_from_one(source_of):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with pytest.raises(NotConnected, match="is no ZeroMQ publisher"):
            source_of(f"tcp://127.0.0.1:{server.getsockname()[1]}").connect(0.3)


def test_a_selection_that_the_spectra_do_not_allow_is_an_error_that_names_the_source(publisher, source_of, repeating):
    repeating(a_message((1, 30, 2)))
    with pytest.raises(SourceError, match=r"^spec: .*polarization V asked for, the spectra have 2"):
        source_of(publisher.address, treat=Selection("V")).connect(10.0)
    with pytest.raises(SourceError, match=r"^spec: .*every 4 channels asked for, there are 30"):
        source_of(publisher.address, treat=Selection("I", 4)).connect(10.0)


def test_an_address_that_is_none_is_an_error_that_shows_a_right_one():
    for address in (
        "foo",
        "",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:99999",
        "tcp://127.0.0.1:port",
        "tcp://*:9798",
        "tcp://:9798",
        "udp://127.0.0.1:9798",
        "tcp://127.0.0.1:9798/x",
        "tcp://127.0.0.1:9798 ",
    ):
        with pytest.raises(ConfigurationError, match=r"use tcp://HOST:PORT .* as in tcp://127\.0\.0\.1:9798") as caught:
            SpectraSource(address)
        assert repr(address) in str(caught.value)


def test_an_address_may_be_written_as_documents_have_it():
    assert (
        SpectraSource("tcp://127.0.0.1:9798").uri == SpectraSource("zmq://127.0.0.1:9798").uri == "zmq://127.0.0.1:9798"
    )


def test_a_literal_ipv6_address_is_connected_to(source_of):
    context = zmq.Context()
    server = context.socket(zmq.PUB)
    server.setsockopt(zmq.IPV6, 1)
    try:
        try:
            port = server.bind_to_random_port("tcp://[::1]")
        except zmq.ZMQError:
            pytest.skip("this machine has no IPv6")
        with pytest.raises(NotConnected, match=r"tcp://\[::1\]:\d+ is connected, but sent no spectrum"):
            source_of(f"tcp://[::1]:{port}").connect(0.3)
    finally:
        context.destroy(linger=0)


def test_one_may_connect_while_the_source_is_started(publisher, subscribe, repeating, listener, wait_for):
    source = subscribe(publisher)
    repeating(a_message())
    assert source.connect(10.0) == GEOMETRY
    wait_for(lambda: listener.frames, what="a frame")
    assert source.connected
