"""The server as a process: keys, ports, signals, and what a killed server costs (nothing)."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import bluesky.plans as bp
import httpx
import numpy as np
import psutil
import pytest
from archive_session import SHAPE, Camera, Ledger, fly, frame, make_engine

from beamstream.archive.address import Address, find_server
from beamstream.archive.catalog import connect, list_runs, run_summary, wait_for_run
from beamstream.archive.feeder import Feeder
from beamstream.archive.layout import Layout, make_key, read_key
from beamstream.archive.process import running_server
from beamstream.archive.server import ArchiveServer
from beamstream.errors import ArchiveError


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "archive")
    layout.prepare()
    return layout


def address_of(pid: int, layout: Layout) -> Address | None:
    """Return where a process serves; None as long as it does not."""
    try:
        address = find_server(layout)
    except ArchiveError:  # no server, or one that was killed and left its address
        return None
    return address if address.pid == pid else None


@contextmanager
def serving(layout: Layout, wait_for, number: signal.Signals, **options) -> Iterator[Address]:
    """Serve in a process of its own until a signal; that it ends cleanly is checked: a start costs seconds."""
    options |= {"directory": str(layout.directory)}
    code = f"from beamstream.archive.server import ArchiveServer; ArchiveServer(**{options!r}).serve()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: address_of(child.pid, layout), timeout=60, what="the server to be up")
        yield find_server(layout)
        child.send_signal(number)
        output, _ = child.communicate(timeout=20)
    finally:
        child.kill()
        child.communicate()
    assert (child.returncode, output) == (0, b"")
    assert not layout.address.exists()


def test_the_key_is_made_once_and_private(layout):
    key = make_key(layout.key)
    assert len(key) == 64
    assert layout.key.stat().st_mode & 0o777 == 0o600
    assert make_key(layout.key) == key == read_key(layout.key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(layout, mode):
    make_key(layout.key)
    layout.key.chmod(mode)
    with pytest.raises(ArchiveError, match=f"has mode {mode:o}, others may have read it"):
        ArchiveServer(layout.directory).start()


def test_a_port_in_use_is_a_clear_error_at_once(layout):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ArchiveError, match=f"127.0.0.1:{port} cannot be listened on: Address already in use"):
            ArchiveServer(layout.directory, port=port).start()
    assert not layout.address.exists()


def test_a_child_that_cannot_serve_reports_why(layout):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ArchiveError, match=f"127.0.0.1:{port} cannot be listened on"),
            running_server(layout.directory, port=port),
        ):
            pass


def test_without_a_server_the_error_names_the_command_to_start_one(layout):
    with pytest.raises(ArchiveError, match=r"nobody serves .* start `beamstream serve`"):
        connect(layout.directory)
    with pytest.raises(ArchiveError, match=r"nothing answers at http://127\.0\.0\.1:9"):
        connect("http://127.0.0.1:9")


def test_the_address_of_a_dead_server_is_recognised(layout):
    Address("http://127.0.0.1:9", os.getpid()).write(layout.address)  # its process number is taken by somebody else
    with pytest.raises(ArchiveError, match=r"has ended; start `beamstream serve`"):
        find_server(layout)


def test_anonymous_readers_read_and_cannot_write_and_ctrl_c_ends_the_server_cleanly(layout, connected, wait_for):
    engine = make_engine(layout.journal)
    camera = Camera("cam", layout.recordings, num=6)
    (uid,) = engine(fly([camera]))  # before there is a server
    with serving(layout, wait_for, signal.SIGINT, anonymous=True) as address:
        with pytest.raises(ArchiveError, match=rf"served already by process {address.pid} at {address.url}"):
            ArchiveServer(layout.directory).start()
        wait_for_run(connected(layout.directory), uid)
        raw = httpx.get(f"{address.url}/api/v1/array/full/{uid}/primary/cam_image")
        assert np.array_equal(np.frombuffer(raw.content, "<u2").reshape(-1, *SHAPE), [frame(n) for n in range(6)])
        assert httpx.delete(f"{address.url}/api/v1/metadata/{uid}?recursive=true").status_code == 401
        assert run_summary(connected(address.url)[uid].metadata).lost == 0
        wrong = {"Authorization": "Apikey 0123456789abcdef"}
        assert httpx.get(f"{address.url}/api/v1/search/", headers=wrong).status_code == 401


def test_the_server_ends_when_its_parent_is_killed(layout, wait_for):
    code = f"""
