"""Deadlines and bounds of a server: for heads, bodies, answers, silent connections and websockets."""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace

import httpx
import pytest
from serving import KEY, connect, ended, gated, head, serving, status_of
from websockets.sync.client import connect as websocket

from beamstream.network.limits import Limits

SHORT = Limits(head=1.0, idle=1.0, body=1.0, body_bytes=100, stalled=1.0, linger=1.0, connections=40, websockets=3)


@pytest.fixture
def address(app):
    with serving(gated(app), limits=SHORT) as address:
        yield address


def is_refused(address: str, begin: bytes, piece: bytes) -> None:
    """Check that a request is refused that begins like this and goes on with the same piece for ever."""
    with connect(address) as connection:
        connection.sendall(begin)
        with suppress(ConnectionError):
            for _ in range(2000):
                connection.sendall(piece)
        assert status_of(connection) in (431, None)
        assert ended(connection) < 15


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_that_asks_nothing_is_ended(address, sent):
    with connect(address) as connection:
        connection.sendall(sent)
        assert ended(connection) < 15


def test_a_head_that_comes_slowly_is_ended_at_its_deadline(address):
    with connect(address) as connection:
        connection.settimeout(0.1)
        began, answer = time.monotonic(), b""
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        while not answer and time.monotonic() - began < 15:
            connection.sendall(b"x")
            with suppress(TimeoutError):
                answer = connection.recv(1000)
        assert b"408" in answer


def test_a_head_that_is_never_complete_is_answered_408(address):
    with connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert status_of(connection) == 408


def test_headers_without_end_are_refused_by_number_and_by_size(address):
    for piece in (b"X-Y: z\r\n", b"X-Z: " + b"z" * 1000 + b"\r\n", b"z" * 1000):
        is_refused(address, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", piece)
    with connect(address) as connection:
        connection.sendall(head(address, "GET /", *(f"X-{n}: y" for n in range(300))))
        assert status_of(connection) == 431
    with connect(address) as connection:
        connection.sendall(head(address, f"GET /{'a' * 70_000}"))
        assert status_of(connection) == 400
    assert httpx.get(f"http://{address}/").status_code == 200


def test_headers_behind_a_body_are_bounded_and_change_nothing(address, app):
    asked = head(address, "PUT /data/a", "Transfer-Encoding: chunked", f"X-API-KEY: {KEY}")
    with connect(address) as connection:
        connection.sendall(asked + b"1\r\nx\r\n0\r\nX-A: b\r\n\r\n")
        assert status_of(connection) == 200
    is_refused(address, asked + b"1\r\nx\r\n0\r\n", b"X-A: " + b"b" * 1000)


def test_a_body_that_stops_coming_is_ended_and_one_that_comes_slowly_is_not(address, app):
    asked = head(address, "PUT /large", "Content-Length: 1000", f"X-API-KEY: {KEY}")
    with connect(address) as connection:
        connection.sendall(asked + b"x")
        assert status_of(connection) == 408
    with connect(address) as connection:
        connection.sendall(asked)
        for _ in range(10):  # for longer than the deadline, which is for progress
            connection.sendall(bytes(100))
            time.sleep(0.3)
        assert status_of(connection) == 200
    assert app.bodies[-1] == 1000


def test_an_answered_connection_that_is_idle_is_ended_and_may_be_used_until_then(address):
    with connect(address) as connection:
        for _ in range(3):
            connection.sendall(head(address))
            assert b"200" in connection.recv(65536)
        assert ended(connection) < 15


def test_a_client_that_takes_nothing_of_its_answer_is_ended(wait_for):
    ended_answers = []

    async def large(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        ended_answers.append(True)

    with serving(large, limits=SHORT) as address, connect(address) as connection:
        connection.sendall(head(address))
        wait_for(lambda: ended_answers, timeout=30, what="the server to give up")


def test_silent_connections_give_way_to_those_that_ask_the_oldest_first(address):
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(address)) for _ in range(4 * SHORT.connections)]
        assert httpx.get(f"http://{address}/", timeout=10).status_code == 200
        assert ended(silent[0]) < 15


def test_a_body_under_way_stays_while_silent_ones_come(app):
    with serving(gated(app), limits=replace(SHORT, body=30.0)) as address, ExitStack() as stack:
        upload = stack.enter_context(connect(address))
        upload.sendall(head(address, "PUT /large", "Content-Length: 1000", f"X-API-KEY: {KEY}"))
        for number in range(100):
            upload.sendall(bytes(10))
            stack.enter_context(connect(address))
            if number % 20 == 0:
                assert httpx.get(f"http://{address}/", timeout=10).status_code == 200
        assert status_of(upload) == 200


def test_websockets_have_a_bound_of_their_own(address):
    headers = {"X-API-KEY": KEY}
    with ExitStack() as stack:
        for _ in range(SHORT.websockets):
            stack.enter_context(websocket(f"ws://{address}/ws", additional_headers=headers))
        with connect(address) as another:
            asked = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"X-API-KEY: {KEY}")
            another.sendall(head(address, "GET /ws", *asked, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
            assert status_of(another) == 503
        assert httpx.get(f"http://{address}/").status_code == 200
