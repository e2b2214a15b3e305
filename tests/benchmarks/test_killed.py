"""kill -9 in the middle of a recording: what was reported as recorded is readable, bit by bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from beamstream.errors import SinkError
from beamstream.segment import PREFIX, sweep
from beamstream.sim.pattern import Pattern
from beamstream.sinks.hdf5 import frames_kept

pytestmark = pytest.mark.benchmark
INSTANTS = 20
RECORDER = """
import sys, threading
from bluesky import RunEngine
from devices.pva_detector import PvaDetector
from plans.record import monitor

prefix, directory = sys.argv[1:]
cam = PvaDetector(f"{prefix}:Pva1:Image", control=f"{prefix}:cam1:", name="cam", directory=directory)

def report():
    known = -1
    while True:
        now = cam.ledger.account.recorded
        if now != known:
            known = now
            print(now, flush=True)

threading.Thread(target=report, daemon=True).start()
RunEngine({})(monitor([cam]))
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rig", [512], indirect=True)
def test_every_frame_reported_is_readable_after_a_kill(rig, tmp_path, report):
    rig.pace(200)
    reported = readable = 0
    for number in range(INSTANTS):
        told, kept = one_kill(rig, tmp_path / str(number))
        reported, readable = reported + told, readable + kept
    sweep(PREFIX)
    report(
        f"kill -9 at {INSTANTS} random instants", f"{reported} frames reported as recorded, {readable} readable, exact"
    )
    assert readable >= reported > 0


def one_kill(rig, directory: Path) -> tuple[int, int]:
    """Kill a recording at a random instant; return the frames that it reported and those in the file."""
    command = [sys.executable, "-c", RECORDER, rig.spec.prefix, str(directory)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, process_group=0) as recorder:
        assert recorder.stdout is not None
        while recorder.stdout.readline() == b"0\n":
            continue
        time.sleep(random.uniform(0, 3))
        os.killpg(recorder.pid, signal.SIGKILL)
        lines = recorder.stdout.read().split(b"\n")[:-1]
    told = int(lines[-1]) if lines else 0
    path = next(directory.rglob("*.h5"), None)
    if path is None:  # killed before the recording began
        assert not told
        return 0, 0
    try:
        kept = frames_kept(path)
    except SinkError:  # killed while the file was being made
        assert not told
        return 0, 0
    assert kept >= told
    pattern = Pattern(rig.spec.geometry)
    with h5py.File(path, swmr=True, locking=False) as file:
        group: Any = file["entry/data"]
        for row in range(kept):
            assert np.array_equal(group["data"][row], pattern.image(int(group["unique_id"][row]))), f"{path}: {row}"
    path.unlink()
    return told, kept
