"""The ZeroMQ side of a spectrometer: an address, a subscription that knows whether anybody is there."""

import re
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import zmq
from zmq.utils.monitor import recv_monitor_message

from beamstream.errors import ConfigurationError, MalformedMessage
from beamstream.sources.spectra_inflow import Inflow
from beamstream.spectra_wire import PARTS, TOPIC

_ADDRESS = re.compile(r"(?:tcp|zmq)://(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s/:*\[\]]+):(?P<port>\d{1,5})")
_EVENTS = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
_LOOK_UP, _LOOK_DOWN = 50, 10  # ms that `receive` waits for a message: of a publisher, or until there is one
_OPTIONS = {
    zmq.LINGER: 0,
    zmq.RCVTIMEO: _LOOK_DOWN,
    zmq.RECONNECT_IVL: 100,  # ms
    zmq.RECONNECT_IVL_MAX: 1000,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 10,  # s
    zmq.TCP_KEEPALIVE_INTVL: 5,
    zmq.TCP_KEEPALIVE_CNT: 3,
}
_TOGETHER = 0.004  # s
_REST = 1.0  # s
Ended = zmq.ContextTerminated
"""What every call of a subscription raises after its `end`."""
News = bool | MalformedMessage


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a publisher listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read ``tcp://host:port``.

        Raises
        ------
        ConfigurationError
            It is nothing that one can connect to.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found["port"]) < 2**16:
            raise ConfigurationError(
                f"spectra: the address {address!r} given; use tcp://HOST:PORT with a port from 1 to 65535, "
                "as in tcp://127.0.0.1:9798"
            )
        return cls(found["host"], int(found["port"]))

    @property
    def v6(self) -> bool:
        """Whether this is a literal IPv6 address.

        A name is looked up as IPv4: that is where publishers listen unless they were told otherwise, and libzmq
        tries one address of a name only.
        """
        return self.host.startswith("[")

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}"


class Subscription:
    """Follow one publisher, within a bound on memory; used by one thread, but for `end`.

    Who sends what cannot be a message is disconnected, and asked again after a second; so is who hangs up before a
    message came.

    Parameters
    ----------
    endpoint : Endpoint
    largest : int
        Of a part of a message, bytes; who sends a larger one is disconnected.
    waiting : int
        Messages that may wait for us; what comes beyond is left to the publisher, which may drop it.
    memory : int
        That those may take, bytes.
    """

    def __init__(self, endpoint: Endpoint, *, largest: int, waiting: int, memory: int) -> None:
        self.connected = False
        """Whether a publisher answers, as far as `notice` was told."""
        self.reached = False
        """Whether anything ever listened there."""
        self._endpoint = endpoint
        self._bounds = {"largest": largest, "memory": memory}
        self._inflow: Inflow | None = None
        self._messages = 0  # of this connection
        self._idle = True
        self._rest_until: float | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        for option, value in _OPTIONS.items():
            self._socket.setsockopt(option, value)
        self._socket.setsockopt(zmq.IPV6, int(endpoint.v6))
        self._socket.setsockopt(zmq.MAXMSGSIZE, largest)
        self._socket.setsockopt(zmq.RCVHWM, waiting)
        self._socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
        self._monitor: Any = self._socket.get_monitor_socket(_EVENTS)
        self._socket.connect(str(endpoint))

    def receive(self) -> tuple[list[zmq.Frame], int] | None:
        """Wait for a message; return its parts, three at most, and how many it has.

        Messages that follow each other within 4 ms are taken together: to wake up costs more than a message.

        Returns
        -------
        tuple or None
            None when there was none for 50 ms (10 ms while nobody is connected).
        """
        receive = self._socket.recv
        part = self._first_part()
        if part is None:
            return None
        take = self._inflow.take if self._inflow is not None else _forget
        take(len(part))
        parts, number = [part], 1
        while part.more:  # a message is there with all its parts
            part = receive(0, False)
            take(len(part))
            number += 1
            if number <= PARTS:
                parts.append(part)
        self._messages += 1
        self._idle = False
        return parts, number

    def _first_part(self) -> zmq.Frame | None:
        try:
            return self._socket.recv(zmq.NOBLOCK, False)
        except zmq.Again:
            if not self._idle:
                time.sleep(_TOGETHER)
        try:
            return self._socket.recv(0, False)
        except zmq.Again:
            self._idle = True
            return None

    def notice(self) -> list[News]:
        """Return what happened since the last call: True if the connection came up, False if down; what was wrong."""
        if self._rest_until is not None and time.monotonic() >= self._rest_until:
            self._rest_until = None
            self._socket.connect(str(self._endpoint))
        news: list[News] = []
        while self._monitor.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            message = recv_monitor_message(self._monitor)
            news += self._hear(message["event"], message["value"])
        excess = self._inflow.excess(idle=self._idle) if self._inflow is not None else 0
        if excess:
            what = f"{excess} bytes came that are no whole message, or more than may wait; hanging up"
            news.append(MalformedMessage(what, kind="endless"))
            news += self._down()
            self._rest()
        return news

    def _hear(self, event: int, value: int) -> list[News]:
        """Take an event of the socket; `value` is the number of a new connection."""
        if self._rest_until is not None:  # of the connection that we gave up
            return []
        if event == zmq.EVENT_CONNECTED:
            self.reached = True
            self._inflow = Inflow(value, self._endpoint.port, **self._bounds)
            return []
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.connected = True
            self._messages = 0
            self._socket.setsockopt(zmq.RCVTIMEO, _LOOK_UP)
            return [True]
        news = self._down()
        if news and not self._messages:
            self._rest()
        return news

    def _down(self) -> list[News]:
        if self._inflow is not None:
            self._inflow.close()
            self._inflow = None
        was_up, self.connected = self.connected, False
        self._socket.setsockopt(zmq.RCVTIMEO, _LOOK_DOWN)
        return [False] if was_up else []

    def _rest(self) -> None:
        """Hang up, and do not ask again at once."""
        self._socket.disconnect(str(self._endpoint))
        self._rest_until = time.monotonic() + _REST

    def close(self) -> None:
        """Close the sockets, in the thread that uses them; what waits is forgotten. `end` has to follow."""
        self.connected = False
        if self._inflow is not None:
            self._inflow.close()
        self._monitor.close(0)
        self._socket.close(0)

    def end(self) -> None:
        """Give everything back; from any thread, once.

        Where another thread uses the sockets, its call raises `Ended`, and this waits until it has closed them.
        """
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()
        self.end()


def _forget(nbytes: int) -> None:
    """Stand in for an account where there is none."""