import time
from beamstream.archive.process import running_server
with running_server({str(layout.directory)!r}) as address:
    print(address.pid, flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
    finally:
        parent.kill()
        parent.communicate()
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, what="the server to end")


def test_a_server_in_a_thread_starts_stops_and_starts_again(layout, connected):
    engine = make_engine(layout.journal)
    uids = []
    for _ in range(2):
        with ArchiveServer(layout.directory) as server:
            (uid,) = engine(bp.count([Ledger(name="numbers")], 3))
            uids.append(uid)
            assert wait_for_run(connected(server.url, key=read_key(layout.key)), uid).num_events == {"primary": 3}
            assert [r.uid for r in list_runs(connected(layout.directory))] == uids[::-1]


def test_a_server_that_is_killed_during_a_run_loses_nothing_and_sigterm_ends_the_next_cleanly(
    layout, wait_for, connected
):
    engine = make_engine(layout.journal)
    camera = Camera("cam", layout.recordings, num=40, period=0.01)
    with running_server(layout.directory) as address:
        camera.hold.clear()
        run = threading.Thread(target=engine, args=(fly([camera], sample="survivor"),))
        run.start()
        client = connected(layout.directory)
        wait_for(lambda: list(list_runs(client)), what="the run to appear")
        (summary,) = list_runs(client)
        camera.hold.set()
        wait_for(lambda: list(client[summary.uid]["primary"]), what="the first frames to appear")
        os.kill(address.pid, signal.SIGKILL)
        run.join(30)
        assert not run.is_alive(), "the dead archive held the run up"
    assert camera.path.stat().st_size > 40 * 24 * 32 * 2
    with serving(layout, wait_for, signal.SIGTERM):
        client = connected(layout.directory)
        found = wait_for_run(client, summary.uid)
        assert (found.exit_status, found.recorded) == ("success", 40)
        images = client.v3[summary.uid]["primary"]["cam_image"].read()
        assert np.array_equal(images, [frame(n) for n in range(40)])
        assert len(list(list_runs(client))) == 1
    assert camera.path.exists(), "replaying deleted the recording"


def test_a_feeder_elsewhere_outlives_a_slow_server_and_a_restart(layout, wait_for, connected, monkeypatch):
    import tiled.client.utils

    monkeypatch.setattr(tiled.client.utils, "TILED_RETRY_TIMEOUT", 2.0)  # the client gives up, the feeder does not
    engine = make_engine(layout.journal)
    with Feeder(layout.journal, partial(connect, layout.directory)) as feeder:
        with running_server(layout.directory, feed=False) as address:
            wait_for(lambda: feeder.statistics()["away"] == 0, what="the feeder to connect")
            os.kill(address.pid, signal.SIGSTOP)
            began = time.monotonic()
            (slow,) = engine(bp.count([Ledger(name="numbers")], 20))
            took = time.monotonic() - began
            os.kill(address.pid, signal.SIGCONT)
            assert took < 2.0, "a server that does not answer slowed the plan down"
            assert wait_for_run(connected(layout.directory), slow).num_events == {"primary": 20}
        (while_down,) = engine(bp.count([Ledger(name="numbers")], 20))
        wait_for(lambda: feeder.statistics()["away"] > 0, timeout=40, what="the feeder to notice")
        assert (layout.journal / f"{while_down}.jsonl").exists()
        with running_server(layout.directory, feed=False):
            wait_for(lambda: feeder.statistics()["waiting"] == 0, timeout=30, what="the journal to be empty")
            table = connected(layout.directory).v3[while_down]["primary"].base["internal"].read()
            assert list(table["seq_num"]) == list(range(1, 21))


def test_two_feeders_do_not_share_a_journal(layout):
    def no_client():
        raise ArchiveError("archive: away")

    with Feeder(layout.journal, no_client), pytest.raises(ArchiveError, match="filed from by another"):
        Feeder(layout.journal, no_client).start()
