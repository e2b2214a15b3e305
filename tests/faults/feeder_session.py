"""A feeder by itself: ``feeder_session.py JOURNAL ARCHIVE``, from a line on standard input until all is filed."""

import json
import sys
import time
from pathlib import Path

from beamstream.archive.catalog import connect
from beamstream.archive.feeder import Feeder

DEADLINE = 60.0  # s


def main(journal: Path, archive: str) -> None:
    connect(archive).context.close()  # what has to be imported is
    feeder = Feeder(journal, lambda: connect(archive))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    ends = time.monotonic() + DEADLINE
    with feeder:
        while any(journal.glob("*.jsonl")) and time.monotonic() < ends:
            time.sleep(0.02)
        sys.stdout.write(json.dumps(feeder.statistics()) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
