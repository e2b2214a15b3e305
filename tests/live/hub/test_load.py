"""Many pages, pages that take nothing, and slow links: nobody else notices, and nothing grows."""

import contextlib
import json
import resource
import socket
import time

import numpy as np
import psutil
import pytest
from hub_rig import HubRig, noise
from hub_viewer import Viewer
from slow_link import SlowLink

IDLE = 1000


def _handshake(page, name: str) -> bytes:
    return (
        f"GET /streams/{name}/ws HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def _text(document: dict) -> bytes:
    """Return a text message as a page sends it, its mask zero."""
    body = json.dumps(document).encode()
    assert len(body) < 126
    return bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body


@pytest.fixture
def many_files():
    """Allow this process as many sockets as the test opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        pytest.skip(f"{hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 200), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_pages_take_little_and_nobody_else_notices(page, url, camera, many_files):
    image = camera.put(noise((64, 96), "<u2"))
    process = psutil.Process(page.pid)
    with Viewer(url) as viewer:
        viewer.view(64, 96)
        viewer.frame()
        before = process.memory_info().rss
        idle = []
        try:
            for _ in range(IDLE):
                idle.append(socket.create_connection(("127.0.0.1", page.port), timeout=20))
                idle[-1].sendall(_handshake(page, camera.name))
            viewer.patience = 30
            viewer.text("status", lambda status: status["clients"] > IDLE)
            times = []
            for seed in range(10):
                image = camera.put(noise((64, 96), "<u2", seed=seed))
                began = time.monotonic()
                shown = viewer.frame(lambda shown: shown.index == camera.number - 1)
                times.append(time.monotonic() - began)
            np.testing.assert_array_equal(shown.pixels, image)
            assert sorted(times)[5] < 1.0
            assert process.memory_info().rss - before < 200 * 2**20
        finally:
            for one in idle:
                one.close()
        viewer.text("status", lambda status: status["clients"] == 1)


def test_a_page_that_stops_reading_takes_one_frame_of_memory_and_holds_up_nobody(page, url, camera):
    camera.put(noise((1024, 1024), "<u2"))
    process = psutil.Process(page.pid)
    with Viewer(url) as viewer:
        viewer.view(64, 64)
        viewer.frame()
        before = process.memory_info().rss
        deaf = []
        try:
            for _ in range(10):
                deaf.append(socket.create_connection(("127.0.0.1", page.port), timeout=20))
                deaf[-1].sendall(_handshake(page, camera.name))
                view = {"row": 0, "col": 0, "rows": 1024, "cols": 1024, "width": 1024, "height": 1024}
                deaf[-1].sendall(_text({"view": view}))
                for serial in range(50):  # says that it has drawn what it never read
                    deaf[-1].sendall(_text({"ack": serial}))
            for seed in range(20):
                camera.put(noise((1024, 1024), "<u2", seed=seed))
                viewer.frame(lambda shown: shown.index == camera.number - 1)
            assert process.memory_info().rss - before < 100 * 2**20
        finally:
            for one in deaf:
                one.close()
        viewer.text("status", lambda status: status["clients"] == 1)


def test_a_page_that_talks_without_end_and_reads_nothing_is_sent_away(page, url, camera):
    camera.put()
    nonsense = _text({"nonsense": "x" * 90}) * 500
    with Viewer(url) as viewer, socket.socket() as rude:
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        rude.settimeout(1)
        rude.connect(("127.0.0.1", page.port))
        rude.sendall(_handshake(page, camera.name))
        viewer.text("status", lambda status: status["clients"] == 2)
        with contextlib.suppress(OSError):
            for _ in range(40):
                rude.sendall(nonsense)
        viewer.text("status", lambda status: status["clients"] == 1)
        viewer.view(64, 96)
        assert viewer.frame().index == 0
    assert "Error" not in page.error_output()


def test_through_ten_megabits_a_second_frames_come_small_and_whole_when_it_pauses():
    """How many a second, and how fresh, `tests/benchmarks/test_live_page.py` measures."""
    rig = HubRig(30, (1024, 1024), noise=100)
    with rig, SlowLink(rig.page.port, 10e6, 0.02) as link, Viewer(link.through(rig.url)) as viewer:
        viewer.view(1024, 1024)
        viewer.frame(lambda frame: frame.nbytes < 400_000)  # of 2 MB
        viewer.text("status", lambda status: status["limited_by"] == "link")
        ages = [time.time() - viewer.frame().received for _ in range(15)]
        viewer.say(pause=True)
        best = viewer.frame(lambda frame: frame.refined)
    assert np.mean(ages[-5:]) < 2 * np.mean(ages[:5]) + 0.1  # no queue that grows
    assert best.factor == 1
    assert best.pixels.dtype == np.uint16
