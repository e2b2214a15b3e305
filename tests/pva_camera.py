"""A camera in a process of its own that posts what its stdin says: for tests of several rooms, run as a program.

``python pva_camera.py PV``; then a command a line, JSON, each answered by a line:

* ``{"post": [[unique_id, timestamp]]}`` posts frames, all pixels of the n-th one ``n % 250`` (null: not stamped);
  with ``"attributes": [[name, value]]``, and ``"dimension": [[offset, full size, binning, reverse]]``, the fastest axis
  first, where these are not as they are by themselves;
* ``{"run": {"period": s, "delay": s, "clock": s}}`` lets it run by itself: a frame is stamped when its exposure begins,
  by a clock that is off by so much (null: not stamped), and comes `delay` later.
"""

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
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

    def post(
        self,
        frames: list[tuple[int, float | None]],
        attributes: Mapping[str, Any] | list[tuple[str, Any]] = MappingProxyType({}),
        dimension: list[tuple[int, int, int, bool]] | None = None,
    ) -> None:
        """Post frames, unique_id and time stamp of each, all with the same attributes."""
        listed = list(attributes.items()) if isinstance(attributes, Mapping) else attributes
        self._do({"post": frames, "attributes": listed, "dimension": dimension})

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

    def post(self, unique_id: int, timestamp: float | None, command: dict[str, Any] | None = None) -> None:
        self._posted += 1
        frame = self._frame(unique_id, timestamp)
        listed, dimension = (command or {}).get("attributes", ()), (command or {}).get("dimension")
        frame["attribute"] = [self._pva.NtAttribute(name, self._value(value)) for name, value in listed]
        if dimension is not None:
            sizes = reversed(SHAPE)
            frame["dimension"] = [self._pva.PvDimension(n, *about) for n, about in zip(sizes, dimension, strict=True)]
        self._server.update(self._pv, frame)

    def _value(self, value: Any) -> Any:
        """Return a value as PVAccess has it; ``{"UByte": 7}`` for other types than JSON's own."""
        pva = self._pva
        if isinstance(value, dict):
            ((kind, value),) = value.items()
            return getattr(pva, f"Pv{kind}")(value)
        if isinstance(value, list):
            return pva.PvObject({"value": [pva.DOUBLE]}, {"value": value})
        kinds = {bool: pva.PvBoolean, int: pva.PvLong, float: pva.PvDouble, str: pva.PvString}
        return kinds[type(value)](value)

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
            server.post(unique_id, timestamp, command)
        if "run" in command:
            threading.Thread(target=server.run, kwargs=command["run"], daemon=True).start()
        _answer()


if __name__ == "__main__":
    main(sys.argv[1])
