"""The real client, in a process of its own: lines of JSON in, one answer each; run by the tests."""

import json
import os
import sys
import warnings
from typing import Any


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    os.environ["ATOMSCALE_SKIP_CLOCK_SYNC"] = "1"
    warnings.simplefilter("ignore")
    import numpy as np
    from atomscale.streaming.rheed_stream import RHEEDStreamer, TimeseriesStreamer

    clients: dict[str, tuple[RHEEDStreamer, TimeseriesStreamer]] = {}
    say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        what, spool = asked.pop("do"), asked.pop("spool")
        try:
            if what == "open":
                key, url = asked["key"], asked["url"]
                rheed = RHEEDStreamer(key, endpoint=url, spool_dir=spool, verbosity=0)
                clients[spool] = rheed, TimeseriesStreamer(key, endpoint=url, verbosity=0)
                say({"answer": None})
                continue
            if what == "close":
                clients.pop(spool)
                say({"answer": None})
                continue
            if what == "push":
                asked["frames"] = np.load(asked["frames"])
            of = clients[spool][what.startswith("series_")]
            say({"answer": getattr(of, what.removeprefix("series_"))(**asked)})
        except Exception as error:
            say({"error": str(error)})


if __name__ == "__main__":
    main()
