"""A subscriber that keeps every message as it came."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
import zmq

from beamstream.spectra_wire import Spectrum, decode


@dataclass(frozen=True)
class Message:
    """One message and when it came, s on the monotonic clock."""

    parts: list[bytes]
    arrived: float

    @property
    def header(self) -> dict[str, Any]:
        return orjson.loads(self.parts[1])

    @property
    def spectrum(self) -> Spectrum:
        return decode(self.parts)


class Subscriber:
    """Subscribe to an address; messages wait without a limit."""

    def __init__(self, address: str, high_water: int = 0, topic: bytes = b"") -> None:
        self._context = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        self.socket.set(zmq.RCVHWM, high_water)
        self.socket.set(zmq.RECONNECT_IVL, 10)
        self.socket.subscribe(topic)
        self.socket.connect(address)

    def receive(self, timeout: float = 10.0) -> Message | None:
        """Return the next message; None after the timeout, s."""
        if not self.socket.poll(round(1000 * timeout)):
            return None
        return Message(self.socket.recv_multipart(), time.monotonic())

    def take(self, number: int) -> list[Message]:
        """Return so many messages."""
        taken: list[Message] = []
        while len(taken) < number:
            message = self.receive()
            assert message is not None, f"{len(taken)} of {number} came"
            taken.append(message)
        return taken

    def sequences(self, number: int) -> list[int]:
        """Return the sequence numbers of so many messages."""
        return [message.header["sequence"] for message in self.take(number)]

    def close(self) -> None:
        self._context.destroy(linger=0)
