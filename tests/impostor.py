"""Another user of this machine, who listens where a server of ours was and keeps what is sent there."""

import contextlib
import fcntl
import os
import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

NOBODY = 65534
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Impostor:
    """What was sent to a port that another user has taken.

    Parameters
    ----------
    port : int
        On 127.0.0.1; 0 takes a free one.
    lock : Path, optional
        Locked, if that user may open it.
    relay : int, optional
        A port to which everything is passed on, and whose answers are passed back.
    """

    def __init__(self, port: int = 0, *, lock: Path | None = None, relay: int | None = None) -> None:
        self._pipe, received = os.pipe()
        ready, report = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                _listen(port, lock, relay, received, report)
            finally:
                os._exit(1)
        os.close(received)
        os.close(report)
        self.port = int(os.read(ready, 100) or b"0")
        os.close(ready)
        assert self.port, "the port could not be taken"
        self.received = b""
        self._reader = threading.Thread(target=self._read, name="impostor")
        self._reader.start()

    def _read(self) -> None:
        while more := os.read(self._pipe, 65536):
            self.received += more

    def close(self) -> bytes:
        """End; return all that was sent there."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
            self._reader.join()
            os.close(self._pipe)
        return self.received


@contextlib.contextmanager
def impostor(port: int = 0, **options: object) -> Iterator[Impostor]:
    """Have a port taken while the block runs; see `Impostor`."""
    made = Impostor(port, **options)  # pyright: ignore[reportArgumentType]
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def redirecting(to: str) -> Iterator[str]:
    """Answer every request by a redirect to somewhere; the URL where that is done."""

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("location", to)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def become_nobody(groups: tuple[int, ...] = ()) -> None:
    """Be another user from now on, where that is possible; in a child made by fork."""
    if os.geteuid() == 0:
        os.setgroups(groups)
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def _listen(port: int, lock: Path | None, relay: int | None, received: int, report: int) -> None:
    signal.alarm(120)  # whatever becomes of the test
    become_nobody()
    if lock is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(os.open(lock, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    listening = socket.create_server(("127.0.0.1", port))
    os.write(report, str(listening.getsockname()[1]).encode())
    while True:
        connection = listening.accept()[0]
        threading.Thread(target=_answer, args=(connection, relay, received), daemon=True).start()


def _answer(connection: socket.socket, relay: int | None, received: int) -> None:
    with contextlib.suppress(OSError), connection:
        there = socket.create_connection(("127.0.0.1", relay)) if relay is not None else None
        if there is not None:
            threading.Thread(target=_pass_back, args=(there, connection), daemon=True).start()
        while more := connection.recv(65536):
            os.write(received, more)
            (there or connection).sendall(more if there else _ANSWER)


def _pass_back(there: socket.socket, connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while more := there.recv(65536):
            connection.sendall(more)
