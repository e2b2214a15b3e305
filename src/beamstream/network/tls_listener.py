"""TLS for a server whose connections count from their first moment, not only once both sides have agreed.

uvicorn 0.54.0 leaves that to asyncio, which shows it no connection before, waits for 60 s, and knows no bound.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from beamstream.network.connection import Connection

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
        self._under_way: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        sock.listen(backlog)
        self._accepting = asyncio.create_task(self._accept())

    async def close(self) -> None:
        """Accept no more, and end what is not agreed yet."""
        tasks = [self._accepting, *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, client = await loop.sock_accept(self._sock)
            except OSError:
                await asyncio.sleep(_NO_ROOM)
                continue
            connection = self._make()
            task = asyncio.create_task(self._agree(sock, connection))
            if connection.accepted(client[:2], task.cancel):
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            else:
                task.cancel()
                sock.close()

    async def _agree(self, sock: socket.socket, connection: Connection) -> None:
        """Agree on TLS; whoever cannot is not answered."""
        loop = asyncio.get_running_loop()
        try:
            with suppress(OSError):  # of TLS as well
                await loop.connect_accepted_socket(lambda: connection, sock, ssl=self._context)
        finally:
            if connection.transport is None:
                connection.server_state.discard(connection)
                sock.close()
