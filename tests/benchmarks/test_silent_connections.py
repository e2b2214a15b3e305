"""How long a server takes to answer beside a thousand connections: silent ones, and ones that all ask."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_connection

import httpx
import pytest

from beamstream.archive.layout import Layout, make_key, read_key
from beamstream.archive.process import running_server
from beamstream.ingest.process import IngestProcess
from beamstream.live import LiveServer
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage

pytestmark = [pytest.mark.benchmark, pytest.mark.usefixtures("many_files")]
MANY = 1000
ASKED = 20
SENT = {
    "silent": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: loc",
    "GET /": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /ui/": b"GET /ui/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.fixture(scope="module", params=["archive", "ingest", "page", "spectra"])
def server(request, tmp_path_factory) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Return a server's name, what it answers to those who have a key, and that key."""
    directory: Path = tmp_path_factory.mktemp("archive")
    layout = Layout(directory)
    if request.param == "archive":
        with running_server(directory, feed=False) as address:
            yield "archive", f"{address.url}/api/v1/search/", {"Authorization": f"Apikey {read_key(layout.key)}"}
    elif request.param == "ingest":
        with IngestProcess(directory) as process:
            yield "ingest", f"{process.url}/tags/", {"X-API-KEY": process.key}
    elif request.param == "page":
        layout.prepare()
        with LivePage(HubSettings(port=0, key=make_key(layout.live_key))) as page:
            yield "live page", f"{page.url}streams", {}
    else:
        with LiveServer("nobody-writes-this", port=0) as page:
            yield "spectra page", f"{page.url}data", {}


@pytest.mark.parametrize("sent", SENT)
def test_an_answer_beside_a_thousand_connections(server, sent: str, report):
    name, url, headers = server
    at = httpx.URL(url)
    alone = answers(url, headers)
    with ExitStack() as stack:
        for _ in range(MANY):
            connection = stack.enter_context(create_connection((at.host, at.port or 0), 30))
            with suppress(ConnectionError):  # it gave way to a later one
                connection.sendall(SENT[sent])
        first = answers(url, headers)
    median = statistics.median
    report(
        f"{name}, beside {MANY} connections: {sent}",
        f"first answer {first[0] * 1e3:.0f} ms, median {median(first) * 1e3:.1f} ms; "
        f"alone {alone[0] * 1e3:.0f} ms, {median(alone) * 1e3:.1f} ms ({median(first) / median(alone):.1f} x)",
    )


def answers(url: str, headers: dict[str, str]) -> list[float]:
    """Ask some times, each on a connection of its own; return how long each answer took, s."""
    took = []
    for _ in range(ASKED):
        began = time.perf_counter()
        assert httpx.get(url, headers=headers, timeout=60).status_code == 200
        took.append(time.perf_counter() - began)
    return took
