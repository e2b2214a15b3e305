"""TLS for a server whose connections count from their first moment, not only once both sides have agreed.

uvicorn 0.54.0 leaves that to asyncio, which shows it no connection before, waits for 60 s, and knows no bound.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from beamstream.network.connection import Connection

_AT_ONCE = 64  # connections
_NO_ROOM = 0.2  # s until the next attempt where the process has no descriptor left


class TlsListener:
    """Accept connections and agree on TLS with each; for the event loop of a server.

    Parameters
    ----------
    sock : socket
        That listens.
    context : ssl.SSLContext
    make : callable
        Returns the protocol of a new connection.
    backlog : int
        Connections that wait to be accepted.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, make: Callable[[], Connection], backlog: int
    ) -> None:
        self._sock, self._context, self._make = sock, context, make
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        sock.listen(backlog)
        self._listen()

    async def close(self) -> None:
        """Accept no more, and end what is not agreed yet."""
        self._loop.remove_reader(self._sock)
        if self._again is not None:
            self._again.cancel()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _listen(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        """Take what has come; not for ever, those who are connected want answers too."""
        for _ in range(_AT_ONCE):
            try:
                sock, client = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is left
                self._loop.remove_reader(self._sock)
                self._again = self._loop.call_later(_NO_ROOM, self._listen)
                return
            self._take(sock, client)

    def _take(self, sock: socket.socket, client: tuple[str, int]) -> None:
        sock.setblocking(False)
        connection = self._make()
        task = self._loop.create_task(self._agree(sock, connection))

        def ended(task: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            if connection.transport is None:
                connection.server_state.discard(connection)
                sock.close()

        self._under_way.add(task)
        task.add_done_callback(ended)
        if not connection.accepted(client[:2], task.cancel):
            task.cancel()

    async def _agree(self, sock: socket.socket, connection: Connection) -> None:
        """Agree on TLS; whoever cannot is not answered."""
        with suppress(OSError):  # of TLS as well
            await self._loop.connect_accepted_socket(lambda: connection, sock, ssl=self._context)
