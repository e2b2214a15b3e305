"""The socket that averaged spectra leave by: it never waits, and notices what plain PUB keeps to itself."""

import errno
import re
import time

import zmq

from beamstream.errors import SinkError
from beamstream.spectra_wire import TOPIC

_LONGEST_REQUEST = 4096  # bytes that a subscriber may send; ZeroMQ takes up to 200 times as much memory
_SUBSCRIBE, _UNSUBSCRIBE = b"\x01", b"\x00"
_ADDRESS = re.compile(r"tcp://[^\s/:\[\]]+:(\*|\d{1,5})|ipc://\S+")
_ELSEWHERE = "this machine has no such address; use 127.0.0.1, or 0.0.0.0 for all it has"
_ADVICE = {
    errno.EADDRINUSE: "it is in use; end who uses it, or choose another port",
    errno.EADDRNOTAVAIL: _ELSEWHERE,
    errno.ENODEV: _ELSEWHERE,
}


class Outlet:
    """Send to all who subscribe, and count them; one thread's, but for the numbers.

    To subscribers it is a PUB socket. It is an XPUB socket, which hears of each of them, and says that a queue is full.

    Parameters
    ----------
    address : str
        To listen on.
    queue : int
        Messages that are kept for each subscriber.

    Raises
    ------
    SinkError
        That is not possible there.
    ValueError
        An argument is wrong.
    """

    def __init__(self, address: str, queue: int) -> None:
        check_address(address)
        if queue < 1:  # to ZeroMQ, 0 means a queue without end
            raise ValueError(f"publisher: queue = {queue} given; give a number of messages, 1 or more")
        self.subscribers = 0
        self.overflows = 0
        """How often a message found a queue full that had room before."""
        self._half_sent = False
        self._context = zmq.Context()
        try:
            self._socket = _listening(self._context, address, queue)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """Where it can be subscribed to, the port as a number."""

    @property
    def open(self) -> bool:
        """Whether messages can be sent; not any more when Ctrl-C came in the middle of one."""
        return not self._context.closed and not self._half_sent

    def send(self, message: list[bytes | memoryview]) -> None:
        """Send, to those who have room for it, a copy of all parts."""
        self._half_sent = True
        try:
            self._socket.send_multipart(message, zmq.NOBLOCK)
        except zmq.Again:  # of the first part, for all subscribers
            self.overflows += 1
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._socket.send_multipart(message, zmq.NOBLOCK)
            self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._half_sent = False

    def hear(self, timeout: float = 0.0) -> None:
        """Count who subscribes and who leaves; wait for that.

        To be called often: what has arrived lies in memory until then.
        """
        if self._socket.poll(round(1000 * timeout)):
            while self._socket.poll(0):
                self._count(self._socket.recv())

    def wait(self, timeout: float) -> bool:
        """Wait for a first subscriber; return whether there is one within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self.hear()
        while not self.subscribers and (left := deadline - time.monotonic()) > 0:
            self.hear(left)
        return self.subscribers > 0

    def close(self, linger: float) -> None:
        """Stop listening; what is in queues has `linger` seconds to leave. Calling it again does no harm."""
        self._context.destroy(linger=round(1000 * linger))

    def _count(self, request: bytes) -> None:
        what, topic = request[:1], request[1:]
        if what in (_SUBSCRIBE, _UNSUBSCRIBE) and TOPIC.startswith(topic):
            self.subscribers = max(0, self.subscribers + (1 if what == _SUBSCRIBE else -1))


def check_address(address: str) -> None:
    """Say what is wrong with an address to listen on.

    Raises
    ------
    ValueError
    """
    found = _ADDRESS.fullmatch(address)
    port = found and found[1]
    if not found or (port and port != "*" and int(port) > 65535):  # ZeroMQ would take it modulo 65536
        raise ValueError(f"publisher: address {address!r} given; give tcp://HOST:PORT or ipc://PATH")


def _listening(context: zmq.Context[zmq.Socket[bytes]], address: str, queue: int) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, queue)
    socket.setsockopt(zmq.XPUB_NODROP, 1)  # raises where it would drop, see send
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # of every subscriber, not of the first and the last alone
    socket.setsockopt(zmq.MAXMSGSIZE, _LONGEST_REQUEST)
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        why = _ADVICE.get(error.errno or 0, f"{zmq.strerror(error.errno or 0)}; choose another address")
        raise SinkError(f"publisher: {address} to be listened on, {why}") from error
    return socket
