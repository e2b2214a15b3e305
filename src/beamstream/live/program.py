"""The process that serves the live page: it ends with its stdin, and answers from a ring that others write."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Protocol

from beamstream.live.access import Access
from beamstream.live.app import App, gated
from beamstream.live.follower import Follower
from beamstream.live.push import Audience
from beamstream.live.settings import Settings
from beamstream.live.status import Status
from beamstream.log_size import keep_small
from beamstream.logs import log_as_service
from beamstream.network.hosts import own_names
from beamstream.network.http_server import HttpServer
from beamstream.network.limits import allow_many_files
from beamstream.network.listening import listen
from beamstream.network.tls import uvicorn_options

_SEND_BUFFER = 1 << 18  # bytes
_MOST_MESSAGE = 4096  # bytes; messages of a page are short


class ServerSettings(Protocol):
    """Where to listen."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class Lines:
    """Lines of a pipe, as they come; without a thread, which would keep the interpreter from ending."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def read(self) -> list[bytes] | None:
        """Return the lines that have come, after waiting for some bytes; None at the end."""
        more = os.read(self._fd, 65536)
        *lines, self._rest = (self._rest + more).split(b"\n")
        return lines if more else None


async def serve(settings: Settings, listening: socket.socket, lines: Lines, early: list[bytes]) -> None:
    """Serve until stdin ends or a signal comes."""
    loop = asyncio.get_running_loop()
    follower = Follower(settings.ring, settings.owner, settings.rows, lambda: audience.notify())
    status = Status(follower)
    audience = Audience(follower, status, settings)
    access = Access(settings, listening.getsockname()[1])
    app = gated(App(follower, status, audience, access), access, own_names(settings.host, settings.allowed_hosts))
    allow_many_files()
    server = HttpServer(app, websocket_message=_MOST_MESSAGE, grace=1, tls=uvicorn_options(settings.tls))
    end_with_signals(server)

    def receive() -> None:
        read = lines.read()
        if read is None:
            loop.remove_reader(0)
            serving.cancel()  # at once: uvicorn would wait for those who still read
        for line in read or []:
            status.told.update(json.loads(line))
        if read:
            audience.tell_status()

    for line in early:
        status.told.update(json.loads(line))
    loop.add_reader(0, receive)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    others = [asyncio.create_task(follower.run()), asyncio.create_task(audience.run())]
    done, _ = await asyncio.wait([serving, *others], return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        if not task.cancelled():
            task.result()


def end_with_signals(server: HttpServer) -> None:
    """Let SIGTERM and SIGINT end a server as the end of stdin does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)


def run_loop(main: Callable[[], Any]) -> None:
    """Run a coroutine in the fastest event loop that there is."""
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def answer_pipe() -> Callable[[dict[str, Any]], None]:
    """Take stdout for one answer: what others print goes to the log."""
    pipe = os.dup(1)
    os.dup2(2, 1)

    def answer(document: dict[str, Any]) -> None:
        os.write(pipe, json.dumps(document).encode() + b"\n")
        os.close(pipe)

    return answer


def first_line(lines: Lines) -> tuple[bytes | None, list[bytes]]:
    """Return the first line, None if there is none, and what came with it."""
    early: list[bytes] = []
    while not early:
        read = lines.read()
        if read is None:
            return None, []
        early += read
    return early[0], early[1:]


def run_program(settings_of: Callable[[bytes], ServerSettings], serve: Callable[..., Any]) -> int:
    """Listen as the first line on stdin demands, answer with the port, and serve.

    Parameters
    ----------
    settings_of : callable
        Makes settings of that line.
    serve : callable
        Returns what is to be run, of the settings, the socket, the pipe, and the lines that came with the first.
    """
    log_as_service()
    keep_small()
    answer = answer_pipe()
    lines = Lines(0)
    line, early = first_line(lines)
    if line is None:
        return 0
    settings = settings_of(line)
    try:
        listening = listen(settings.host, settings.port)
    except OSError as error:
        answer({"errno": error.errno, "error": error.strerror or str(error)})
        return 1
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # its connections have it too
    answer({"port": listening.getsockname()[1]})
    run_loop(lambda: serve(settings, listening, lines, early))
    return 0


def main() -> int:
    """Serve; lines after the first are what `/status` adds."""
    return run_program(Settings.from_line, serve)


if __name__ == "__main__":
    sys.exit(main())
