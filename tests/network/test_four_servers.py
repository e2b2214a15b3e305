"""What each of the four servers withstands, as a process of its own: silence, large bodies, names of others."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import psutil
import pytest
from serving import connect, head, status_of

from beamstream.archive.process import running_server
from beamstream.ingest.process import IngestProcess
from beamstream.live import LiveServer
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage

MANY = 1000
HALF = b"POST /unlock HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
KINDS = {"silent": b"", "half-a-head": b"GET / HTTP/1.1\r\nHost: loc", "half-a-body": HALF, "idle": b""}


@pytest.fixture(scope="module", params=["archive", "ingest", "page", "spectra"])
def server(request, tmp_path_factory) -> Iterator[tuple[str, int]]:
    """What answers without a key at one of the servers, and its process."""
    archive = tmp_path_factory.mktemp("archive")
    if request.param == "archive":
        with running_server(archive, feed=False) as address:
            yield f"{address.url}/healthz", address.pid
    elif request.param == "ingest":
        with IngestProcess(archive) as process:
            yield f"{process.url}/gateway/time", process.ready["pid"]
    elif request.param == "page":
        with LivePage(HubSettings(port=0)) as page:
            yield f"{page.url}streams", page.pid or 0
    else:
        with LiveServer("nobody-writes-this", port=0) as page:
            yield f"{page.url}data", page.pid or 0


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_thousand_silent_connections_others_are_answered(server, many_files, kind):
    url, pid = server
    at = httpx.URL(url)
    with ExitStack() as stack:
        for _ in range(MANY):
            connection = stack.enter_context(socket.create_connection((at.host, at.port or 0), 30))
            if sent := KINDS[kind] or (kind == "idle" and b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
                connection.sendall(sent)
        for _ in range(5):
            assert httpx.get(url, timeout=10).status_code == 200
        assert psutil.Process(pid).num_fds() < MANY
    assert httpx.get(url, timeout=10).status_code == 200


def test_a_large_body_without_a_key_is_refused_at_once_and_costs_no_memory(server):
    url, pid = server
    at, process = httpx.URL(url), psutil.Process(pid)
    before = process.memory_info().rss
    address = f"{at.host}:{at.port}"
    with connect(address) as connection:
        connection.sendall(head(address, "PUT /api/v1/array/full/x", "Content-Length: 300000000"))
        assert status_of(connection) in (401, 404)  # nothing of it was sent yet
        with suppress(ConnectionError):
            for _ in range(280):
                connection.sendall(bytes(1 << 20))
        assert process.memory_info().rss - before < 50 << 20
    assert httpx.get(url, timeout=10).status_code == 200


def test_a_page_that_makes_its_own_name_point_here_gets_nothing(server):
    for host in ("evil.example", "127.0.0.1.evil.example:8710"):
        answer = httpx.get(server[0], headers={"Host": host})
        assert (answer.status_code, "is no name of this server" in answer.text) == (421, True)
    assert httpx.get(server[0], headers={"Host": "localhost"}).status_code == 200
