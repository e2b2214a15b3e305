"""kill -9 and disk errors at single system calls of the feeder: every run is in the archive, whole, and once."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "archive"))  # for archive_session

import dask
from archive_session import SHAPE, Camera, fly, frame, make_engine
from syscalls import Attached, Fault, faults, places, waiting

from beamstream.archive.catalog import connect
from beamstream.archive.layout import Layout
from beamstream.archive.process import running_server

dask.config.set(scheduler="synchronous")  # its pool of threads would outlive a test
SESSION = Path(__file__).with_name("feeder_session.py")
FRAMES = 12
KINDS = {
    "signal=KILL": ("openat", "read", "close", "rename", "flock", "sendto", "recvfrom"),
    "error=EIO": ("openat", "read", "rename"),
    "error=ENOSPC": ("rename",),
}
QUICK = [Fault("rename", 1, "signal=KILL"), Fault("sendto", 6, "signal=KILL")]


@dataclass
class Served:
    """An archive that files nothing by itself, and its client."""

    layout: Layout
    client: Any


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for all."""
    layout = Layout(tmp_path_factory.mktemp("archive"))
    with running_server(layout.directory, feed=False):
        client = connect(layout.directory)
        yield Served(layout, client)
        client.context.close()


@contextmanager
def feeder(journal: Path, served: Served) -> "Iterator[subprocess.Popen[str]]":
    """Have a feeder that waits for its beginning."""
    with (
        (journal.parent / "words").open("ab") as words,
        waiting(SESSION, journal, served.layout.directory, stderr=words) as child,
    ):
        yield child


def attempt(where: Path, served: Served, *options: str) -> None:
    """Let a feeder meet one fault, and the next go on."""
    where.mkdir()
    (served.layout.recordings / where.name).mkdir(parents=True)
    camera = Camera("cam", served.layout.recordings / where.name, num=FRAMES)
    engine = make_engine(where / "journal")
    uids = [engine(fly([camera]))[0] for _ in range(2)]
    with feeder(where / "journal", served) as child, Attached(child.pid, *options):
        child.communicate("\n", timeout=90)
    if any((where / "journal").glob("*.jsonl")):
        with feeder(where / "journal", served) as child:
            child.communicate("\n", timeout=90)
    check(where / "journal", uids, served)


def check(journal: Path, uids: list[str], served: Served) -> None:
    """Look for every run, its end and each of its frames."""
    assert list(journal.glob("*.jsonl")) == []
    assert sorted(path.stem for path in (journal / "filed").glob("*.jsonl")) == sorted(uids)
    for uid in uids:
        run = served.client[uid]
        assert run.metadata["stop"]["exit_status"] == "success"
        there = np.asarray(run["primary", "cam_image"].read()).reshape(-1, *SHAPE)
        assert np.array_equal(there, [frame(n) for n in range(FRAMES)])


@pytest.mark.parametrize("fault", QUICK, ids=str)
def test_a_fault_at_one_call_of_the_feeder_costs_no_run(tmp_path, served, fault):
    attempt(tmp_path / "".join(c for c in str(fault) if c.isalnum()), served, "-o", "/dev/null", *fault.options)


@pytest.mark.soak
def test_no_call_of_the_feeder_is_a_place_to_lose_a_run(tmp_path, served, report):
    trace = tmp_path / "trace"
    calls = sorted({call for calls in KINDS.values() for call in calls})
    attempt(tmp_path / "counted", served, "-yy", "-o", str(trace), "-e", f"trace={','.join(calls)}")
    tried = faults(places(trace, str(tmp_path / "counted"), "<TCP"), KINDS)
    report("feeder", tmp_path, tried, lambda where, fault: attempt(where, served, "-o", "/dev/null", *fault.options))
