"""The line to a viewer: one question, one answer, and a deadline."""

import json
import time
from typing import Any, Self

import zmq

from beamstream.errors import BeamstreamError
from beamstream.viewers.napari.address import Address
from beamstream.viewers.napari.messages import MOST_BYTES


class Line:
    """Talk with a viewer; from one thread, as a context manager or with `close`.

    Parameters
    ----------
    address : Address
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.SNDHWM, 16)
        self._socket.set(zmq.MAXMSGSIZE, MOST_BYTES)
        self._socket.connect(f"tcp://127.0.0.1:{address.port}")
        self._number = 0

    def ask(self, do: str, *, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Say something and return the answer: ``words`` and what was asked for.

        Raises
        ------
        TimeoutError
            There was no answer within `timeout` seconds: it is gone, or hangs.
        BeamstreamError
            The viewer refuses; the text says why.
        """
        self._number += 1
        text = json.dumps({"token": self.address.token, "id": self._number, "do": do, **fields}).encode()
        try:
            self._socket.send(text, zmq.NOBLOCK)
        except zmq.Again:
            raise TimeoutError(f"viewer: pid {self.address.pid} takes no messages") from None
        answer = self._hear(time.monotonic() + timeout)
        if not answer.get("ok"):
            raise BeamstreamError(str(answer.get("words", "viewer: refused without a word")))
        return answer

    def _hear(self, deadline: float) -> dict[str, Any]:
        while (left := deadline - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1000) + 1):
                answer = json.loads(self._socket.recv())
                if answer.get("to") == self._number:  # others came too late for who asked
                    return answer
        raise TimeoutError(f"viewer: pid {self.address.pid} does not answer")

    def close(self) -> None:
        """Hang up."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
