"""The process of the cloud's own client, and the only one that loads it: ``python -m beamstream.rheed.client``.

The package is GPL; nothing of it is in ours, and it is in no process of ours but this. The worker says what to do in
lines of JSON on stdin, and hears of the progress in lines on stdout. The process ends with its parent.
"""

import ctypes
import importlib.machinery
import importlib.util
import signal
import sys
from pathlib import Path
from typing import Any

from beamstream.rheed.job import JobDirectory
from beamstream.rheed.orders import Cannot, Orders, answer_pipe

_PR_SET_PDEATHSIG = 1


def streamers() -> Any:
    """Load the client: its compiled module by itself, since the package around it takes 2.4 s and 300 MB.

    Raises
    ------
    Cannot
        It is not installed.
    """
    package = importlib.util.find_spec("atomscale")  # looks, and runs nothing of it
    if package is None or not package.submodule_search_locations:
        raise Cannot("upload: the cloud's client is not installed; pip install 'beamstream[rheed]'")
    places = [str(Path(place) / "streaming") for place in package.submodule_search_locations]
    spec = importlib.machinery.PathFinder.find_spec("rheed_stream", places)
    if spec is None or spec.loader is None:
        from atomscale.streaming import rheed_stream  # a version that has it elsewhere

        return rheed_stream
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Do what the first line of stdin says, until that is done or the worker is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # also while the client holds the GIL
    say, orders = answer_pipe(), Orders()
    try:
        first = orders.take(None)[0]
        directory = JobDirectory(Path(first["directory"]))
        if directory.job.kind == "timeseries":
            from beamstream.rheed.pushing_readings import PushingReadings as Pushing
        else:
            from beamstream.rheed.pushing_frames import PushingFrames as Pushing
        Pushing(streamers(), directory, first, orders, say).run()
    except EOFError:
        return 0
    except Cannot as error:
        say({"cannot": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
