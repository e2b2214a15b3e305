"""What whoever has shown no key may ask costs little: answers are repeated, and few are made at a time."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from beamstream.network.rules import GRANTED

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LIFETIME = 5.0  # s
_MOST, _LARGEST = 64, 1 << 16  # answers, and bytes of one
_AT_ONCE, _MOST_WAITING = 4, 128  # answers that are made, and requests that wait for their turn
_BUSY = JSONResponse({"detail": "archive: too many ask without a key; try again later"}, 503, {"retry-after": "2"})
_SECRETS = frozenset((b"authorization", b"x-api-key", b"cookie"))
_OF_A_CLIENT = frozenset((b"user-agent", b"connection"))
_OF_AN_ANSWER = frozenset((b"set-cookie", b"server-timing", b"x-tiled-request-id"))
_UNUSED_COOKIE = b"tiled_csrf="  # only tiled's own sessions need it, which the archive has not


class OpenAnswers:
    """Stand between the gate and an application, for GETs that take no key.

    tiled 0.2.20 takes 2 to 9 ms for each: a thousand clients that only look whether it is there would hold up for
    seconds those who have shown a key.

    Parameters
    ----------
    app : ASGI application
    paths : collection of str
        What is answered again as before; the answer may depend on the headers of a request, and on nothing else.
    clock : callable
        Returns s.
    """

    def __init__(self, app: "ASGIApp", paths: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._paths, self._clock = app, frozenset(paths), clock
        self._answers: dict[object, tuple[float, list[Message]]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._making: dict[object, asyncio.Event] = {}
        self._waiting = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get(GRANTED):
            await self._app(scope, receive, send)
            return
        asked = self._asked(scope)
        if asked is not None and asked in self._making:
            await self._making[asked].wait()
        if known := self._known(asked):
            for message in known:
                await send(message)
        elif self._waiting >= _MOST_WAITING:
            await _BUSY(scope, receive, send)
        elif asked is None:
            await self._in_turn(scope, receive, send)
        else:
            made = self._making[asked] = asyncio.Event()
            try:
                self._keep(asked, await self._in_turn(scope, receive, send))
            finally:
                self._making.pop(asked, None)
                made.set()

    async def _in_turn(self, scope: "Scope", receive: "Receive", send: "Send") -> "_Sent":
        """Have the application answer when few others are; return what it sent."""
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        sent = _Sent(send, self._turns.release)
        try:
            await self._app(scope, receive, sent)
        finally:
            sent.release()
        return sent

    def _keep(self, asked: object, sent: "_Sent") -> None:
        if (answer := sent.for_all()) is not None:
            self._answers.pop(asked, None)
            while len(self._answers) >= _MOST:
                self._answers.pop(next(iter(self._answers)))
            self._answers[asked] = self._clock() + _LIFETIME, answer

    def _asked(self, scope: "Scope") -> object | None:
        """Return what an answer depends on; None for one that is made anew."""
        names = {name for name, _ in scope["headers"]}
        if scope["path"] not in self._paths or scope["query_string"] or names & _SECRETS:
            return None
        headers = tuple((name, value) for name, value in scope["headers"] if name not in _OF_A_CLIENT)
        return scope["path"], scope["scheme"], scope.get("server"), headers

    def _known(self, asked: object) -> "list[Message]":
        until, answer = self._answers.get(asked, (0.0, []))
        return answer if until > self._clock() else []


class _Sent:
    """Send an answer, and keep it. Its turn is over with its head: a client may take its body as slowly as it likes."""

    def __init__(self, send: "Send", release: Callable[[], None]) -> None:
        self._send, self._release = send, release
        self._kept: list[Message] = []
        self._size = 0
        self._over = False

    async def __call__(self, message: "Message") -> None:
        self.release()
        self._size += len(message.get("body", b""))
        if self._size <= _LARGEST:
            self._kept.append(message)
        await self._send(message)

    def release(self) -> None:
        """Start the next one."""
        if not self._over:
            self._over = True
            self._release()

    def for_all(self) -> "list[Message] | None":
        """Return the answer as others may have it; None where it is not good, large, or for this client alone."""
        if not self._kept or self._size > _LARGEST or self._kept[-1].get("more_body", False):
            return None
        head, *rest = self._kept
        cookies = [value for name, value in head["headers"] if name.lower() == b"set-cookie"]
        if head["status"] != 200 or not all(cookie.startswith(_UNUSED_COOKIE) for cookie in cookies):
            return None
        kept = [(name, value) for name, value in head["headers"] if name.lower() not in _OF_AN_ANSWER]
        return [{**head, "headers": kept}, *rest]
