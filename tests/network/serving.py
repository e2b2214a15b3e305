"""Servers of tests: one in a thread with any application, and raw requests."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from beamstream.network.gate import Gate
from beamstream.network.http_server import HttpServer
from beamstream.network.keys import Keys
from beamstream.network.limits import Limits
from beamstream.network.rules import SCOPES, Rule
from beamstream.network.tls import Certificate, uvicorn_options

KEY = "0123456789abcdef0123456789abcdef"
READ_KEY = "fedcba9876543210fedcba9876543210"
KEYS = Keys(None, {KEY: SCOPES, READ_KEY: ("read",)})


@contextlib.contextmanager
def serving(
    app: Any,
    *,
    lifespan: bool = False,
    limits: Limits | None = None,
    messages: int = 4096,
    tls: Certificate | None = None,
) -> Iterator[str]:
    """Serve an application in a thread; the address is ``host:port``."""
    ready = threading.Event()
    server = HttpServer(
        app,
        limits=limits,
        lifespan=lifespan,
        websocket_message=messages,
        on_start=ready.set,
        tls=uvicorn_options(tls),
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), name="served")
        thread.start()
        try:
            assert ready.wait(60)
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()


class Application:
    """An application that counts what reaches it, and answers with the length of what was sent."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.bodies: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(f"{scope.get('method', 'WEBSOCKET')} {scope['path']}")
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message.get("text") or ""})
            return
        came, more = 0, True
        while more:
            message = await receive()
            came += len(message.get("body", b""))
            more = message.get("more_body", False)
        self.bodies.append(came)
        body = json.dumps({"came": came, "scopes": sorted(scope["beamstream.scopes"])}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


RULES = (
    Rule("GET", "/", None),
    Rule("GET", "/data/{path:path}", "read"),
    Rule("GET", "/raw/{path:path}", "read", anonymous=False),
    Rule("PUT POST", "/data/{path:path}", "write", body=1 << 20),
    Rule("PUT", "/large", "upload", body=1 << 30),
    Rule("WEBSOCKET", "/ws", "read"),
)


def gated(app: Any, **options: Any) -> Gate:
    """Return an application behind the gate of these tests."""
    return Gate(app, RULES, KEYS, **{"name": "test", "query": "api_key", **options})


def connect(address: str, timeout: float = 20.0) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout)


def head(address: str, what: str = "GET /", *lines: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{what} {version}", f"Host: {address}", *lines, "", ""]).encode()


def status_of(connection: socket.socket) -> int | None:
    """Return the status of the next answer; None where the connection ends without one."""
    with contextlib.suppress(ConnectionError):
        line = connection.makefile("rb").readline()
        return int(line.split()[1]) if line else None
    return None


def ended(connection: socket.socket, timeout: float = 20.0) -> float:
    """Return after how long the other side ended the connection, s."""
    began = time.monotonic()
    connection.settimeout(timeout)
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return time.monotonic() - began
