"""The process that serves the live page of an instrument: it ends with its stdin, and shows what others acquire."""

import asyncio
import os
import socket
import threading

import numpy as np

from beamstream.live.hub_access import HubAccess
from beamstream.live.hub_app import HubApp, gated
from beamstream.live.hub_settings import HubSettings
from beamstream.live.program import Lines, end_with_signals, run_program
from beamstream.live.settings import page_url
from beamstream.network.address import Address
from beamstream.network.http_server import HttpServer
from beamstream.network.limits import allow_many_files
from beamstream.network.tls import uvicorn_options

_DEAF = 60_000  # ms for which a page may take nothing, until the kernel ends its connection
_MOST_MESSAGE = 32768  # bytes; what a page has to say is short


async def serve(settings: HubSettings, listening: socket.socket, lines: Lines, _early: list[bytes]) -> None:
    """Serve until stdin ends or a signal comes."""
    allow_many_files()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAF)
    loop = asyncio.get_running_loop()
    access = HubAccess(settings, listening.getsockname()[1])
    app = HubApp(settings, access)
    url = page_url(settings.host, listening.getsockname()[1], tls=bool(settings.tls_cert))
    address = Address(url, os.getpid(), settings.secret, settings.tls_cert) if settings.secret else None
    server = HttpServer(
        gated(app, access, settings, address),
        websocket_message=_MOST_MESSAGE,
        grace=1,
        tls=uvicorn_options(settings.tls),
    )
    end_with_signals(server)

    def told() -> None:
        if lines.read() is None:
            loop.remove_reader(0)
            serving.cancel()  # at once: uvicorn would wait for those who still read

    loop.add_reader(0, told)
    if app.images:
        threading.Thread(target=_warm, daemon=True).start()
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    following = asyncio.create_task(app.run())
    done, _ = await asyncio.wait([serving, following], return_when=asyncio.FIRST_COMPLETED)
    following.cancel()
    app.close()
    for task in done:
        if not task.cancelled():
            task.result()


def _warm() -> None:
    """Load the compiled loops before the first page waits for them."""
    from beamstream.live.image_pixels import Quality, pixels_of
    from beamstream.live.image_wish import Region

    for kind in (np.uint8, np.uint16, np.float32):
        for quality in (Quality(2, False, False), Quality(1, True, False)):
            pixels_of(np.zeros((4, 4), kind), Region(0, 0, 4, 4), quality)


def main() -> int:
    """Serve."""
    return run_program(HubSettings.from_line, serve)


if __name__ == "__main__":
    os._exit(main())  # all is closed: taking down what the compiler brought along takes a second
