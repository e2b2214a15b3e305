"""The process of the live page: how it starts, refuses, keeps its key to itself, and ends."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from live_ring import get, get_json
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from beamstream.errors import BeamstreamError, ConfigurationError
from beamstream.live import LiveServer

KEY = "correct-horse-battery-staple"


def test_a_port_in_use_is_said_at_once(server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is in use by another program; use"):
            server(port=port)


def test_a_server_takes_the_port_of_the_one_before_it(server):
    first = server()
    get(first, "/data")
    first.close()
    assert server(port=first.port).port == first.port


def test_a_host_that_is_none_of_this_machine_is_refused(server):
    with pytest.raises(ConfigurationError, match=r"port 0 on 192\.0\.2\.1 cannot be listened on"):
        server(host="192.0.2.1", key=KEY)


def test_the_network_is_not_let_in_without_a_good_key():
    for host in ("0.0.0.0", "192.168.1.5", "beamline.example", "::"):
        with pytest.raises(ConfigurationError, match="asked for without a key"):
            LiveServer("ring", host=host)
    with pytest.raises(ConfigurationError, match="a key of 5 characters given; use at least 16") as refused:
        LiveServer("ring", host="0.0.0.0", key="short")
    assert "short" not in str(refused.value)


def test_with_a_key_every_request_needs_it_and_it_is_nowhere_to_be_read(server, writer, caplog):
    caplog.set_level(logging.DEBUG)
    page = server(host="0.0.0.0", key=KEY)
    for path in ("/", "/data", "/status", "/static/main.js", "/data?key=wrong", "/nothing"):
        status, headers, body = get(page, path)
        assert status == 401, path
        assert "access-control-allow-origin" not in headers
    assert b"password" in get(page, "/")[2], "a person is asked for it"
    assert get_json(page, "/data", Authorization=f"Bearer {KEY}") == []
    assert get_json(page, f"/data?key={KEY}") == []
    assert "access-control-allow-origin" not in get(page, f"/data?key={KEY}")[1]
    status, headers, _ = get(page, f"/?key={KEY}")
    assert (status, headers["location"]) == (303, "/"), "it leaves the address"
    cookie = headers["set-cookie"].split(";")[0]
    assert get(page, "/", Cookie=f"a=b; {cookie}")[0] == 200
    assert get(page, "/", Cookie=cookie[:-1])[0] == 401
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://127.0.0.1:{page.port}/ws"):
        pass
    with connect(f"ws://127.0.0.1:{page.port}/ws?key={KEY}") as socket_:
        socket_.recv(timeout=5)
    child = psutil.Process(page.pid)
    said = [page.url, repr(page.settings), cookie, str(child.cmdline()), str(child.environ()), page.error_output()]
    body = get(page, "/status", Cookie=cookie)[2].decode()
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("beamstream")]
    assert KEY not in " ".join([*said, *logged, body])


def test_a_page_that_makes_its_own_name_point_here_gets_nothing(idle):
    for name in ("evil.example", f"evil.example:{idle.port}", "127.0.0.1.evil.example", "[", "localhost@evil"):
        status, _, body = get(idle, "/data", Host=name)
        assert (status, "no name of this server" in json.loads(body)["error"]) == (421, True), name
    for name in ("localhost", f"localhost:{idle.port}", "127.0.0.1:1", "[::1]:80", "LOCALHOST"):
        assert get(idle, "/data", Host=name)[0] == 200, name


def test_it_ends_with_whoever_started_it_however_that_came_about(wait_for):
    program = (
        "import sys, time\n"
        "from beamstream.live import LiveServer\n"
        "page = LiveServer('x', port=0).start()\n"
        "print(page.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        child = psutil.Process(pid)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_ctrl_c_in_the_terminal_is_not_for_it(idle):
    assert os.getpgid(idle.pid) != os.getpgid(0)


def test_when_it_is_gone_that_can_be_seen_and_telling_it_something_is_no_error(server, wait_for):
    page = server()
    assert page.alive
    os.kill(page.pid, signal.SIGKILL)
    wait_for(lambda: not page.alive)
    assert page.update(lost=1) is False
    page.start()
    assert page.update(lost=1) is True
    assert page.alive
    page.close()
    page.close()
    assert not page.alive


def test_telling_never_waits_for_a_server_that_hangs(server):
    page = server()
    os.kill(page.pid, signal.SIGSTOP)
    try:
        told = [page.update(text="x" * 1000) for _ in range(100)]
    finally:
        os.kill(page.pid, signal.SIGCONT)
    assert (told[0], told[-1]) == (True, False)
    with pytest.raises(ValueError, match="at most 4096"):
        page.update(text="x" * 4096)


def test_it_ends_while_pages_look_on(server):
    page = server()
    with connect(f"ws://127.0.0.1:{page.port}/ws") as socket:
        socket.recv(timeout=5)
        page.close()
        assert not page.alive
        with pytest.raises(ConnectionClosed):
            [socket.recv(timeout=5) for _ in range(1000)]


def test_a_server_that_cannot_start_says_why(name, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "nonsense")
    with pytest.raises(BeamstreamError, match=r"its server ended with 1 and said: .*PYTHONHASHSEED"), LiveServer(name):
        pass
