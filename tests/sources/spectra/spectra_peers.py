"""A publisher of spectra for tests: one that knows when it is heard, and what it sends."""

import time
from typing import Any

import numpy as np
import zmq

from beamstream.frames import Geometry
from beamstream.spectra_wire import encode

SHAPE = (1, 32, 4)
GEOMETRY = Geometry(SHAPE, "<f4")
START = 1755537514.794256  # s since 1970
PERIOD = 0.25  # s


def values(number: int, shape: tuple[int, ...] = SHAPE, dtype: str = "<f4") -> np.ndarray:
    return np.random.default_rng(number).random(shape).astype(dtype)


def a_message(shape: tuple[int, ...] = SHAPE, dtype: str = "<f4", sequence: int | None = 0) -> list:
    parts = encode(values(0, shape, dtype), time_tag=1, timestamp=1.0, last_block_time=1.0, sequence=sequence)
    return [bytes(part) for part in parts]


class Publisher:
    """A publisher that knows when somebody has subscribed; bound to a free port, or to a given one.

    With a `high_water` it drops what finds so many messages waiting, as publishers do.
    """

    def __init__(self, port: int = 0, high_water: int = 0) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, high_water)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.address = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        self.port = int(self.address.rpartition(":")[2])

    def meet(self, timeout: float = 10.0) -> None:
        """Wait until a subscription has come."""
        assert self._socket.poll(timeout * 1000), "nobody subscribed"
        while self._socket.poll(0):
            self._socket.recv()

    def send(self, number: int, data: np.ndarray | None = None, *, counted: bool = True, **header: Any) -> None:
        data = values(number) if data is None else data
        said = {"time_tag": 1, "timestamp": time.time(), "last_block_time": START + number * PERIOD, **header}
        self.send_parts(encode(data, sequence=number if counted else None, **said))

    def send_parts(self, parts: list) -> None:
        self._socket.send_multipart(parts)

    def close(self) -> None:
        self._context.destroy(linger=0)
