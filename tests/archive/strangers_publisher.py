"""A data recorder as its wire is documented, written without anything of ours."""

import json
import threading
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
import zmq

SHAPE = (1, 96, 4)
GULP = 1024 * 24 * 8192 / 196e6 / 10  # s; ten times as fast as the real one
APART = 0.15 / 10  # s


class StrangersPublisher(threading.Thread):
    """Two messages a gulp with one ``timestamp``, then silence; no sequence number.

    Attributes
    ----------
    sent : dict of str to ndarray
        Values by ``last_block_time``.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.sent: dict[str, np.ndarray] = {}
        self._over = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")

    def run(self) -> None:
        random = np.random.default_rng(7)
        begun = float(int(time.time()))
        time_tag = int(begun) * 196_000_000
        gulp = 0
        while not self._over.is_set():
            timestamp = time.time()
            for half in range(2):
                block = datetime.fromtimestamp(begun + (gulp + half / 2) * GULP, UTC).replace(tzinfo=None)
                self._send(random.gamma(4.0, 25.0, SHAPE).astype("<f4"), time_tag, timestamp, str(block))
                time.sleep(APART)
            gulp += 1
            self._over.wait(GULP - 2 * APART)
        self._context.destroy(linger=0)

    def _send(self, values: np.ndarray, time_tag: int, timestamp: float, block: str) -> None:
        header = {
            "time_tag": time_tag,
            "nbeam": SHAPE[0],
            "nchan": SHAPE[1],
            "npol": SHAPE[2],
            "timestamp": timestamp,
            "last_block_time": block,
            "data_shape": list(SHAPE),
            "data_type": "<f4",
        }
        self.sent[block] = values
        self._socket.send_multipart([b"data", json.dumps(header).encode("utf-8"), values.tobytes()])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()
