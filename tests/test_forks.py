"""A child made by fork: it ends like any process, and nothing of its parent's is touched, nor kept."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from beamstream.locks import is_locked

HEAD = """
import multiprocessing, os, sys, time
from pathlib import Path
import numpy as np
from beamstream.exits import OpenObjects, at_exit, before_exit
from beamstream.frames import Frame, Geometry
from beamstream.sinks.hdf5 import Hdf5Sink

where = Path(sys.argv[1])
geometry = Geometry((64, 64), "<u2")

def frames(start, stop):
    return [Frame(np.full((64, 64), i, "<u2"), geometry, i, 2e9 + i, 2e9 + i, "made") for i in range(start, stop)]
"""

RECORDING = """
sink = Hdf5Sink(where / "run.h5", geometry)
sink.__enter__()
sink.write(frames(1, 8))
child = os.fork()
if child == 0:
    if sys.argv[2] == "close":
        sink.__exit__(None, None, None)
    sys.exit(0)  # HDF5 finishes what it has open
for start in range(8, 400, 8):
    sink.write(frames(start, start + 8))
_, status = os.waitpid(child, 0)
sink.write(frames(400, 401))
print(status, flush=True)
os.kill(os.getpid(), 9)
"""

REGISTERED = """
class Opened:
    def __init__(self, name):
        self.name = name
        opened.add(self)

opened = OpenObjects(lambda those: [print("close", one.name, flush=True) for one in those])
at_exit(lambda: print("at exit", os.getpid() == parent, flush=True))
before_exit(lambda: print("before exit", os.getpid() == parent, flush=True))
parent = os.getpid()
kept = [Opened("of the parent")]

def work():
    kept.append(Opened("of the child"))

if sys.argv[2] == "fork":
    child = os.fork()
    if child == 0:
        work()
        sys.exit(0)
    print("child", os.waitpid(child, 0)[1], flush=True)
else:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(30)
    print("child", process.exitcode, flush=True)
"""

LOCKS = """
from beamstream.archive.address import claim
from beamstream.archive.feeder import Feeder
from beamstream.archive.layout import Layout
from beamstream.callbacks.journal import Journal
from beamstream.rheed.job import JobDirectory
from beamstream.rheed.lock import locked
from beamstream.ring import Ring

journal = Journal(where)
journal("start", {"uid": "run", "time": 1.0})
ring = Ring(sys.argv[2], memory=2**20)
ring.prepare(geometry)
sink = Hdf5Sink(where / "run.h5", geometry)
sink.__enter__()
feeder = Feeder(where, lambda: None)
feeder.start()
layout = Layout(where)
server = claim(layout)
job = JobDirectory(where)
upload = locked(job)
upload.__enter__()
paths = [where / "run.jsonl", ring._segment.path, where / "run.h5", where / ".feeder.lock", layout.lock, job.lock]
child = os.fork()
if child == 0:
    os.closerange(0, 3)
    time.sleep(600)
    os._exit(0)
print(child, *paths, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


@contextmanager
def script(text: str, *arguments: object) -> "Iterator[subprocess.Popen[str]]":
    """Run a Python script."""
    command = [sys.executable, "-c", HEAD + text, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize("how", ["end", "close"])
def test_a_child_that_ends_leaves_the_file_that_its_parent_records(tmp_path, how):
    with script(RECORDING, tmp_path, how) as child:
        out, err = child.communicate(timeout=60)
    assert (out, err) == ("0\n", "")
    with h5py.File(tmp_path / "run.h5", swmr=True) as file:
        ids = file["entry/data/unique_id"][:]
        assert list(ids) == list(range(1, 401))
        assert all((image == i).all() for image, i in zip(file["entry/data/data"], ids, strict=True))


@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
def test_what_is_to_be_done_at_the_end_is_done_by_who_asked_for_it(tmp_path, how):
    with script(REGISTERED, tmp_path, how) as child:
        out, err = child.communicate(timeout=60)
    of_child = ["close of the child"] if how == "fork" else []  # multiprocessing's children run no atexit
    assert (out.splitlines(), err) == (
        [*of_child, "child 0", "before exit True", "at exit True", "close of the parent"],
        "",
    )


def test_an_orphan_keeps_no_lock_of_its_parent(tmp_path, wait_for):
    with script(LOCKS, tmp_path, f"orphan{os.getpid()}") as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        said = parent.stdout.readline().split()
        assert said, parent.communicate()[1]
        orphan, paths = int(said[0]), [Path(path) for path in said[1:]]
        try:
            assert len(paths) == 6
            assert [path for path in paths if not is_locked(path)] == []
            parent.stdin.write("\n")
            parent.stdin.flush()
            assert parent.wait(30) == -signal.SIGKILL
            os.kill(orphan, 0)  # it lives
            wait_for(lambda: not any(map(is_locked, paths)), what="the locks to be free")
        finally:
            os.kill(orphan, signal.SIGKILL)
            paths[1].unlink()


def test_a_question_for_a_lock_does_not_disturb_who_opens_the_file(tmp_path):
    from beamstream.frames import Geometry
    from beamstream.sinks.hdf5 import Hdf5Sink

    with Hdf5Sink(tmp_path / "run.h5", Geometry((4, 4), "<u2")) as sink:
        assert is_locked(sink.path)
        with h5py.File(sink.path, swmr=True), h5py.File(sink.path, swmr=True):
            assert is_locked(sink.path)
    assert not is_locked(sink.path)
    assert not is_locked(tmp_path / "none")
