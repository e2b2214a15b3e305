"""Record spectra with the device, in a process of its own: ``python spectra_recorder.py ADDRESS DIRECTORY``.

Prints when it follows; ends at the first line of standard input, and prints then what was recorded and lost, the median
age of messages when they came (they are in the ring some 50 µs later), and the CPU time.
"""

import json
import sys
from typing import Any

import h5py
import numpy as np
import psutil

from devices.spectrometer import ZmqSpectrometer


def cpu() -> float:
    """Return the CPU time of this process so far, s."""
    times = psutil.Process().cpu_times()
    return times.user + times.system


def main(address: str, directory: str) -> None:
    spec = ZmqSpectrometer(address, name="spec", directory=directory, timeout=20.0)
    spec.stage()
    before = cpu()
    spec.kickoff().wait(10)
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    try:
        spec.complete().wait(60)
        error = None
    except Exception as e:
        error = str(e)
    used = cpu() - before
    account = spec.ledger.account
    spec.unstage()
    with h5py.File(str(spec.path)) as file:
        group: Any = file["entry/data"]
        ids, delays = group["unique_id"][:], group["delay"][:]
    found = {
        "recorded": account.recorded,
        "lost": account.lost,
        "gaps": int(np.sum(np.diff(ids) - 1)),
        "last": int(ids[-1]),
        "delay": float(np.median(delays)),
        "delay_99": float(np.quantile(delays, 0.99)),
        "cpu": used,
        "error": error,
    }
    print(json.dumps(found), flush=True)
    spec.destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
