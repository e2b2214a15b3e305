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

from bluesky import RunEngine

sys.path.insert(0, str(Path(__file__).parents[1]))  # for counting_detector

from counting_detector import CountingDetector, CountingSource

from beamstream.callbacks.journal import Journal
from beamstream.frames import Geometry
from plans.ledger import ledger_wrapper
from plans.record import record

FRAMES = 200
GEOMETRY = Geometry((90, 131), "<u2")


def report(camera: CountingDetector, path: Path) -> None:
    """Keep the number of frames that are recorded where a kill does not reach."""
    path.write_bytes(bytes(8))
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 8)
    while True:
        struct.pack_into("<q", memory, 0, camera.ledger.account.recorded)
        time.sleep(0.001)


def run(engine: RunEngine, camera: CountingDetector) -> dict[str, Any]:
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
    camera = CountingDetector(
        "", CountingSource(GEOMETRY), name="cam", directory=where / "recordings", ring_memory=2**22
    )
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
