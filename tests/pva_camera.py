"""A camera in a process of its own that posts what its stdin says: for tests of several rooms, run as a program.

``python pva_camera.py PV``; then a command a line, JSON, each answered by a line:

* ``{"post": [[unique_id, timestamp]]}`` posts frames, all pixels of the n-th one ``n % 250`` (null: not stamped);
* ``{"run": {"period": s, "delay": s, "clock": s}}`` lets it run by itself: a frame is stamped when its exposure begins,
  by a clock that is off by so much (null: not stamped), and comes `delay` later.
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

    def run(self, period: float, delay: float, clock: float | None = 0.0) -> None:
        """Let it run by itself."""
        self._do({"run": {"period": period, "delay": delay, "clock": clock}})

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

    def run(self, period: float, delay: float, clock: float | None) -> None:
        under_way: deque[tuple[int, float]] = deque()
        due, unique_id = time.time(), 0
        while True:
            due, unique_id = due + period, unique_id + 1
            time.sleep(max(0.0, due - time.time()))
            under_way.append((unique_id, time.time()))
            while under_way and under_way[0][1] <= time.time() - delay:
                number, begun = under_way.popleft()
                self.post(number, None if clock is None else begun + clock)


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
        _answer()


if __name__ == "__main__":
    main(sys.argv[1])
