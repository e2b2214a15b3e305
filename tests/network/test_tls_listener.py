"""Connections over TLS count, and have deadlines, before both sides have agreed on anything."""

import ssl
from contextlib import ExitStack, suppress
from dataclasses import replace

import httpx
import pytest
from serving import KEY, Application, connect, ended, gated, head, serving, status_of
from websockets.sync.client import connect as websocket

from beamstream.network.limits import Limits

SHORT = Limits(head=1.0, idle=30.0, connections=40)


@pytest.fixture(scope="module")
def trusting(local_tls) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=local_tls.cert)


@pytest.fixture
def address(local_tls):
    with serving(gated(Application()), limits=SHORT, tls=local_tls) as address:
        yield address


def hello(trusting: ssl.SSLContext) -> bytes:
    """Return what a client begins with."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        trusting.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("part", [0, 1, 100, None], ids=["nothing", "a-byte", "half", "all-but-an-answer"])
def test_a_connection_that_does_not_go_on_to_agree_is_ended_at_the_deadline_of_a_head(address, trusting, part):
    with connect(address) as connection:
        connection.sendall(hello(trusting)[:part])
        assert ended(connection) < 30  # asyncio alone: 60 s


def test_what_is_no_tls_is_not_answered(address, trusting):
    with connect(address) as connection:
        connection.sendall(head(address))
        assert status_of_bytes(connection.recv(1000)) is None
    assert httpx.get(f"https://{address}/", verify=trusting).status_code == 200


def status_of_bytes(answer: bytes) -> int | None:
    return int(answer.split()[1]) if answer.startswith(b"HTTP") else None


def test_silent_connections_give_way_before_they_have_agreed(local_tls, trusting):
    patient = replace(SHORT, head=300.0)
    with serving(gated(Application()), limits=patient, tls=local_tls) as address, ExitStack() as stack:
        silent = [stack.enter_context(connect(address)) for _ in range(4 * SHORT.connections)]
        assert httpx.get(f"https://{address}/", verify=trusting, timeout=30).status_code == 200
        assert ended(silent[0]) < 30
        silent[-1].settimeout(0.0)
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)


def test_a_server_that_ends_waits_for_nobody_who_has_not_agreed(local_tls):
    with ExitStack() as stack:
        with serving(gated(Application()), limits=replace(SHORT, head=300.0), tls=local_tls) as address:
            silent = stack.enter_context(connect(address))
        assert ended(silent) < 30


def test_requests_bodies_and_websockets_go_over_it_as_without(address, trusting):
    with httpx.Client(base_url=f"https://{address}", verify=trusting, headers={"X-API-KEY": KEY}) as client:
        for _ in range(3):
            assert client.put("/large", content=bytes(3 << 20)).json()["came"] == 3 << 20
    with connect(address) as plain, trusting.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(head(address))
        assert status_of(connection) == 200
    headers = {"X-API-KEY": KEY}
    with websocket(f"wss://{address}/ws", ssl=trusting, additional_headers=headers, proxy=None) as socket:
        socket.send("a")
        assert socket.recv(timeout=30) == "a"
