"""A camera whose frames carry many attributes, as fast as a server can post them: a program of its own.

``python attribute_camera.py PV SIZE ATTRIBUTES``; then a command a line, JSON, each answered by a line:
``{"fps": 4000, "frames": 80000}`` posts so many frames, and answers how long it took, s. Three of five attributes are
numbers that change with each frame, the others text that does not. What a frame has follows from its ``uniqueId``.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pvaccess

pva: Any = pvaccess  # compiled, without type information
_MADE = 64  # frames that are made before, and posted by turns: to fill one with 20 attributes takes longer than to post
TEXT = "text that does not change"


def numbers(count: int) -> int:
    """Return how many of so many attributes are numbers."""
    return count * 3 // 5


def expected(unique_id: int, count: int) -> dict[str, Any]:
    """Return the attributes of a frame, beside ``ColorMode``."""
    values: dict[str, Any] = {f"Number{k}": (unique_id % _MADE) * 0.5 + k for k in range(numbers(count))}
    return values | {f"Text{k}": f"{TEXT} {k}" for k in range(count - numbers(count))}


def _frame(number: int, size: int, count: int) -> Any:
    frame = pva.NtNdArray()
    frame["value"] = {"ushortValue": np.full(size * size, number, "u2")}
    frame["dimension"] = [pva.PvDimension(size, 0, size, 1, False)] * 2
    frame["compressedSize"] = frame["uncompressedSize"] = size * size * 2
    attributes = [pva.NtAttribute("ColorMode", pva.PvInt(0))] if count else []
    for name, value in expected(number, count).items():
        attributes.append(pva.NtAttribute(name, pva.PvString(value) if isinstance(value, str) else pva.PvDouble(value)))
    frame["attribute"] = attributes
    return frame


def main(pv: str, size: int, count: int) -> None:
    """Serve until stdin ends."""
    made = [_frame(number, size, count) for number in range(_MADE)]
    server = pva.PvaServer()
    server.addRecord(pv, _frame(0, size, count), None)
    server.start()
    unique_id = 0
    _answer("ready")
    for line in sys.stdin:
        command = json.loads(line)
        began = time.monotonic()
        for index in range(command["frames"]):
            time.sleep(max(0.0, began + index / command["fps"] - time.monotonic()))
            unique_id += 1
            frame, now = made[unique_id % _MADE], time.time()
            frame["uniqueId"] = unique_id
            frame["dataTimeStamp"] = {"secondsPastEpoch": int(now), "nanoseconds": int(now % 1 * 1e9), "userTag": 0}
            server.update(pv, frame)
        _answer(time.monotonic() - began)


def _answer(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
