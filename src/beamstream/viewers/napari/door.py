"""The viewer's door: it hears on a socket of this machine, lets in who knows the secret, and never waits."""

import hmac
import json
from typing import Any

import zmq
from pydantic import ValidationError

from beamstream.viewers.napari.address import Address
from beamstream.viewers.napari.messages import MOST_BYTES, Message, checked

_QUEUE = 256


class Door:
    """Take messages that know the token, and answer each.

    A message is one frame of JSON: an object with ``token``, ``id`` and what `beamstream.viewers.napari.messages`
    describes. The answer is an object with ``to`` (that id), ``ok``, ``words`` and what was asked for. Who does not
    know the token gets none. To be used from one thread.

    Attributes
    ----------
    address : Address
    refused : int
        Messages that were none, or without the token.
    """

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.MAXMSGSIZE, MOST_BYTES)  # a peer that sends more is cut off
        self._socket.set(zmq.RCVHWM, _QUEUE)
        self._socket.set(zmq.SNDHWM, _QUEUE)
        self._socket.set(zmq.LINGER, 500)
        self.address = Address.new(self._socket.bind_to_random_port("tcp://127.0.0.1"))
        self.refused = 0

    def take(self) -> "tuple[Caller, Message] | None":
        """Return the next message and who said it; None if there is none now."""
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            if len(parts) == 2 and (heard := self._check(*parts)) is not None:
                return heard

    def _check(self, peer: bytes, text: bytes) -> "tuple[Caller, Message] | None":
        caller = Caller(self._socket, peer, None)
        try:
            said = json.loads(text)
            known = hmac.compare_digest(str(said.pop("token")).encode(), self.address.token.encode())
        except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
            known, said = False, {}
        if not known:
            self.refused += 1
            return None
        number = said.pop("id", None)
        caller.number = number if isinstance(number, int) else None
        try:
            return caller, checked(said)
        except ValidationError as error:
            self.refused += 1
            caller.answer(False, _in_words(error))
            return None

    def close(self) -> None:
        """Hear no more."""
        self._context.destroy(linger=500)


class Caller:
    """Who said something, and is owed one answer."""

    def __init__(self, socket: "zmq.Socket[bytes]", peer: bytes, number: int | None) -> None:
        self._socket, self._peer = socket, peer
        self.number = number

    def answer(self, ok: bool, words: str = "", **more: Any) -> None:
        """Answer; nobody waits for one who does not listen."""
        text = json.dumps({"to": self.number, "ok": ok, "words": words, **more}).encode()
        try:
            self._socket.send_multipart([self._peer, text], zmq.NOBLOCK)
        except zmq.ZMQError:
            pass


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "message"
    return f"viewer: {where}: {first['msg']}"[:400]
