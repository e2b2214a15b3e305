"""What recording costs at the rates that users ask for, and whether it keeps every frame."""

import os
import subprocess
import sys
import threading
import time
from statistics import mean, median

import psutil
import pytest

pytestmark = pytest.mark.benchmark
READERS = """
import sys, threading, time
from beamstream.readers import Latest, RingView

def look():
    view = RingView(sys.argv[1])
    newest, seen = Latest(view), 0
    while not over.wait(0.05):  # a viewer at 20 Hz
        seen += newest.read(0.1) is not None
    del newest
    view.close()
    total.append(seen)

over, total = threading.Event(), []
threads = [threading.Thread(target=look) for _ in range(8)]
[t.start() for t in threads]
print("ready", flush=True)
sys.stdin.read()
over.set()
[t.join() for t in threads]
print(sum(total))
"""


def told(taken) -> str:
    return (
        f"{taken.recorded} recorded, {taken.lost} lost in {taken.span:.1f} s, "
        f"{100 * taken.cpu / taken.span:.0f} % of a core"
    )


@pytest.mark.parametrize(
    ("rig", "fps", "share"), [(128, 500, 3), (1024, 100, 1), (2048, 50, 1), (2048, 100, 1)], indirect=["rig"]
)
def test_a_recording_loses_nothing(rig, fps, share, seconds, report):
    with rig.detector() as cam:
        taken = rig.recorded(fps, share * seconds, cam)
    report(f"{rig.size}² uint16 at {fps} fps", told(taken))
    assert taken.held


@pytest.mark.parametrize("rig", [1024], indirect=True)
def test_eight_latest_readers_cost_the_recorder_little(rig, seconds, report):
    """The recorder's CPU time a frame, alone and watched by turns."""
    alone, watched, seen = [], [], 0
    with rig.detector() as cam:
        for _ in range(3):
            alone.append(rig.recorded(100, seconds / 2, cam))
            readers = subprocess.Popen(
                [sys.executable, "-c", READERS, cam.ring.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            with readers:
                assert readers.stdout is not None
                assert readers.stdout.readline() == "ready\n"
                watched.append(rig.recorded(100, seconds / 2, cam))
                assert readers.stdin is not None
                readers.stdin.close()
                seen += int(readers.stdout.read())
    ratio = mean(t.cpu for t in watched) / mean(t.cpu for t in alone)
    report("8 latest readers at 20 Hz, 1024² at 100 fps", f"{ratio:.3f} of the recorder's CPU time alone; {seen} looks")
    assert all(t.held for t in alone + watched)
    assert seen > 8 * 3 * seconds / 2 * 5


@pytest.mark.soak
@pytest.mark.parametrize("rig", [512], indirect=True)
def test_memory_does_not_grow_in_ten_minutes(rig, seconds, report):
    sizes: list[int] = []
    over = threading.Event()

    def watch() -> None:
        process = psutil.Process()
        while not over.wait(1.0):
            sizes.append(process.memory_info().rss)

    with rig.detector() as cam:
        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        try:
            taken = rig.recorded(100, 30 * seconds, cam)
        finally:
            over.set()
            watcher.join()
    quarter = len(sizes) // 4
    growth = median(sizes[-quarter:]) / median(sizes[:quarter]) - 1
    report(
        f"RSS in {time.monotonic() - began:.0f} s of 512² at 100 fps",
        f"{100 * growth:+.1f} % from the first to the last quarter ({median(sizes[-quarter:]) / 2**20:.0f} MiB); "
        + told(taken),
    )
    assert taken.held
