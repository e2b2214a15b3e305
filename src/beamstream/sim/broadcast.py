"""A PUB socket that knows its subscribers."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import zmq

from beamstream.errors import ConfigurationError
from beamstream.spectra_wire import TOPIC

_REFUSABLE, _MORE = int(zmq.DONTWAIT), int(zmq.SNDMORE)  # as plain numbers, ten times faster to combine


class Broadcast:
    """Send messages to whoever subscribed; ``with Broadcast(address, high_water=1000) as b: b.send(parts)``.

    On the wire it is PUB. To be used by one thread, but for `subscribers`.

    Parameters
    ----------
    address : str
        To bind; port 0 is any that is free.
    high_water : int
        Messages that wait for one slow subscriber.
    lossless : bool
        Refuse messages when somebody's queue is full; otherwise that one loses them and nobody is told.

    Attributes
    ----------
    address : str
        What it is bound to.
    subscribers : int
        Subscriptions that match our topic, as of the last `look`.

    Raises
    ------
    ConfigurationError
        The address cannot be bound.
    """

    def __init__(self, address: str, *, high_water: int, lossless: bool = False) -> None:
        self.subscribers = 0
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.XPUB)
        self._socket.set(zmq.XPUB_VERBOSER, 1)  # tell of every subscription, not of the first to a topic alone
        self._socket.set(zmq.SNDHWM, high_water)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.XPUB_NODROP, int(lossless))
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            why = zmq.strerror(error.errno or 0)
            raise ConfigurationError(
                f"spectrometer: to publish at {address} asked for, {why}; choose another address"
            ) from None
        self.address = self._socket.get_string(zmq.LAST_ENDPOINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, parts: Sequence[bytes | memoryview]) -> bool:
        """Send a message, which is copied; return False if it was refused, whole, because a queue is full."""
        try:
            flags = _REFUSABLE
            for part in parts[:-1]:
                self._socket.send(part, flags | _MORE)
                flags = 0  # what has begun is not refused
            self._socket.send(parts[-1], flags)
        except zmq.Again:
            return False
        return True

    def look(self) -> None:
        """Count who came and who went."""
        while True:
            try:
                news = self._socket.recv(_REFUSABLE)
            except zmq.Again:
                return
            if news[:1] in (b"\0", b"\1") and TOPIC.startswith(news[1:]):
                self.subscribers += 1 if news[0] else -1

    def close(self, linger: float = 0.0) -> None:
        """Let go of the address.

        Parameters
        ----------
        linger : float
            s that subscribers have to fetch what waits for them.
        """
        if not self._socket.closed:
            self._socket.close(linger=round(1000 * linger))
            self._context.term()
