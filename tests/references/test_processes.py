"""Several processes keep references at once, and some are killed in the middle."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from beamstream.frames import Geometry
from beamstream.references import ReferenceStore

SIDE = 512
GEOMETRY = Geometry((SIDE, SIDE), "<u2")
CHILD = """
    import sys
    import numpy as np
    from beamstream.frames import Geometry
    from beamstream.references import Reference, ReferenceStore

    directory, detector, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = ReferenceStore(directory)
    geometry = Geometry(({side}, {side}), "<u2")
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(1, count + 1):  # all in one second as far as the names tell
        mean = np.full(geometry.shape, float(k))
        store.keep(Reference("flat", mean, -mean, k, detector, geometry, None, 1e9 + k / 1e6))
"""


def start(directory: Path, detector: str, count: int) -> subprocess.Popen[str]:
    """Start a process that keeps `count` references as soon as `go` says so."""
    code = textwrap.dedent(CHILD).format(side=SIDE)
    arguments = [str(directory), detector, str(count)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=10)


def drafts(directory: Path) -> list[Path]:
    return list(directory.glob("*/.*.part"))


def kill_in_the_middle(process: subprocess.Popen[str], directory: Path) -> None:
    """Kill the process while a file is half written."""
    deadline = time.monotonic() + 20
    old = set(drafts(directory))
    while time.monotonic() < deadline:
        process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "the process does not stop"
        if any(draft.stat().st_size < 2 * 8 * SIDE**2 for draft in set(drafts(directory)) - old):
            process.kill()
            return
        process.send_signal(signal.SIGCONT)
    pytest.fail("the process was never seen to write")


def test_processes_that_keep_at_once_lose_nothing(tmp_path):
    processes = [start(tmp_path, "cam", 25) for _ in range(2)]
    for process in processes:
        go(process)
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    numbers = sorted(about.number for about in ReferenceStore(tmp_path).list("flat", "cam"))
    assert numbers == sorted([*range(1, 26)] * 2)


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_read(tmp_path, caplog, wait_for):
    store = ReferenceStore(tmp_path)
    for _ in range(3):
        process = start(tmp_path, "cam", 1_000_000)
        before = len(store.list())
        try:
            go(process)
            wait_for(lambda before=before: len(list(tmp_path.glob("cam/*.h5"))) > before + 3, what="some to be kept")
            kill_in_the_middle(process, tmp_path)
        finally:
            kill(process)
    assert len(drafts(tmp_path)) == 3  # they were in the middle
    there = store.list()
    assert len(there) > 9
    for about in there:
        whole = store.load(about.path)
        np.testing.assert_array_equal(whole.mean, np.full(GEOMETRY.shape, float(whole.number)))
        np.testing.assert_array_equal(whole.std, -whole.mean)
    assert store.find("flat", "cam", GEOMETRY).path == there[0].path
    assert caplog.records == []


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path):
    process = start(tmp_path, "cam", 1_000_000)
    try:
        go(process)
        kill_in_the_middle(process, tmp_path)
    finally:
        kill(process)
    (left,) = drafts(tmp_path)

    def keep_another():
        process = start(tmp_path, "cam", 1)
        go(process)
        process.communicate(timeout=20)
        assert process.returncode == 0

    keep_another()
    assert left.exists()  # its writer may live on another machine
    os.utime(left, (time.time() - 7200,) * 2)
    keep_another()
    assert not left.exists()
