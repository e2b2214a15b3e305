"""`beamstream view` and the page of `beamstream serve`, as people start them."""

import http.client
import json
import os
import signal
import socket
from urllib.parse import urlsplit

import pytest
from cli_commands import configuration, started

from beamstream.cli.view import spec_of
from beamstream.config import load
from beamstream.errors import ConfigurationError

NOTHING = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}


def get(url: str) -> tuple[int, bytes]:
    at = urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
    connection.request("GET", at.path)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def streams(url: str) -> dict[str, dict]:
    return {stream["name"]: stream for stream in json.loads(get(f"{url}streams")[1])}


def test_a_stream_that_needs_no_configuration_is_shown_until_ctrl_c(tmp_path, beamline, wait_for):
    with started(tmp_path, "view", "pva://CLI:FREE:Pva1:Image", "--json", env=NOTHING) as running:
        ready = json.loads(running.line())
        assert ready["ours"]
        assert urlsplit(ready["url"]).path == "/streams/CLI-FREE-Pva1-Image/"
        status, page = get(ready["url"])
        assert (status, b"<canvas" in page) == (200, True)
        url = ready["url"].partition("streams")[0]
        assert list(streams(url)) == ["CLI-FREE-Pva1-Image"]
        frame = ready["url"] + "frame?format=npy"
        wait_for(lambda: get(frame)[0] == 200, timeout=20, what="a frame")
        assert running.end(signal.SIGINT).status == 0
    assert not os.path.exists(f"/proc/{ready['pid']}")  # noqa: PTH110


def test_serve_goes_on_without_the_page_while_its_port_is_taken_and_view_uses_it_as_soon_as_it_is_there(
    tmp_path, beamstream, wait_for
):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        with started(tmp_path, "serve", "--live-port", port, "--json") as server:
            ready = json.loads(server.line())
            assert ready["page"]["url"] is None
            assert f"port {port} on 127.0.0.1 is in use" in ready["page"]["words"]
            assert (tmp_path / "archive" / "live_key").samefile(ready["page"]["key_file"])
            assert get(f"{ready['url']}/healthz")[0] == 200
            other.close()
            wait_for((tmp_path / "archive" / "live.json").exists, timeout=20, what="the page")
            assert list(streams(url)) == ["camera", "free"]
            done = beamstream("view", "camera", env=NOTHING)
            assert done.status == 0, done.err
            assert f"page     {url}streams/camera/" in done.out
            assert f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}" in done.out
            assert server.end(signal.SIGINT).status == 0
            assert "Traceback" not in server.err
    assert not (tmp_path / "archive" / "live.json").exists()


def test_what_cannot_be_shown_is_said_in_one_line(beamstream):
    beamstream("view", "nosuch").failed_with("nosuch asked for, which is no device and no ring", "camera", "pva://")
    beamstream("view", "--qt", "--napari").failed_with("choose one", status=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("motor", "motor asked for, which is no device"),
        ("ftp://x", "its scheme is unknown"),
        ("pva://", "names nothing"),
        ("film.mkv", "there is no such film here"),
    ],
)
def test_what_is_no_source_is_said(tmp_path, text, words):
    with pytest.raises(ConfigurationError, match=words):
        spec_of(text, load(configuration(tmp_path)))


def test_a_source_is_a_device_a_pv_or_a_film(tmp_path, monkeypatch):
    config = load(configuration(tmp_path))
    assert spec_of("camera", config).about["control"] == "CLI:CAM:cam1:"
    assert spec_of("X:Pva1:Image", config).uri == "pva://X:Pva1:Image"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.mkv").touch()
    assert spec_of("film.mkv", config).uri == (tmp_path / "film.mkv").as_uri()


def test_view_explains_itself_with_examples_and_the_options_of_pystream(beamstream):
    said = " ".join(beamstream("view", "--help", env={"COLUMNS": "160"}).out.split())
    for option in ("--pv", "--max-fps", "--display-bin", "--proc-config", "--no-plugins", "--log-level", "--log-file"):
        assert option in said
    assert "beamstream view pva://13SIM1:Pva1:Image --qt" in said
