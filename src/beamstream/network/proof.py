"""Proof that a server is ours: demanded before a key is sent, on the connection that the key will go over.

A port that a server of ours had may be anybody's when it has ended. So a client sends a number that it has just made
up, and a server answers with what only those can compute who can read its `Address`. The answer holds for one address
alone: who passes the question on to the true server, which listens elsewhere, gets an answer that does not fit.
"""

import hashlib
import hmac
import http.client
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from beamstream.errors import NotOurServer
from beamstream.network.address import Address, origin_of
from beamstream.network.hosts import is_loopback
from beamstream.network.tls import http_connection

PATH = "/beamstream/prove"
_LENGTH = 64  # characters of an answer
_MOST = 4096  # bytes of an answer's head
_PIECES = 8  # that an answer may come in: each may take as long as a reader waits
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,100}")
_BOOT = Path("/proc/sys/kernel/random/boot_id")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def answer_to(nonce: str, address: Address, machine: str = "") -> str:
    """Return what a server answers that is the one at an address, on a machine if one was asked for."""
    text = "\0".join(("beamstream", nonce, address.url.rstrip("/"), machine))
    return hmac.new(address.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _machine() -> str:
    """Return this machine's name for itself, the same in all its containers; empty where it has none (macOS)."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


class Challenge:
    """One question and its answer, as bytes: send `request`, then give `feed` what comes until it returns True.

    Parameters
    ----------
    address : Address
        Where the connection leads, as the server wrote it.
    """

    def __init__(self, address: Address) -> None:
        if not address.secret:
            raise NotOurServer(f"{address.url} is served by an earlier version; start that server again")
        nonce = secrets.token_urlsafe(24)
        # whoever listens at this machine's 127.0.0.1 must not pass the question on to that of another one
        machine = _machine() if is_loopback(origin_of(address.url)[0]) else ""
        self._url, self._answer = address.url, answer_to(nonce, address, machine)
        self._come, self._pieces = b"", 0
        query = f"nonce={nonce}{'&machine=1' if machine else ''}"
        self.request = f"GET {PATH}?{query} HTTP/1.1\r\nHost: {urlsplit(address.url).netloc}\r\n\r\n".encode()

    def feed(self, data: bytes) -> bool:
        """Return whether the answer is complete, and the right one.

        Raises
        ------
        NotOurServer
            It is another one.
        ConnectionResetError
            Nothing came before the connection ended (``b""``).
        """
        if not data and not self._come:
            raise ConnectionResetError(f"{self._url} closed the connection")
        self._come, self._pieces = self._come + data, self._pieces + 1
        head, end, body = self._come.partition(b"\r\n\r\n")
        good = _is_good(head, bool(end))
        if good and data and len(head) < _MOST and len(body) < _LENGTH and self._pieces < _PIECES:
            return False
        if not (good and hmac.compare_digest(body, self._answer.encode())):
            raise NotOurServer(
                f"who listens at {self._url} cannot prove to be the server that was started there, another program has "
                "taken its place or it is on another machine; no key was sent"
            )
        return True


def _is_good(head: bytes, whole: bool) -> bool:
    """Return whether this is the head of such an answer, or the beginning of one."""
    status = b"HTTP/1.1 200 "
    length = f"\r\ncontent-length: {_LENGTH}\r\n".encode()
    return head[: len(status)] == status[: len(head)] and (not whole or length in head.lower() + b"\r\n")


def proved_connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to a server that has proved to be ours, to be closed; it is not opened a second time.

    Raises
    ------
    NotOurServer
        Another program listens there.
    OSError
        Nobody does.
    """
    connection = http_connection(address.url, timeout, address.certificate)
    try:
        challenge = Challenge(address)
        connection.connect()
        connection.auto_open = False
        connection.sock.sendall(challenge.request)
        while not challenge.feed(connection.sock.recv(_MOST)):
            pass
    except BaseException:
        connection.close()
        raise
    return connection


class Prover:
    """Answer the challenges of clients; pass everything else on to an application.

    Parameters
    ----------
    app : ASGI application
    address : Address
        As clients read it.
    """

    def __init__(self, app: App, address: Address) -> None:
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        nonce, machine = query.get("nonce", [""])[0], _machine() if "machine" in query else ""
        good = scope["method"] == "GET" and _NONCE.fullmatch(nonce) is not None
        body = answer_to(nonce, self._address, machine).encode() if good else b"GET ?nonce=... is answered"
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if good else 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})
