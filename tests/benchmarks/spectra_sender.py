"""Send spectra at a rate, as cheaply as Python can: ``python spectra_sender.py RATE NUMBER``.

It prints its address and sends 50 a second until the first line of standard input, then as many as asked for at the
rate, then says so, with the first and the last number; it ends with its standard input. RATE 0: as fast as the
slowest subscriber takes them, without dropping.
"""

import json
import select
import sys
import time

import numpy as np
import zmq

from beamstream.spectra_wire import encode

SHAPE = (1, 3072, 4)
KEPT = 64  # different spectra
TAG = 344085352899674112
CADENCE = 0.25  # s that last_block_time advances
BEFORE = 50.0  # 1/s


def say(**doc: object) -> None:
    sys.stdout.write(json.dumps(doc) + "\n")
    sys.stdout.flush()


class Sender:
    """Messages in order, numbered from 0."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self.number = 0
        self._socket = socket
        self._bank = np.random.default_rng(0).gamma(4.0, 25.0, (KEPT, *SHAPE)).astype("<f4")
        self._begun = time.time()

    def send(self) -> None:
        n = self.number
        now = time.time()
        blocks = self._begun + n * CADENCE
        values = self._bank[n % KEPT]
        self._socket.send_multipart(encode(values, time_tag=TAG, timestamp=now, last_block_time=blocks, sequence=n))
        self.number = n + 1

    def send_all(self, rate: float, number: int) -> float:
        """Return the s that it took."""
        start = time.perf_counter()
        for n in range(number):
            early = start + n / rate - time.perf_counter() if rate else 0.0
            if early > 0.0002:
                time.sleep(early)
            self.send()
        return time.perf_counter() - start


def main(rate: float, number: int) -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB if not rate else zmq.PUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        if not rate:
            socket.setsockopt(zmq.XPUB_NODROP, 1)
        say(address=f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}")
        sender = Sender(socket)
        while not select.select([sys.stdin], [], [], 1 / BEFORE)[0]:
            sender.send()
        sys.stdin.readline()
        first = sender.number
        seconds = sender.send_all(rate, number)
        say(first=first, last=sender.number - 1, seconds=seconds)
        sys.stdin.readline()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
