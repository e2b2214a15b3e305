"""A server in trouble: runs wait for it, ever longer, and one that it cannot take does not hold up the others."""

import errno
import io
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from archive_session import journaled

from beamstream.archive.catalog import connect
from beamstream.archive.feeder import Feeder
from beamstream.archive.layout import Layout, make_key
from beamstream.archive.process import running_server


class Faulty(ThreadingHTTPServer):
    """Hand requests on to a real archive server, and answer some with an error instead."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = httpx.Client(base_url=url, timeout=30.0)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.fault: Callable[[str], int] = lambda _request: 0
        self.refused = 0

    def server_close(self) -> None:
        super().server_close()
        self.behind.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faulty

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = self.server.fault(f"{self.path} {body!r}")
        if status:
            self.server.refused += 1
            self._answer(status, {"Content-Type": "text/plain"}, b"database or disk is full")
            return
        got = self.server.behind.request(self.command, self.path, headers=dict(self.headers), content=body)
        dropped = ("content-length", "content-encoding", "transfer-encoding", "connection", "date", "server")
        kept = {name: value for name, value in got.headers.items() if name.lower() not in dropped}
        self._answer(got.status_code, kept, got.content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815, the names that http.server looks for

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Layout, str]]:
    layout = Layout(tmp_path_factory.mktemp("archive"))
    with running_server(layout.directory, feed=False) as address:
        yield layout, address.url


@pytest.fixture
def faulty(served) -> Iterator[Faulty]:
    server = Faulty(served[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def journal(served, tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def feeder(served, journal, faulty) -> Iterator[Callable[[], Feeder]]:
    """Make feeders of the journal, one after the other; they file through the faulty server."""
    running: list[Feeder] = []

    def start() -> Feeder:
        stop()
        running.append(Feeder(journal, partial(connect, faulty.url, key=make_key(served[0].key))))
        running[-1].start()
        return running[-1]

    def stop() -> None:
        while running:
            running.pop().stop()

    yield start
    stop()


@pytest.mark.parametrize("status", [500, 507, 408, 429])
def test_runs_wait_for_a_server_in_trouble_however_often_it_says_so_and_are_filed_afterwards(
    faulty, feeder, journal, wait_for, status
):
    uid = journaled(journal, 5)
    faulty.fault = lambda request: status if uid in request else 0
    filing = feeder()
    wait_for(lambda: faulty.refused >= 5, timeout=60, what="the server to be asked again and again")
    assert (journal / f"{uid}.jsonl").exists()
    assert filing.statistics()["refused"] == 0
    faulty.fault = lambda _request: 0
    wait_for(lambda: (journal / "filed" / f"{uid}.jsonl").exists(), timeout=60, what="the run to be filed")


@pytest.mark.parametrize("number", [1, 4, 10])
def test_a_run_waits_for_the_disk_of_its_journal_whichever_read_of_it_fails(
    feeder, journal, wait_for, monkeypatch, number
):
    uid = journaled(journal, 5)
    reads = Counter()

    class Disk(io.FileIO):
        def readinto(self, buffer):
            reads["all"] += 1
            if reads["all"] == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().readinto(buffer)

    real = Path.open

    def opened(path, mode="r", *args, **kwargs):
        if path.stem == uid and mode == "rb":
            return io.BufferedReader(Disk(path), 128)
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    filing = feeder()
    wait_for(lambda: (journal / "filed" / f"{uid}.jsonl").exists(), timeout=60, what="the run to be filed")
    assert reads["all"] > number
    assert filing.statistics()["refused"] == 0
    assert list((journal / "refused").iterdir()) == []


def test_one_run_that_the_server_fails_at_does_not_hold_up_the_others(faulty, feeder, journal, wait_for):
    poisoned = journaled(journal, 5)
    faulty.fault = lambda request: 500 if poisoned in request else 0
    feeder()
    wait_for(lambda: faulty.refused >= 3, timeout=60, what="the server to fail at a run")
    others = [journaled(journal, 200) for _ in range(5)]
    filed = journal / "filed"
    wait_for(lambda: all((filed / f"{uid}.jsonl").exists() for uid in others), timeout=60, what="the others")
    assert (journal / f"{poisoned}.jsonl").exists()
    faulty.fault = lambda _request: 0
    wait_for(lambda: (filed / f"{poisoned}.jsonl").exists(), timeout=60, what="the run to be filed")


def test_tries_at_a_run_that_the_server_fails_at_become_rarer(faulty, feeder, journal, wait_for):
    times: list[float] = []
    uid = journaled(journal, 5)

    def fault(request: str) -> int:
        if uid not in request:
            return 0
        times.append(time.monotonic())
        return 500

    faulty.fault = fault
    feeder()

    def pauses() -> list[float]:
        return [later - earlier for earlier, later in pairwise(times)]

    # the client itself asks several times, with pauses of about a second
    wait_for(lambda: max(pauses(), default=0.0) > 2.0, timeout=90, what="the server to be asked more rarely")
    assert len(times) > 3, pauses()


def test_a_refused_run_keeps_its_reason_and_is_tried_again_when_a_feeder_starts(faulty, feeder, journal, wait_for):
    uid = journaled(journal, 5)
    refused = journal / "refused" / f"{uid}.jsonl"
    reason = refused.with_suffix(".txt")
    faulty.fault = lambda request: 422 if uid in request else 0
    for _ in range(2):
        feeder()
        wait_for(lambda: faulty.refused and refused.exists(), timeout=60, what="the run to be refused")
        assert "422" in reason.read_text()
        faulty.refused = 0
    faulty.fault = lambda _request: 0
    feeder()
    wait_for(lambda: (journal / "filed" / f"{uid}.jsonl").exists(), timeout=60, what="the run to be filed")
    assert not refused.exists()
    assert not reason.exists()


def test_integers_of_64_bits_and_large_floats_come_back_from_the_archive_as_they_are(
    served, faulty, feeder, journal, connected, wait_for
):
    from beamstream.callbacks.journal import Journal

    given = {"stamp_ns": 1796011291178780123, "ids": [2**53 + 1, 2**64 - 1, -(2**63)], "size": 1e20, "small": 0.1}
    run = "00000000-0000-4000-8000-0000000000ff"
    keeping = Journal(journal)
    keeping("start", {"uid": run, "time": 1.0, **given})
    keeping("stop", {"uid": "s", "run_start": run, "time": 2.0, "exit_status": "success", "num_events": {}})
    feeder()
    wait_for(lambda: (journal / "filed" / f"{run}.jsonl").exists(), timeout=60, what="the run to be filed")
    start = connected(served[1], key=make_key(served[0].key))[run].metadata["start"]
    assert {key: start[key] for key in given} == given
