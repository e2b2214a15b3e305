"""What a peer sends beyond what it may: the bound on memory that libzmq does not have."""

import contextlib
import fcntl
import os
import socket
import struct
import termios

_BYTES_RECEIVED = struct.Struct("<128xQ")  # of Linux' struct tcp_info
_SHORT = 255  # bytes; longer parts have a longer frame around them
_HEADER = 64 * 2**10  # bytes, more than any
_COUNT = struct.Struct("i")


class Inflow:
    """Compare what a connection brought with what was taken of it.

    libzmq bounds the number of waiting messages and the size of a part, but not the number of parts, and it shows
    a message only once it is whole: a peer that never ends one fills the memory where nobody sees it. The kernel
    counts.

    Parameters
    ----------
    fd : int
        Of the TCP connection; duplicated.
    port : int
        Of the peer: libzmq tells the number of a connection, which may be closed, and another's, by now.
    largest : int
        Of a part, bytes.
    memory : int
        That waiting messages may take, bytes.
    """

    def __init__(self, fd: int, port: int, *, largest: int, memory: int) -> None:
        self._whole = largest + _HEADER
        self._most = memory + self._whole
        self._taken = 0
        self._idle: tuple[int, int] | None = None  # bytes that had come when that began, and at the last look
        self._connection = _same_connection(fd, port)

    def take(self, nbytes: int) -> None:
        """Take a part of a message off the account."""
        self._taken += nbytes + (9 if nbytes > _SHORT else 2)
        self._idle = None

    def excess(self, *, idle: bool) -> int:
        """Return how many bytes came that cannot be what they should be, 0 if all is well.

        Parameters
        ----------
        idle : bool
            Whether no message waited just now: what had come when we last looked is part of a single one, then.
            What came since may be whole messages already.
        """
        received = self._received()
        if not idle:
            return _beyond(received - self._taken, self._most)
        if self._idle is None:
            self._idle, self._taken = (received, received), received
        since, before = self._idle
        self._idle = since, received
        return _beyond(before - since, self._whole)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _received(self) -> int:
        """Return how many bytes libzmq has read; a few too few while more come."""
        if self._connection is not None:
            with contextlib.suppress(OSError, struct.error):
                info = self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
                unread = fcntl.ioctl(self._connection, termios.FIONREAD, bytes(_COUNT.size))
                return _BYTES_RECEIVED.unpack(info)[0] - _COUNT.unpack(unread)[0]
        return self._taken


def _same_connection(fd: int, port: int) -> socket.socket | None:
    """Return the connection with this number once more, if it is still the one to this port."""
    try:
        again = os.dup(fd)
    except OSError:
        return None
    try:
        connection = socket.socket(fileno=again)
    except OSError:
        os.close(again)
        return None
    with contextlib.suppress(OSError):
        if connection.getpeername()[1] == port:
            return connection
    connection.close()
    return None


def _beyond(value: int, most: int) -> int:
    return value if value > most else 0
