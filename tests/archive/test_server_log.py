"""The log of a server after hostile requests: few lines, no traceback, no key, nothing that steers a terminal."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from beamstream.archive.layout import Layout, read_key
from beamstream.archive.process import running_server
from beamstream.ingest.process import IngestProcess
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage

KEY = "a key for tests only"
STEERING = "\x1b]52;c;aGk=\x07\x9b\u202e\r\nbeamstream: forged"
ODD = STEERING.encode("latin-1", "replace").replace(b"\r\n", b"\n")
RAW = (
    b"\x00\x01\x02\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + ODD + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + ODD + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: \x07"
    b"\r\n\r\n",
)
PATHS = (
    "/%1b]52;c;aGk=%07",
    "/api/v1/array/full/x?slice=%1b",
    "/api/v1/search/?filter[eq][condition][key]=%00&filter[eq][condition][value]=%1b",
    "/api/v1/search/?filter[comparison][condition][operator]=x&page[offset]=99999999999999999999",
    "/api/v1/search/?sort=%00%ff",
    "/api/v1/metadata/%ed%a0%80/%2e%2e",
    "/zarr/v2/%00/.zarray",
    "/streams/%1b/ws",
    "/rheed/stream/%00",
    "/data?beam=%ff&n_frames=-1",
)


@dataclass
class Served:
    """A server, and its log."""

    url: str
    key: str
    log: Callable[[], str]


@contextlib.contextmanager
def archive(tmp: Path) -> Iterator[Served]:
    layout = Layout(tmp / "archive")
    with running_server(layout.directory) as address:
        log = layout.directory / "server.log"
        yield Served(address.url, read_key(layout.key), lambda: log.read_text(errors="strict"))


@contextlib.contextmanager
def ingest(tmp: Path) -> Iterator[Served]:
    with IngestProcess(tmp / "archive") as process:
        log = process.layout.ingest / "ingest.log"
        yield Served(
            process.url, process.key, lambda: (log.read_text() if log.exists() else "") + process.error_output()
        )


@contextlib.contextmanager
def live(tmp: Path) -> Iterator[Served]:
    with LivePage(HubSettings(port=0, key=KEY)) as page:
        yield Served(page.url.rstrip("/"), KEY, page.error_output)


@pytest.mark.parametrize("server", [archive, ingest, live])
def test_hundreds_of_hostile_requests_leave_few_plain_lines(server, tmp_path):
    with server(tmp_path) as served:
        at = urlsplit(served.url)
        for raw in RAW * 12:
            with contextlib.suppress(OSError), socket.create_connection((at.hostname, at.port), 10) as connection:
                connection.settimeout(0.02)  # some are answered when more has come, which does not
                connection.sendall(raw)
                connection.recv(100)
        with httpx.Client(timeout=10) as client:
            for number in range(200):
                path = PATHS[number % len(PATHS)]
                key = served.key if number % 3 else "Apikey SECRET-OF-NOBODY"
                with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
                    client.get(served.url + path, headers={"Authorization": f"Apikey {key}", "X-API-KEY": key})
                with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
                    client.post(served.url + path, content=ODD * 10, headers={"Authorization": f"Apikey {key}"})
            assert client.get(served.url + "/").status_code < 500
        text = served.log()
    lines = text.splitlines()
    assert len(lines) < 60, text
    assert "Traceback" not in text
    assert all(c.isprintable() or c in "\n\t" for c in text), text
    assert not any(line.startswith("beamstream: forged") for line in lines)
    assert served.key not in text
    assert "SECRET-OF-NOBODY" not in text
