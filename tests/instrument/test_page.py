"""The live page of an instrument: one for all, found again, kept up; and `watch` in a session."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for impostor
from impostor import impostor

from beamstream.archive.layout import Layout
from beamstream.config import Config
from beamstream.errors import ConfigurationError
from beamstream.instrument import page as page_module
from beamstream.instrument.page import KeptPage, find_page, page_settings, streams_of
from beamstream.instrument.watch import SessionPage, spec_of, tunnel
from beamstream.watching.presence import began
from beamstream.watching.streams import StreamSpec

NOBODY = "pva://NO:SUCH:PV"


@pytest.fixture
def config(tmp_path) -> Config:
    return Config.model_validate(
        {
            "archive": {"directory": tmp_path / "archive"},
            "live": {"port": 0},
            "devices": {
                "cam": {"kind": "pva_detector", "pv": "NO:SUCH:PV"},
                "motor": {"kind": "motor", "pv": "NO:MTR"},
                "sky": {"kind": "zmq_spectrometer", "address": "tcp://127.0.0.1:9798"},
            },
            "callbacks": {"flat_field": {}},
        }
    )


@pytest.fixture
def kept(config) -> Iterator[Callable[..., KeptPage]]:
    """Return a function that has a page kept; ended afterwards."""
    pages: list[KeptPage] = []

    def start(**options) -> KeptPage:
        pages.append(KeptPage(config, **options).start())
        return pages[-1]

    yield start
    for page in pages:
        page.close()


def get(url: str) -> http.client.HTTPResponse:
    return ask(url, "GET")


def ask(url: str, method: str, body: str | None = None, **headers: str) -> http.client.HTTPResponse:
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
    connection.request(method, f"{at.path}?{at.query}", body, headers)
    response = connection.getresponse()
    response.document = response.read()
    connection.close()
    return response


def test_streams_are_the_detectors_and_what_is_derived_from_them_for_all_to_see(config):
    streams = {stream["name"]: stream["about"] for stream in streams_of(config)}
    assert list(streams) == ["cam", "sky", "cam_corrected", "sky_corrected"]
    assert StreamSpec("cam", streams["cam"]).uri == NOBODY
    assert StreamSpec("sky", streams["sky"]).uri == "zmq://127.0.0.1:9798"
    json.dumps(streams)


def test_the_key_is_made_for_its_owner_alone_and_recordings_stay_below_those_of_the_archive(config, tmp_path):
    settings = page_settings(config)
    layout = Layout(tmp_path / "archive")
    assert settings.key == layout.live_key.read_text().strip()
    assert stat.S_IMODE(layout.live_key.stat().st_mode) == 0o600
    assert settings.key not in repr(settings)
    assert Path(settings.recordings) == config.recording.directory / "live"
    assert page_settings(config).key == settings.key


def test_one_page_serves_all_and_who_is_left_takes_over(config, kept, wait_for):
    first = kept()
    assert first.ours
    assert first.words == ""
    second = kept()
    assert not second.ours
    assert second.address == first.address == find_page(Layout(config.archive.directory))
    names = [stream["name"] for stream in json.loads(get(f"{first.address.url}streams").document)]
    assert names == list(first.address.streams) == ["cam", "sky", "cam_corrected", "sky_corrected"]
    first.close()
    wait_for(lambda: second.address is not None and second.ours, what="the second to take over")
    assert get(second.address.url).status == 200
    second.close()
    assert find_page(Layout(config.archive.directory)) is None
    assert not Layout(config.archive.directory).live_address.exists()


def test_a_page_that_dies_is_started_anew(kept, wait_for, caplog):
    page = kept()
    before = page.address
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: page.address is not None and page.address != before, what="another server")
    assert get(page.address.url).status == 200
    assert "another one is started" in caplog.text


def test_a_port_that_is_taken_is_said_in_words_and_tried_again(kept, wait_for, monkeypatch):
    monkeypatch.setattr(page_module, "_PAUSE", 0.1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        page = kept(port=port)
        assert page.address is None
        assert f"port {port} on 127.0.0.1 is in use by another program; use --live-port" in page.words
    wait_for(lambda: page.address is not None, what="the page")
    assert urlsplit(page.address.url).port == port


def test_a_network_without_a_key_is_no_page_but_words(config, kept):
    config.archive.directory.mkdir()
    Layout(config.archive.directory).live_key.write_text("known to all\n")
    page = kept()
    assert page.address is None
    assert "others may have read it" in page.words


# watch


@pytest.fixture
def browser(tmp_path, monkeypatch) -> Path:
    """A browser that only writes down what it is to open, on a display."""
    file, script = tmp_path / "opened", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {file}\n')
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{script} %s")
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr("webbrowser._tryorder", None)
    return file


@pytest.fixture
def session(config, monkeypatch) -> Iterator[SessionPage]:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    page = SessionPage(config, {})
    yield page
    page.close()


def device(name: str, source: str = ""):
    return SimpleNamespace(name=name, ring=SimpleNamespace(source=source))


def test_without_a_display_watch_says_where_the_page_is_and_how_to_get_there(session, config, capsys):
    session.watch(device("cam"))
    said = capsys.readouterr().out
    url = find_page(Layout(config.archive.directory)).url
    port = urlsplit(url).port
    assert f"page     {url}streams/cam/" in said
    assert f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}" in said
    assert f"key      {Layout(config.archive.directory).live_key}" in said
    session.watch()
    assert f"page     {url}\n" in capsys.readouterr().out


def test_on_a_display_the_browser_gets_a_file_with_a_ticket_that_works_once_and_leads_to_the_stream(
    session, config, browser, capsys
):
    session.watch("cam")
    (address,) = browser.read_text().split()
    file = Path(urlsplit(address).path)
    assert (address, stat.S_IMODE(file.stat().st_mode)) == (file.as_uri(), 0o600)
    ticket = re.search(r'name="ticket" value="([^"]+)"', file.read_text())[1]
    assert ticket not in address + capsys.readouterr().out
    url = find_page(Layout(config.archive.directory)).url
    assert f'action="{url}enter"' in file.read_text()
    posted = urlencode({"ticket": ticket, "stream": "cam"})
    answer = ask(f"{url}enter", "POST", posted, Origin="null")
    assert b"url=/streams/cam/" in answer.document
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert ticket not in answer.headers["set-cookie"]
    assert ask(f"{url}enter", "POST", posted, Origin="null").headers["set-cookie"] is None


def test_who_may_not_read_the_key_opens_the_page_without_control(session, config, browser):
    session.watch("cam")
    Layout(config.archive.directory).live_key.chmod(0o644)
    session.watch("cam")
    assert browser.read_text().split()[1] == f"{find_page(Layout(config.archive.directory)).url}streams/cam/"


def test_the_page_that_serve_keeps_is_used(session, kept, capsys):
    page = kept()
    session.watch("cam")
    assert f"{page.address.url}streams/cam/" in capsys.readouterr().out
    session.close()
    assert get(page.address.url).status == 200


def test_a_detector_made_by_hand_has_a_page_as_well(session, capsys):
    session.watch(device("mine", "pva://BY:HAND"))
    first = capsys.readouterr().out.split()[1]
    assert first.endswith("/streams/mine/")
    at = urlsplit(first)
    streams = json.loads(get(f"http://{at.netloc}/streams").document)
    assert {stream["name"] for stream in streams} >= {"cam", "mine"}
    session.watch("mine")
    assert capsys.readouterr().out.split()[1] == first


def test_what_a_detector_streams_is_known_from_its_ring(tmp_path):
    assert spec_of("a", device("a", "pva://X:Y")).about == {"kind": "pva_detector", "pv": "X:Y"}
    assert spec_of("a", device("a", "webcam://0")).tappable is False
    film = tmp_path / "my film.mkv"
    assert spec_of("a", device("a", film.as_uri())).uri == film.as_uri()
    assert spec_of("a", "a") == StreamSpec("a")
    with pytest.raises(ConfigurationError):
        spec_of("a b", "a b")


def test_the_tunnel_is_for_the_host_that_the_page_listens_on():
    assert tunnel("http://127.0.0.1:8712/") == f"ssh -L 8712:127.0.0.1:8712 {socket.gethostname()}"
    assert tunnel("http://[::1]:8712/") == f"ssh -L 8712:[::1]:8712 {socket.gethostname()}"


def test_a_page_is_found_where_its_server_proves_to_be_it_and_not_where_its_number_came_again(config, kept):
    page = kept()
    layout = Layout(config.archive.directory)
    address = find_page(layout)
    assert address is not None
    assert address == page.address
    assert layout.live_address.stat().st_mode & 0o777 == 0o600
    assert address.secret not in repr(address)
    os.kill(address.pid, signal.SIGSTOP)  # its port is not free yet
    try:
        with impostor() as other:
            us = {"pid": os.getpid(), "began": began(os.getpid())}  # a process that lives
            replace(address, url=f"http://127.0.0.1:{other.port}/", **us).write(layout.live_address)
            assert find_page(layout) is None
            assert b"/beamstream/prove" in other.close()
    finally:
        address.write(layout.live_address)
        os.kill(address.pid, signal.SIGCONT)
    assert find_page(layout) == address
