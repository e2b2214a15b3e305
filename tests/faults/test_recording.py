"""kill -9, EIO and ENOSPC at single system calls of a session: what was reported is there, and all of it is named."""

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import h5py
import pytest
from faulted_session import FRAMES
from syscalls import Attached, Fault, faults, places, waiting

from beamstream.archive.recovery import recover
from beamstream.ledger import from_event
from beamstream.segment import PREFIX, sweep

SESSION = Path(__file__).with_name("faulted_session.py")
WRITES = ("pwrite64", "pwritev", "write", "fdatasync", "fsync", "fallocate", "ftruncate", "rename")
KINDS = {
    "signal=KILL": (*WRITES, "openat", "close", "lseek", "flock", "mkdir", "fadvise64"),
    "error=EIO": WRITES,
    "error=ENOSPC": ("pwrite64", "pwritev", "write", "fdatasync", "fallocate"),
    "error=EIO+": WRITES,
    "error=ENOSPC+": ("pwrite64", "pwritev", "write", "fallocate", "openat"),
}
QUICK = [
    Fault("pwrite64", 120, "signal=KILL"),
    Fault("fdatasync", 6, "signal=KILL"),
    Fault("pwrite64", 40, "error=EIO"),
    Fault("fallocate", 4, "error=ENOSPC+"),
]


def played(child: "subprocess.Popen[str]", *options: str) -> list[dict[str, Any]]:
    """Return what a session tells of a run under strace, and of one without; nothing where it was killed."""
    assert child.stdin is not None
    assert child.stdout is not None
    with Attached(child.pid, *options):
        child.stdin.write("\n")
        child.stdin.flush()
        first = child.stdout.readline()
    second, _ = child.communicate("\n" if first else None, timeout=120)
    return [json.loads(line) for line in (first + second).splitlines()]


def rows_of(path: Path) -> int:
    """Return how many rows a file has, each what was sent."""
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        group: Any = file["entry/data"]
        rows = min(len(group[key]) for key in ("data", "unique_id", "timestamp", "received"))
        ids, pixels = group["unique_id"][:rows], group["data"][:rows]
    assert (pixels == ids[:, None, None]).all(), path
    assert (ids[1:] > ids[:-1]).all(), path
    return rows


def announced(journal: Path) -> dict[str, int]:
    """Return how many frames the documents name, by path of the file."""
    named: dict[str, int] = {}
    for path in journal.glob("*.jsonl"):
        documents = [json.loads(line) for line in path.read_text().splitlines()]
        assert documents[-1]["name"] == "stop", path
        of = {}
        for document in documents:
            name, doc = document["name"], document["doc"]
            if name == "stream_resource":
                of[doc["uid"]] = doc["uri"].removeprefix("file://localhost")
                named.setdefault(of[doc["uid"]], 0)
            elif name == "stream_datum":
                assert doc["stream_resource"] in of, f"{path.name} names frames of a file that it does not name"
                key = of[doc["stream_resource"]]
                named[key] = max(named[key], doc["indices"]["stop"])
        if rows := max((named[key] for key in of.values()), default=0):
            check_account(documents, rows)
    return named


def check_account(documents: list[dict[str, Any]], rows: int) -> None:
    """Look whether a run has one account, of all rows of its file."""
    of = {one["doc"]["uid"] for one in documents if one["name"] == "descriptor" and one["doc"]["name"] == "ledger"}
    events = [one["doc"] for one in documents if one["name"] == "event" and one["doc"]["descriptor"] in of]
    assert len(events) == 1, f"{len(events)} accounts of {rows} rows"
    account = from_event(events[0]["data"])["cam"]
    assert account["recorded"] == rows, f"{rows} rows, the account is {account}"
    assert account["received"] == account["recorded"] + account["discarded"] + account["lost"], f"columns: {account}"


def check(where: Path, runs: list[dict[str, Any]]) -> None:
    """Look whether files, documents and columns agree."""
    journal = where / "journal"
    recovered = recover(journal)
    assert [one for one in recovered if one.outcome != "closed"] == []
    assert recover(journal) == []
    named = announced(journal)
    for path in (where / "recordings").rglob("*.h5"):
        try:
            rows = rows_of(path)
        except OSError:  # killed, or refused, while the file was being made
            rows = 0
        assert rows == named.get(str(path), 0), f"{path.name} has {rows} rows, the documents name others: {named}"
    if not runs:
        reported = struct.unpack("<q", where.with_name(f"{where.name}.reported").read_bytes())[0]
        most = max((rows for rows in named.values()), default=0)
        assert most >= reported, f"{reported} frames reported as recorded, {most} there"
    for number, run in enumerate(runs):
        assert run["received"] == run["recorded"] + run["discarded"] + run["lost"], f"columns of run {number}: {run}"
        assert run["error"] is not None or run["recorded"] == FRAMES, f"success: {run}"
        assert run["took"] < 60, f"{run}"
        if run["path"]:
            assert named.get(run["path"], 0) == run["recorded"], f"{run} has {named}"
    if runs:
        assert runs[1]["error"] is None, f"the next run: {runs[1]}"


def attempt(where: Path, fault: Fault) -> None:
    """Let one session meet one fault."""
    where.mkdir()
    with waiting(SESSION, where, stderr=subprocess.DEVNULL) as child:
        runs = played(child, "-o", "/dev/null", *fault.options)
    check(where, runs)


@pytest.mark.leaks_by_intention  # killed sessions leave their shared memory, which the next one sweeps
@pytest.mark.parametrize("fault", QUICK, ids=str)
def test_a_fault_at_one_call_loses_nothing_that_was_reported(tmp_path, fault):
    attempt(tmp_path / "session", fault)
    sweep(PREFIX)


@pytest.mark.soak
@pytest.mark.leaks_by_intention
def test_no_call_of_a_session_is_a_place_to_lose_a_frame(tmp_path, report):
    where, trace = tmp_path / "counted", tmp_path / "trace"
    where.mkdir()
    calls = sorted({call for calls in KINDS.values() for call in calls})
    with waiting(SESSION, where, stderr=subprocess.DEVNULL) as child:
        check(where, played(child, "-y", "-o", str(trace), "-e", f"trace={','.join(calls)}"))
    tried = faults(places(trace, str(where)), KINDS)
    report("session", tmp_path, tried, attempt)
    sweep(PREFIX)
