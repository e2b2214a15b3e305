"""A session whose detector records made-up frames, and that kills itself: ``recording_session.py DIRECTORY HOW``."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky import RunEngine
from bluesky.utils import Msg, MsgGenerator

sys.path.insert(0, str(Path(__file__).parents[1]))  # for counting_detector

from counting_detector import CountingDetector, CountingSource

from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import Journal
from beamstream.frames import Geometry
from plans.ledger import ledger_wrapper
from plans.record import record

SHAPE = Geometry((16, 24), "<u2")


def attributes_of(number: int) -> dict[str, Any]:
    """Return what a frame carries: what does not change, what does, and what is not on every frame."""
    own: dict[str, Any] = {"Sample": "GaAs", "Temperature": 20 + number / 2, "Pulse": number}
    return own | ({"Note": [number]} if number % 4 == 0 else {})


def fly(cam: CountingDetector) -> MsgGenerator[None]:
    """Fly as bluesky does: documents of the frames come at the end."""
    yield from bps.mv(cam.num_images, 100_000)
    yield from bps.declare_stream(cam, name="primary", collect=True)
    yield from bps.kickoff(cam, wait=True)
    yield from bps.complete(cam, wait=True)
    yield from bps.collect(cam, name="primary")


def plan_of(how: str, cam: CountingDetector) -> MsgGenerator[Any]:
    """Return what is killed: our flight, one of bluesky, a step scan; the detector staged before the run or in it."""
    staged = bpp.stage_wrapper
    match how:
        case "record":
            return record([cam], num=100_000)
        case "fly":
            return staged(bpp.run_wrapper(fly(cam)), [cam])
        case "fly, staged inside":
            return bpp.run_wrapper(staged(fly(cam), [cam]))
        case "count" | "count, first point":
            return bp.count([cam], num=1000)
    return bpp.run_wrapper(staged(bps.repeat(lambda: bps.trigger_and_read([cam]), num=1000), [cam]))


def die(directory: Path, cam: CountingDetector) -> None:
    """Write down what is reported as recorded, and die."""
    (directory / "reported").write_text(str(cam.get_index()))
    os.kill(os.getpid(), signal.SIGKILL)


def when_recorded(cam: CountingDetector, number: int, action: Callable[[], None]) -> None:
    while cam.get_index() < number:
        time.sleep(0.001)
    action()


def main() -> None:
    directory, how = Path(sys.argv[1]), sys.argv[2]
    source = CountingSource(SHAPE, period=0.003, left_out=range(15, 22), attributes_of=attributes_of)
    cam = CountingDetector("", source, name="cam", directory=directory / "recordings", ring_memory=2**20)
    engine = RunEngine({}, context_managers=[])
    engine.preprocessors.append(ledger_wrapper)
    engine.subscribe(Chain(Journal(directory / "journal")))
    point = 1 if how.endswith("first point") else 4

    def between_frame_and_event(msg: Msg) -> None:
        if msg.command == "create" and msg.kwargs["name"] == "primary" and cam.get_index() >= point:
            die(directory, cam)

    if "record" in how or "fly" in how:
        threading.Thread(target=when_recorded, args=(cam, 30, lambda: die(directory, cam)), daemon=True).start()
    else:
        engine.msg_hook = between_frame_and_event
    engine(plan_of(how, cam))


if __name__ == "__main__":
    main()
