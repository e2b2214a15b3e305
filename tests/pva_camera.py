"""A camera in a process of its own that posts what its stdin says: for tests of several rooms, run as a program.

``python pva_camera.py PV``; then a command a line, JSON, each answered by a line:

* ``{"post": [[unique_id, timestamp]]}`` posts frames, all pixels of the n-th one ``n % 250`` (null: not stamped);
* ``{"run": {"period": s, "delay": s, "clock": s}}`` lets it run by itself: a frame is stamped when its exposure begins,
  by a clock that is off by so much (null: not stamped), and comes `delay` later; with ``"numbers"``, one of `NUMBERS`;
* ``{"contradict": [[unique_id, timestamp]], "wrong": {field: value}}`` posts frames whose header says what is not so.
"""

import json
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SHAPE = (48, 64)
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "too few": ({"dimension": [64, 47]}, r"dimensions \[64, 47\] ask for 3008 values, 3072 are there"),
    "none": ({"dimension": []}, r"3072 values in ubyteValue, but dimensions are \[\]"),
    "zero": ({"dimension": [64, 0]}, r"dimensions are \[64, 0\]"),
    "negative": ({"dimension": [-64, 48]}, r"dimensions are \[-64, 48\]"),
    "no pixels": ({"number": 0}, "ask for 3072 values, 0 are there"),
    "codec": ({"codec": ["lz4", 5]}, "codec lz4: 3072 bytes asked for, the 3072 compressed bytes do not hold that"),
    "pixel type": ({"codec": ["lz4", 3]}, "48 × 64 int32 lz4 is 12288 bytes, uncompressedSize is 3072"),
    "no pixel type": ({"codec": ["lz4", 11]}, "codec.parameters 11; it must be pvData's number"),
    "uncompressed": ({"codec": ["lz4", 5], "uncompressedSize": 9}, "is 3072 bytes, uncompressedSize is 9"),
    "compressed": ({"codec": ["lz4", 5], "compressedSize": 4000}, "compressedSize is 4000, 3072 bytes are there"),
    "not bytes": ({"codec": ["lz4", 6], "field": "ushortValue"}, "codec lz4 with pixels in ushortValue"),
    "unknown": ({"codec": ["bszstd", 5]}, "codec 'bszstd' is not known, known are"),
    "colours": ({"ColorMode": 2}, r"ColorMode 2 \(rgb1\) and dimensions \[64, 48\] contradict each other"),
}
"""What the header of a frame may say of itself that is not so: fields, and what is said of it, a pattern."""
NUMBERS: dict[str, Any] = {
    "one by one": lambda n: n,
    "0": lambda n: 0,
    "7": lambda n: 7,
    "by 2": lambda n: 2 * n,
    "anew each 10": lambda n: n % 10,
    "back": lambda n: 100_000 - n,
    "over the end": lambda n: (2**32 - 60 + n) % 2**32 - 2**31,  # of an int32
}
"""How a camera numbers its n-th frame."""


class PvaCamera:
    """Start that process; a context manager."""

    def __init__(self, pv: str) -> None:
        self.pv = pv
        command = [sys.executable, str(Path(__file__)), pv]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        self._answer()
        return self

    def post(self, frames: list[tuple[int, float | None]]) -> None:
        """Post frames, unique_id and time stamp of each."""
        self._do({"post": frames})

    def run(self, period: float, delay: float, clock: float | None = 0.0, numbers: str = "one by one") -> None:
        """Let it run by itself."""
        self._do({"run": {"period": period, "delay": delay, "clock": clock, "numbers": numbers}})

    def contradict(self, frames: list[tuple[int, float | None]], wrong: dict[str, Any]) -> None:
        """Post frames whose header says something that is `WRONG`."""
        self._do({"contradict": frames, "wrong": wrong})

    def _do(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


class _Server:
    def __init__(self, pv: str) -> None:
        import pvaccess

        self._pva: Any = pvaccess
        self._pv, self._posted = pv, 0
        self._server = self._pva.PvaServer()
        self._server.addRecord(pv, self._frame(0, None), None)
        self._server.start()

    def post(self, unique_id: int, timestamp: float | None) -> None:
        self._posted += 1
        self._server.update(self._pv, self._frame(unique_id, timestamp))

    def _frame(self, unique_id: int, timestamp: float | None) -> Any:
        import numpy as np

        frame = self._pva.NtNdArray()
        frame["value"] = {"ubyteValue": np.full(SHAPE[0] * SHAPE[1], self._posted % 250, "u1")}
        frame["dimension"] = [self._pva.PvDimension(n, 0, n, 1, False) for n in reversed(SHAPE)]
        frame["compressedSize"] = frame["uncompressedSize"] = SHAPE[0] * SHAPE[1]
        frame["uniqueId"] = unique_id
        if timestamp is not None:
            seconds = int(timestamp // 1)
            frame["dataTimeStamp"] = {
                "secondsPastEpoch": seconds,
                "nanoseconds": int(timestamp % 1 * 1e9),
                "userTag": 0,
            }
        return frame

    def contradict(self, unique_id: int, timestamp: float | None, wrong: dict[str, Any]) -> None:
        import numpy as np

        pva, frame = self._pva, self._frame(unique_id, timestamp)
        size, field = SHAPE[0] * SHAPE[1], wrong.get("field", "ubyteValue")
        dtype = {"ubyteValue": "u1", "ushortValue": "u2"}[field]
        frame["value"] = {field: np.full(wrong.get("number", size), self._posted % 250, dtype)}
        sizes = wrong.get("dimension", list(reversed(SHAPE)))
        frame["dimension"] = [pva.PvDimension(n, 0, n, 1, False) for n in sizes]
        for key in ("compressedSize", "uncompressedSize"):
            frame[key] = wrong.get(key, size)
        if "codec" in wrong:
            frame["codec"] = pva.PvCodec(wrong["codec"][0], pva.PvInt(wrong["codec"][1]))
        if "ColorMode" in wrong:
            frame["attribute"] = [pva.NtAttribute("ColorMode", pva.PvInt(wrong["ColorMode"]))]
        self._posted += 1
        self._server.update(self._pv, frame)

    def run(self, period: float, delay: float, clock: float | None, numbers: str) -> None:
        under_way: deque[tuple[int, float]] = deque()
        due, unique_id = time.time(), 0
        while True:
            due, unique_id = due + period, unique_id + 1
            time.sleep(max(0.0, due - time.time()))
            under_way.append((unique_id, time.time()))
            while under_way and under_way[0][1] <= time.time() - delay:
                number, begun = under_way.popleft()
                self.post(NUMBERS[numbers](number), None if clock is None else begun + clock)


def _answer() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


def main(pv: str) -> None:
    """Serve until stdin ends."""
    server = _Server(pv)
    _answer()
    for line in sys.stdin:
        command = json.loads(line)
        for unique_id, timestamp in command.get("post", ()):
            server.post(unique_id, timestamp)
        if "run" in command:
            threading.Thread(target=server.run, kwargs=command["run"], daemon=True).start()
        for unique_id, timestamp in command.get("contradict", ()):
            server.contradict(unique_id, timestamp, command["wrong"])
        _answer()


if __name__ == "__main__":
    main(sys.argv[1])
