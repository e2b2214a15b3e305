"""Peers that are no publisher, or one that no library would make: the source says so, keeps its size, and lives on."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from beamstream.errors import NotConnected
from beamstream.sources.spectra_inflow import Inflow
from beamstream.sources.spectra_socket import Endpoint, Subscription

GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + b"\0" * 32
MORE, LONG = 1, 2  # flags of a frame
MUCH = 500e6  # bytes
Talk = Callable[[socket.socket], None]


def command(name: bytes, **properties: bytes) -> bytes:
    body = bytes([len(name)]) + name
    for key, value in properties.items():
        key = key.replace("_", "-").encode()
        body += bytes([len(key)]) + key + struct.pack(">I", len(value)) + value
    return b"\x04" + bytes([len(body)]) + body


def part(data: bytes, *, more: bool = True) -> bytes:
    if len(data) < 256:
        return bytes([MORE * more, len(data)]) + data
    return bytes([MORE * more + LONG]) + struct.pack(">Q", len(data)) + data


READY = command(b"READY", Socket_Type=b"PUB")


def shake_hands(connection: socket.socket) -> None:
    """Become a publisher that somebody has subscribed to."""
    connection.sendall(GREETING + READY)
    said = b""
    while b"\x01data" not in said:
        said += connection.recv(4096)


def over_and_over(data: bytes) -> Talk:
    """Shake hands, begin a message, and never end it."""

    def talk(connection: socket.socket) -> None:
        shake_hands(connection)
        connection.sendall(part(b"data"))
        while True:
            connection.sendall(data)

    return talk


def saying(data: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(4096):
            pass

    return talk


@pytest.fixture
def peer() -> Iterator[Callable[[Talk], str]]:
    """Return a function that has something said to everybody who connects; it returns the address."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(target: Callable[..., None], *args: object) -> None:
        threads.append(threading.Thread(target=target, args=args))
        threads[-1].start()

    def answer(connection: socket.socket, talk: Talk) -> None:
        try:
            talk(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def serve(server: socket.socket, talk: Talk) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            sockets.append(connection)
            run(answer, connection, talk)

    def begin(talk: Talk) -> str:
        sockets.append(socket.create_server(("127.0.0.1", 0)))
        run(serve, sockets[-1], talk)
        return f"tcp://127.0.0.1:{sockets[-1].getsockname()[1]}"

    yield begin
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        each.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("parts", [part(b"x" * 60_000) * 16, part(b"") * 100_000], ids=["large parts", "empty parts"])
def test_a_message_without_an_end_is_cut_off_and_does_not_fill_the_memory(parts, peer, source_of, listener, wait_for):
    me = psutil.Process()
    before = me.memory_info().rss
    most = 0

    def cut_off() -> bool:
        nonlocal most
        most = max(most, me.memory_info().rss - before)
        assert most < MUCH
        return bool(listener.errors)

    source = source_of(peer(over_and_over(parts)))
    source.start(listener, 10.0)
    wait_for(cut_off, timeout=20, what="the end of it")
    wait_for(lambda: False in listener.connections, what="the connection to be given up")
    source.close()
    assert source.counters.malformed_kinds == {"endless": 1}
    assert listener.frames == listener.failures == []


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        GREETING[:20],
        GREETING,
        GREETING + READY[:9],
        GREETING + command(b"READY", Socket_Type=b"PULL"),
        GREETING + command(b"ERROR") + READY,
        b"\xff" * 1000,
        b"\0" * 1000,
    ],
    ids=["HTTP", "half a greeting", "no handshake", "half a handshake", "another socket", "an error", "ones", "zeros"],
)
def test_what_does_not_shake_hands_is_no_publisher(said, peer, source_of):
    with pytest.raises(NotConnected, match="is no ZeroMQ publisher; is the port right"):
        source_of(peer(saying(said))).connect(0.25)


def test_a_publisher_that_announces_more_than_a_message_may_have_is_not_believed(peer, source_of):
    before = psutil.Process().memory_info().rss

    def talk(connection: socket.socket) -> None:
        shake_hands(connection)
        connection.sendall(part(b"data") + part(b"{}") + bytes([LONG]) + struct.pack(">Q", 2**62))
        connection.recv(1)

    with pytest.raises(NotConnected, match="no ZeroMQ publisher"):  # disconnected, and not asked again so soon
        source_of(peer(talk)).connect(0.25)
    assert psutil.Process().memory_info().rss < before + 30e6


# the account


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        with theirs:
            yield ours, theirs


def test_what_comes_and_is_taken_is_no_excess_and_what_waits_too_long_is(connection):
    ours, theirs = connection
    inflow = Inflow(ours.fileno(), ours.getpeername()[1], largest=0, memory=0)
    bound, sent = 2**20, 0
    try:
        while sent < 3 * bound:
            theirs.sendall(part(b"x" * 60_000))
            ours.recv(60_009, socket.MSG_WAITALL)
            inflow.take(60_000)
            sent += 60_009
            assert not inflow.excess(idle=False)
        assert not inflow.excess(idle=True)
        while sent < 5 * bound:
            theirs.sendall(part(b"x" * 60_000))
            ours.recv(60_009, socket.MSG_WAITALL)
            sent += 60_009
        assert inflow.excess(idle=False) >= 2 * bound - 60_009
        assert not inflow.excess(idle=True)  # all of it came since the last look: it may be a whole message by now
        assert inflow.excess(idle=True) >= 2 * bound - 60_009
    finally:
        inflow.close()


def test_an_honest_stream_is_never_in_excess_however_long(publisher, wait_for):
    news = []
    bounds = {"largest": 1000, "waiting": 10**6, "memory": -(2**16)}  # so that nothing but the handshake is allowed
    with Subscription(Endpoint.parse(publisher.address), **bounds) as subscription:
        wait_for(lambda: news.extend(subscription.notice()) or subscription.connected, what="the connection")
        publisher.meet()
        for size in (0, 255, 256, 600):
            for _ in range(10):
                for _ in range(100):
                    publisher.send_parts([b"data", bytes(size), b""])
                for _ in range(100):  # never idle: the account begins anew then
                    assert subscription.receive() is not None
                news += subscription.notice()
    assert news == [True]


def test_a_number_that_is_no_longer_our_connection_is_not_looked_at(connection):
    ours, theirs = connection
    for fd, port in ((ours.fileno(), 1), (10_000, 1), (0, 1)):
        inflow = Inflow(fd, port, largest=0, memory=-(2**30))
        theirs.sendall(b"x" * 1000)
        assert not inflow.excess(idle=False)
        inflow.close()
