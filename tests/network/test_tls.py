"""TLS at real servers, and clients that believe it or do not."""

import json
import os
import ssl
import subprocess
import urllib.request
from dataclasses import replace

import httpx
import pytest
from commands import COMMAND
from tiled.client import from_uri
from websockets.sync.client import connect as websocket

from beamstream.archive.address import find_server
from beamstream.archive.catalog import connect
from beamstream.archive.layout import make_key, read_key
from beamstream.archive.process import ask, running_server
from beamstream.archive.server import ArchiveServer
from beamstream.cli.archive import Archive
from beamstream.errors import ArchiveError, ConfigurationError
from beamstream.ingest.process import IngestProcess
from beamstream.live.beside import ArchiveServer as ArchiveBeside
from beamstream.live.hub_settings import HubSettings
from beamstream.live.page import LivePage
from beamstream.network.address import Address
from beamstream.network.tls import Certificate, certificate, unencrypted_warning


@pytest.fixture
def local_archive(tmp_path, local_tls):
    with ArchiveServer(tmp_path / "archive", tls=local_tls) as server:
        yield server


def test_clients_that_find_an_archive_by_its_directory_know_its_certificate(tmp_path, tls, wait_for):
    directory = tmp_path / "archive"
    with running_server(directory, tls=tls) as address:
        assert address.url.startswith("https://127.0.0.1:")
        client = connect(directory)
        try:
            assert len(client) == 0
        finally:
            client.context.close()
        with Archive(directory) as asked:
            assert asked.search(limit=1) == []
        (directory / "uploads").mkdir()
        beside = ArchiveBeside(directory)
        assert beside.document()["tone"] == "good"
        assert beside.uploads(address.url)["words"] == "all done"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{address.url}/healthz")
        assert ask(Address(address.url, 0), "/healthz", None, 5.0) is None


def test_another_certificate_gets_no_key(tmp_path, tls, local_tls):
    with ArchiveServer(tmp_path / "archive", tls=tls, feed=False) as server:
        replace(find_server(server.layout), certificate=str(local_tls.cert)).write(server.layout.address)
        with pytest.raises(ArchiveError, match="does not answer"):
            connect(server.layout.directory)


def test_tileds_client_and_ours_believe_the_authorities_of_ssl_cert_file(local_archive, local_tls, monkeypatch):
    url, key = local_archive.url, read_key(local_archive.layout.key)
    with pytest.raises(ArchiveError, match="nothing answers"):
        connect(url, key=key)
    monkeypatch.setenv("SSL_CERT_FILE", str(local_tls.cert))
    for client in (connect(url, key=key), from_uri(f"{url}/api/v1", api_key=key)):
        assert len(client) == 0
        client.context.close()
    with Archive(url, key) as asked:
        assert asked.search(limit=1) == []


def test_the_command_line_takes_the_authority_as_an_option(local_archive, local_tls):
    listing = ["runs", "list", "--archive", local_archive.url, "--json"]
    environment = {**os.environ, "BEAMSTREAM_API_KEY": read_key(local_archive.layout.key)}
    plain, with_ca = (
        subprocess.run([*COMMAND, *options, *listing], env=environment, capture_output=True, text=True, timeout=60)
        for options in ([], ["--tls-ca", str(local_tls.cert)])
    )
    assert (plain.returncode, "does not answer" in plain.stderr) == (1, True)
    assert (with_ca.returncode, with_ca.stdout.strip()) == (0, "[]"), with_ca.stderr


def test_ingest_and_page_speak_tls_and_their_cookies_go_over_nothing_else(tmp_path, local_tls):
    trusting = ssl.create_default_context(cafile=local_tls.cert)
    with IngestProcess(tmp_path / "archive", tls=local_tls) as ingest:
        assert ingest.url.startswith("https://")
        answer = httpx.get(f"{ingest.url}/tags/", headers={"X-API-KEY": ingest.key}, verify=trusting)
        assert answer.status_code == 200
        assert json.loads(ingest.layout.ingest_address.read_text())["certificate"] == str(local_tls.cert)
    key = make_key(tmp_path / "key")
    files = {"tls_cert": str(local_tls.cert), "tls_key": str(local_tls.key)}
    with LivePage(HubSettings([{"name": "cam", "about": {}}], port=0, key=key, **files)) as page:
        assert page.url.startswith("https://")
        answer = httpx.post(f"{page.url}unlock", json={"key": key}, verify=trusting)
        assert answer.headers["set-cookie"].endswith("; Secure")
        with websocket(f"{page.url.replace('https', 'wss')}streams/cam/ws", ssl=trusting, proxy=None) as socket:
            assert json.loads(socket.recv(timeout=30))["is"] == "status"
        with pytest.raises(OSError):
            urllib.request.urlopen(page.url.replace("https", "http"), timeout=10)


def test_files_that_are_no_pair_are_refused_in_words(tmp_path, tls, local_tls):
    missing = tmp_path / "none.pem"
    for cert, key, words in (
        (tls.cert, None, "given alone"),
        (tls.cert, local_tls.key, "asked for"),
        (missing, tls.key, "asked for"),
        (tls.cert, missing, "asked for"),
        (tls.key, tls.key, "asked for"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            certificate(cert, key)
    readable = tmp_path / "key.pem"
    readable.write_bytes(tls.key.read_bytes())
    readable.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may have read it"):
        Certificate(tls.cert, readable)
    assert certificate(None, "") is None


def test_plain_text_beyond_loopback_is_warned_of(tmp_path, caplog, tls):
    with ArchiveServer(tmp_path / "archive", host="0.0.0.0", feed=False):
        assert "archive: listening on 0.0.0.0 without TLS" in caplog.text
    caplog.clear()
    with LivePage(HubSettings(host="0.0.0.0", port=0, key="a key for tests only")):
        assert "live page: listening on 0.0.0.0 without TLS" in caplog.text
    with IngestProcess(tmp_path / "archive", host="0.0.0.0") as ingest:
        assert "ingest: listening on 0.0.0.0 without TLS" in ingest.error_output()
    assert unencrypted_warning("x", "0.0.0.0", str(tls.cert)) == unencrypted_warning("x", "127.0.0.1", "") == ""
