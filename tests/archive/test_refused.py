"""Runs with which a process ended: they are tried apart, refused, listed, and tried again on command."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive_session import journaled
from commands import COMMAND

from beamstream.archive.catalog import connect, run_summary
from beamstream.archive.feeder import Feeder
from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server
from beamstream.attempts import Attempts

SESSION = Path(__file__).parents[1] / "faults" / "feeder_session.py"


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Layout]:
    """A server that files nothing by itself."""
    layout = Layout(tmp_path_factory.mktemp("archive"))
    with running_server(layout.directory, feed=False):
        yield layout


@pytest.fixture
def journal(served) -> Path:
    """Its journal, emptied."""
    for path in served.journal.rglob("*"):
        if path.is_file():
            path.unlink()
    return served.journal


@contextlib.contextmanager
def feeding(served) -> Iterator[Feeder]:
    clients = []

    def connecting() -> object:
        clients.append(connect(served.directory))
        return clients[-1]

    with Feeder(served.journal, connecting) as feeder:
        yield feeder
    for client in clients:
        client.context.close()


def kill_while_filing(served: Layout, uid: str, wait_for: Callable[..., None]) -> None:
    """Have a feeder's process die while it works at a run."""
    mark = served.journal / "attempts" / f"{uid}.working"
    command = [sys.executable, str(SESSION), str(served.journal), str(served.directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("\n")
        child.stdin.flush()
        deadline = time.monotonic() + 60
        while True:
            wait_for(mark.exists, timeout=60, what="the run to be worked at")
            child.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
            if mark.exists():
                break
            assert time.monotonic() < deadline
            child.send_signal(signal.SIGCONT)
        child.kill()
    assert mark.exists()


def workers() -> list[int]:
    """Return the processes that file one run for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"beamstream.archive.filing_worker" in (entry / "cmdline").read_bytes():
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                found += [int(entry.name)] if int(parent) == os.getpid() else []
    return found


def command(*arguments: str) -> str:
    """Run a command of ours; return what it printed."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_whose_feeder_was_killed_while_filing_it_is_filed_whole_by_a_process_of_its_own(
    served, journal, wait_for
):
    uid = journaled(journal, 3000)
    kill_while_filing(served, uid, wait_for)
    with feeding(served):
        wait_for(lambda: (journal / "filed" / f"{uid}.jsonl").exists(), timeout=90, what="the run to be filed")
    client = connect(served.directory)
    try:
        assert len(client[uid]["primary"].base["internal"].read()) == 3000
    finally:
        client.context.close()
    assert list((journal / "attempts").iterdir()) == []


def test_a_run_that_ends_its_process_again_is_refused_and_the_rest_goes_on(served, journal, wait_for):
    bad = journaled(journal, 3000)
    kill_while_filing(served, bad, wait_for)
    refused, good = journal / "refused" / f"{bad}.jsonl", journaled(journal, 3)
    with feeding(served) as feeder:
        wait_for(workers, timeout=60, what="the process that files the run")
        for pid in workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(refused.exists, timeout=60, what="the run to be refused")
        wait_for(lambda: (journal / "filed" / f"{good}.jsonl").exists(), timeout=60, what="the other run to be filed")
        assert feeder.statistics()["refused"] == 1
    with feeding(served):  # and it stays there
        other = journaled(journal, 3)
        wait_for(lambda: (journal / "filed" / f"{other}.jsonl").exists(), timeout=60, what="a third run to be filed")
        assert refused.exists()
        (listed,) = json.loads(command("runs", "refused", "--archive", str(served.directory), "--json"))
        assert (listed["uid"], listed["ended"]) == (bad, 2)
        assert "ended while" in listed["reason"]
        assert bad[:8] in command("runs", "refused", "--archive", str(served.directory))
        command("runs", "retry", bad, "--archive", str(served.directory))
        wait_for(lambda: (journal / "filed" / f"{bad}.jsonl").exists(), timeout=90, what="the run to be filed at last")
    assert json.loads(command("runs", "refused", "--archive", str(served.directory), "--json")) == []
    client = connect(served.directory)
    try:
        assert run_summary(client[bad].metadata).exit_status == "success"
    finally:
        client.context.close()


def test_a_run_of_more_rows_than_a_catalogue_can_name_is_refused_with_a_reason(served, journal, wait_for):
    uid = journaled(journal, 1)
    path = journal / f"{uid}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    first = json.loads(lines[1])["doc"]
    key = {"source": "x", "dtype": "array", "shape": [4, 4], "dtype_numpy": "|u1", "external": "STREAM:"}
    first |= {"uid": "11111111-1111-4111-8111-111111111111", "name": "images", "data_keys": {"image": key}}
    resource = {"uid": "22222222-2222-4222-8222-222222222222", "run_start": uid, "data_key": "image"}
    resource |= {"mimetype": "application/x-zarr", "uri": f"file://localhost{served.streams}/none"}
    resource |= {"parameters": {"chunk_shape": [1, 4, 4]}}
    rows = 99_999_991
    datum = {"uid": f"{resource['uid']}/0", "stream_resource": resource["uid"], "descriptor": first["uid"]}
    datum |= {"indices": {"start": 0, "stop": rows}, "seq_nums": {"start": 1, "stop": rows + 1}}
    more = [("descriptor", first), ("stream_resource", resource), ("stream_datum", datum)]
    lines[-1:-1] = [json.dumps({"name": name, "doc": doc}).encode() + b"\n" for name, doc in more]
    path.write_bytes(b"".join(lines))
    with feeding(served):
        reason = journal / "refused" / f"{uid}.txt"
        wait_for(reason.exists, timeout=60, what="the run to be refused")
        assert f"{rows} rows" in reason.read_text()


def test_marks_count_processes_that_ended_and_none_of_an_earlier_start_of_the_machine(tmp_path):
    attempts = Attempts(tmp_path)
    attempts.begin("one")
    (tmp_path / "two.working").write_text("another boot")
    with attempts.working("three"):
        pass
    again = Attempts(tmp_path)
    assert [again.ended(name) for name in ("one", "two", "three")] == [1, 0, 0]
    again.begin("one")
    third = Attempts(tmp_path)
    assert third.ended("one") == 2
    third.forget("one")
    assert third.ended("one") == 0
    assert list(tmp_path.iterdir()) == []
