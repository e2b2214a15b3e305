"""What the tests of the simulated instruments stand on: a client that sees every update, and control over CA."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pvaccess as pva
import pytest


@dataclass(frozen=True)
class Update:
    """One update of the monitor, taken apart in the callback."""

    unique_id: int
    sizes: tuple[int, ...]
    pixels: np.ndarray
    data_timestamp: float
    timestamp: float
    attributes: dict[str, Any]
    arrived: float

    @property
    def image(self) -> np.ndarray:
        return self.pixels.reshape(self.sizes[::-1])


def taken_apart(pv: Any) -> Update:
    field = pv.getSelectedUnionFieldName()
    pixels = pv["value"][0][field] if field else np.empty(0)
    seconds = [pv[f"{t}.secondsPastEpoch"] + pv[f"{t}.nanoseconds"] * 1e-9 for t in ("dataTimeStamp", "timeStamp")]
    attributes = {a["name"]: a["value"][0]["value"] for a in pv["attribute"]}
    sizes = tuple(d["size"] for d in pv["dimension"])
    return Update(pv["uniqueId"], sizes, pixels, *seconds, attributes, time.monotonic())


class Monitor:
    """Keep every update of a PV; the first one, the server's old frame, apart."""

    def __init__(self, name: str, wait_for: Any) -> None:
        self._seen: list[Update] = []
        self.errors: list[Exception] = []
        self._channel = pva.Channel(name)
        self._channel.subscribe("monitor", self._on_update)
        self._channel.startMonitor("record[queueSize=100]field()")
        wait_for(lambda: self._seen, what=f"{name} to answer")

    def _on_update(self, pv: Any) -> None:
        try:
            self._seen.append(taken_apart(pv))
        except Exception as error:
            self.errors.append(error)

    @property
    def first(self) -> Update:
        return self._seen[0]

    @property
    def updates(self) -> list[Update]:
        assert not self.errors
        return self._seen[1:]

    @property
    def ids(self) -> list[int]:
        return [u.unique_id for u in self.updates]

    def close(self) -> None:
        self._channel.stopMonitor()
        time.sleep(0.1)  # not for the test: a callback in flight at exit aborts the interpreter
        del self._channel


@pytest.fixture
def monitor(wait_for) -> Iterator[Any]:
    """Return a function that starts to watch a PV."""
    started: list[Monitor] = []

    def start(name: str) -> Monitor:
        started.append(Monitor(name, wait_for))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """One PVAccess server for the cameras that run inside the tests."""
    server = pva.PvaServer()
    server.start()
    yield server
    server.stop()
