"""Record a camera for a while, in a process of its own, with an uploader or without.

``python live_upload.py PV SECONDS ARCHIVE [ENDPOINT KEY_FILE]`` prints what became of it as JSON.
"""

import json
import sys
import time
from pathlib import Path

from bluesky import RunEngine

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import Journal
from beamstream.callbacks.uploader import RheedUploader
from devices.pva_detector import PvaDetector
from plans.finish import finishing_wrapper
from plans.record import record


def main(pv: str, seconds: float, archive: Path, endpoint: str = "", key_file: str = "") -> None:
    chain = Chain(Journal(archive / "journal"))
    if endpoint:
        chain.add(RheedUploader(archive, endpoint=endpoint, key_file=key_file))
    engine = RunEngine({})
    engine.subscribe(chain)
    engine.preprocessors.append(lambda plan: finishing_wrapper(plan, chain=chain))
    camera = PvaDetector(pv, name="rheed", directory=archive / "recordings")
    began, cpu = time.monotonic(), time.process_time()
    engine(record([camera], seconds=seconds))
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    account = camera.ledger.account
    print(
        json.dumps({"recorded": account.recorded, "lost": account.lost, "core": cpu / took, "file": str(camera.path)})
    )
    camera.destroy()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
