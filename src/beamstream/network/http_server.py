"""HttpServer: how every server of ours listens and runs, under uvicorn."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from beamstream.network.connection import Connection, Connections
from beamstream.network.limits import Limits
from beamstream.network.tls_listener import TlsListener

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_TICKS = 3  # of 0.1 s between two looks at the deadlines
_BACKLOG = 2048


class _Refusals(logging.Filter):
    """Take out what uvicorn 0.54.0 logs as an error of the application: that it refused a websocket with words."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "ASGI callable returned without completing handshake."


_refusals = _Refusals()


class HttpServer(uvicorn.Server):
    """A uvicorn server with limits; it leaves signals to the program that runs it.

    Parameters
    ----------
    app : ASGI application
    limits : Limits
    lifespan : bool
        Whether the application is called when the server starts and ends.
    websocket_message : int
        Bytes of a message that a client sends; 0: there are no websockets.
    threads : int, optional
        That wait for the application; asyncio's own number without it.
    grace : int
        s that answers under way have when it ends.
    on_start, on_stop : callable, optional
        Called in a thread of their own: when requests are answered, and before no more are.
    tls : mapping, optional
        What `uvicorn.Config` takes for TLS.
    """

    def __init__(
        self,
        app: "ASGIApp",
        *,
        limits: Limits | None = None,
        lifespan: bool = False,
        websocket_message: int = 0,
        threads: int | None = None,
        grace: int = 3,
        on_start: Callable[[], None] | None = None,
        on_stop: Callable[[], None] | None = None,
        tls: Mapping[str, Any] | None = None,
    ) -> None:
        limits = limits or Limits()
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="websockets-sansio" if websocket_message else "none",
            ws_max_size=websocket_message,
            ws_per_message_deflate=False,  # noise does not get smaller
            lifespan="on" if lifespan else "off",
            log_config=None,
            log_level="error",  # a warning a bad request would let anybody fill the log
            access_log=False,  # its lines show addresses, which may hold keys and are themselves secrets of uploads
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=round(limits.idle),
            timeout_graceful_shutdown=grace,
            **(tls or {}),
        )
        super().__init__(config)
        logging.getLogger("uvicorn.error").addFilter(_refusals)
        self.server_state = self._connections = Connections(limits)
        self._threads, self._on_start, self._on_stop = threads, on_start, on_stop
        self._listeners: list[TlsListener] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call `on_start`."""
        if self._threads is not None:
            pool = ThreadPoolExecutor(self._threads, thread_name_prefix="request")
            asyncio.get_running_loop().set_default_executor(pool)
        context = self.config.ssl
        await super().startup(sockets=sockets if context is None else [])
        if context is not None and self.started:
            self._listeners = [TlsListener(sock, context, self._connection, _BACKLOG) for sock in sockets or ()]
        if self.started and self._on_start is not None:
            await asyncio.to_thread(self._on_start)

    async def on_tick(self, counter: int) -> bool:
        """Look at the deadlines of all connections a few times a second."""
        if counter % _TICKS == 0:
            self._connections.check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call `on_stop`, then end."""
        if self._on_stop is not None:
            await asyncio.to_thread(self._on_stop)
        for listener in self._listeners:
            await listener.close()
        await super().shutdown(sockets=sockets)

    def _connection(self) -> Connection:
        return Connection(self.config, self._connections, self.lifespan.state)
