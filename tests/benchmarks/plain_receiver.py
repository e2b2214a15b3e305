"""The reference: a receiver as one writes it in an afternoon. ``python plain_receiver.py ADDRESS PORT``.

A thread takes messages, reads the header, takes polarisation 0, the mean of every 4 channels, and keeps 1200 rows in
an array under a lock; a threading HTTP server answers with ``json.dumps`` of what is there. It ends at
the first line of standard input, and prints what it counted.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import psutil
import zmq

LENGTH, CHANNELS = 1200, 768


class Receiver:
    """The last rows, and how old messages were when they were in it."""

    def __init__(self, address: str) -> None:
        self.rows = np.zeros((LENGTH, CHANNELS))
        self.count = 0
        self.delays: list[float] = []
        self.numbers: list[int] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"data")
        self._socket.setsockopt(zmq.RCVTIMEO, 200)
        self._socket.connect(address)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                _, header, values = self._socket.recv_multipart()
            except zmq.Again:
                continue
            self.take(json.loads(header), values)
        self._context.destroy(0)

    def stop(self) -> None:
        self._stopping.set()

    def take(self, header: dict, values: bytes) -> None:
        spectrum = np.frombuffer(values, header["data_type"]).reshape(header["data_shape"])[0, :, 0]
        with self._lock:
            self.rows[self.count % LENGTH] = spectrum.reshape(CHANNELS, -1).mean(axis=1)
            self.count += 1
        self.delays.append(time.time() - header["timestamp"])
        self.numbers.append(header["sequence"])

    def newest(self, number: int) -> np.ndarray:
        with self._lock:
            number = min(number, self.count, LENGTH)
            return np.array([self.rows[i % LENGTH] for i in range(self.count - number, self.count)])


def serve(receiver: Receiver, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/data":
                answer: object = receiver.newest(1)[-1].tolist()
            else:
                number = int(parse_qs(url.query)["n_frames"][0])
                answer = {"data": receiver.newest(number).tolist(), "timestamp": time.time()}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def cpu() -> float:
    """Return the CPU time of this process so far, s."""
    times = psutil.Process().cpu_times()
    return times.user + times.system


def main(address: str, port: int) -> None:
    receiver = Receiver(address)
    if port:
        serve(receiver, port)
    before = cpu()
    thread = threading.Thread(target=receiver.run)
    thread.start()
    while not receiver.count:
        time.sleep(0.01)
    print(json.dumps({"ready": True, "port": port}), flush=True)
    sys.stdin.readline()
    receiver.stop()
    thread.join()
    found = {
        "recorded": receiver.count,
        "gaps": int(np.sum(np.diff(receiver.numbers) - 1)),
        "last": receiver.numbers[-1],
        "delay": float(np.median(receiver.delays)),
        "delay_99": float(np.quantile(receiver.delays, 0.99)),
        "cpu": cpu() - before,
        "error": None,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
