"""Receive spectra with `SpectraReceiver`, in a process of its own: ``python spectra_receiving.py ADDRESS WEB``.

Without a page (WEB 0) or with one (1). Prints when spectra come, with the page's port; ends at the first line of
standard input, and prints then what came, the age of the newest 1200 messages when they came, and the CPU time of
this process: the page is served by another.
"""

import json
import os
import sys
import time

import numpy as np
import psutil

from beamstream.readers import RingView
from beamstream.receiver import SpectraReceiver


def cpu() -> float:
    """Return the CPU time of this process so far, s."""
    times = psutil.Process().cpu_times()
    return times.user + times.system


def main(address: str, web: bool) -> None:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with SpectraReceiver(host, int(port), plot_interval=0, start_webshow=web, web_port=0) as receiver:
        before = cpu()
        while not receiver.account.received:
            time.sleep(0.01)
        page = receiver.web.url if receiver.web is not None else "http://127.0.0.1:0"
        print(json.dumps({"ready": True, "port": int(page.rstrip("/").rpartition(":")[2])}), flush=True)
        sys.stdin.readline()
        used = cpu() - before
        assert receiver.ring is not None
        view = RingView(receiver.ring.name, os.getpid())
        delays = [view.frame(index).attributes["delay"] for index in range(*view.bounds())]
        last = int(view.identity(view.bounds()[1] - 1)[0])
        view.close()
        found = {
            "recorded": receiver.account.received,
            "gaps": receiver.get_buffer_status()["lost"],
            "last": last,
            "delay": float(np.median(delays)),
            "delay_99": float(np.quantile(delays, 0.99)),
            "cpu": used,
            "error": None,
        }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1")
