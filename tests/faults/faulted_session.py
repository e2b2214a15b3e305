"""A session that records and journals: ``faulted_session.py DIRECTORY``, one run for a line on standard input.

How many frames are recorded is kept up to date in ``DIRECTORY/reported``, for others to read after a kill. Each run
ends with a line of JSON.
"""

import json
import mmap
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from ophyd import Component as Cpt

from beamstream.callbacks.journal import Journal
from beamstream.frames import Frame, Geometry
from beamstream.ledger import UniqueIds
from devices.statistics import FrameStatistics
from devices.stream_detector import StreamDetector
from plans.ledger import ledger_wrapper
from plans.record import record

FRAMES = 200
GEOMETRY = Geometry((90, 131), "<u2")


class Counting:
    """A source of frames that are their own number in every pixel, one each 4 ms."""

    uri, connected = "counting://up", True

    def __init__(self) -> None:
        self._stop, self._thread = threading.Event(), threading.Thread()

    def connect(self, timeout: float) -> Geometry:
        return GEOMETRY

    def start(self, listener: Any, timeout: float) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self._thread.start()

    def _run(self, listener: Any) -> None:
        number, ids = 0, UniqueIds()
        while not self._stop.wait(0.004):
            number += 1
            now = time.time()
            image = np.full(GEOMETRY.shape, number, GEOMETRY.dtype)
            listener.frame(Frame(image, GEOMETRY, number, now, now, "counting"), ids.see(number))

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        self.stop()


class Camera(StreamDetector):
    """Records from `Counting`."""

    stats = Cpt(FrameStatistics, kind="normal")

    def _geometry(self, timeout: float) -> Geometry:
        return GEOMETRY


def report(camera: Camera, path: Path) -> None:
    """Keep the number of frames that are recorded where a kill does not reach."""
    path.write_bytes(bytes(8))
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 8)
    while True:
        struct.pack_into("<q", memory, 0, camera.ledger.account.recorded)
        time.sleep(0.001)


def run(engine: RunEngine, camera: Camera) -> dict[str, Any]:
    """Return what became of one run."""
    documents: list[tuple[str, Any]] = []
    token = engine.subscribe(lambda name, doc: documents.append((name, doc)))
    error, began = None, time.monotonic()
    try:
        engine(record([camera], num=FRAMES))
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    engine.unsubscribe(token)
    account = camera.ledger.account
    columns = {name: getattr(account, name) for name in ("received", "recorded", "discarded", "lost")}
    announced = max((doc["indices"]["stop"] for name, doc in documents if name == "stream_datum"), default=0)
    path = "" if camera.path is None else str(camera.path)
    return {"error": error, "path": path, "announced": announced, "took": time.monotonic() - began, **columns}


def main(where: Path) -> None:
    camera = Camera("", Counting(), name="cam", directory=where / "recordings", ring_memory=2**22)
    engine = RunEngine({}, context_managers=[])
    engine.preprocessors.append(ledger_wrapper)
    engine.subscribe(Journal(where / "journal"))
    threading.Thread(target=report, args=(camera, where.parent / f"{where.name}.reported"), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(run(engine, camera)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
