"""A link of so many bits a second between a page and its server."""

import asyncio
import contextlib
import threading
from typing import Self

_PIECE = 4096  # bytes


class SlowLink:
    """Pass connections on to a port of this machine, slowly; runs in a thread of its own.

    Parameters
    ----------
    port : int
        Where the server listens.
    bits : float
        A second, in each direction and for each connection.
    delay : float
        Of each piece, s.

    Attributes
    ----------
    port : int
        Where to connect to.
    """

    def __init__(self, port: int, bits: float, delay: float) -> None:
        self._to, self._seconds, self._delay = port, 8 / bits, delay
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def through(self, url: str) -> str:
        """Return the address of the server as it is on this side."""
        return url.replace(f":{self._to}/", f":{self.port}/")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._passing: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_PIECE)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to, limit=_PIECE)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._passing.add(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on: what is read waits its delay, and the link is free again when it has taken them."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        writing = asyncio.create_task(self._write(waiting, writer))
        free = self._loop.time()
        try:
            while piece := await reader.read(_PIECE):
                free = max(free, self._loop.time()) + len(piece) * self._seconds
                await asyncio.sleep(free - self._loop.time())
                await waiting.put((self._loop.time() + self._delay, piece))
            await waiting.put((0.0, b""))
            await writing
        finally:
            writing.cancel()
            writer.close()

    async def _write(self, waiting: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, piece = await waiting.get()
                if not piece:
                    return
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                writer.write(piece)
                await writer.drain()
