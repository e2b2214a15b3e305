"""Gate: in front of every application, it admits what a rule names, from clients whose scope allows it."""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from beamstream.network.hosts import LOOPBACK_NAMES, foreign, host_name
from beamstream.network.rules import GRANTED, READ, WEBSOCKET, KeyChecker, Rule

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE = ("GET", "HEAD", "OPTIONS")
_SLASHES = re.compile("//+")
_NO_PATH = re.compile(r"(^|/)\.\.?(/|$)|[\\\x00-\x1f\x7f]")
_DIGITS = 15  # of a length
_LOOK = 3.0  # s between two looks whether a websocket is still allowed
_ENDED = {"type": "websocket.close", "code": 1008, "reason": "the key or the session has ended"}
_PATIENCE = 5.0  # s that the end of a websocket takes at most


class Refused(Exception):
    """A request that is not admitted.

    Parameters
    ----------
    status : int
        Of the answer.
    reason : str
    headers : (str, str), ...
        More headers of the answer.
    """

    def __init__(self, status: int, reason: str, *headers: tuple[str, str]) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


class Gate:
    """Admit the requests that a rule names from clients whose scope allows them; deny everything else.

    Decided before a byte of the body is read: by Host (a page from elsewhere that makes its own name point here gets
    nothing, with or without a key), Origin (nothing is changed, and no websocket opened, for a page from elsewhere),
    method, path, key and length. The application finds what the client may in ``scope[GRANTED]``.

    Parameters
    ----------
    app : ASGI application
    rules : sequence of Rule
    keys : KeyChecker
    name : str
        Of the server, for messages: ``"archive"``.
    hosts : iterable of str
        Names of the server, in addition to those of this machine alone and the address that was connected to.
    anonymous_read : bool
        Whether reading takes no key, where a rule says so.
    sessions : callable, optional
        Given the ``Cookie`` header of a browser and the scope of its request; returns what it may, None for no
        session. Not asked for a page from elsewhere: other ports of a machine are the same site.
    schemes : str
        Of the ``Authorization`` header. A key may also stand in ``X-API-KEY``.
    query : str
        Parameter of an address that may hold the key; ``""``: none.
    key_at : str
        Where a person finds the key, for messages.
    field : str
        Of the JSON object that a refusal is.
    unlock : callable, optional
        Given the scope of a request that wants a key; returns an application that answers instead, or None.
    """

    def __init__(
        self,
        app: "ASGIApp",
        rules: Sequence[Rule],
        keys: KeyChecker,
        *,
        name: str,
        hosts: Iterable[str] = (),
        anonymous_read: bool = False,
        sessions: "Callable[[str, Scope], frozenset[str] | None] | None" = None,
        schemes: Sequence[str] = ("apikey",),
        query: str = "",
        key_at: str = "",
        field: str = "detail",
        unlock: "Callable[[Scope], ASGIApp | None] | None" = None,
    ) -> None:
        self._app, self._keys, self._sessions = app, keys, sessions
        self._rules = [(rule.answered, compile_path(rule.path)[0], rule) for rule in rules]
        self._name, self._anonymous_read = name, anonymous_read
        self._hosts = {*LOOPBACK_NAMES, *(host.lower().rstrip(".") for host in hosts)}
        self._schemes, self._query, self._key_at = schemes, query, key_at
        self._field, self._unlock = field, unlock

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if "//" in scope["path"]:
            scope.update(path=_SLASHES.sub("/", scope["path"]), raw_path=None)  # which Starlette would prefer
        try:
            rule = self._admit(scope)
        except Refused as refused:
            await self._refuse(refused, scope, receive, send)
            return
        if scope["type"] == "http" and any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            receive, send = self._counted(rule.body, scope, receive, send)
        if scope["type"] == "websocket":
            await self._while_allowed(rule, scope, receive, send)
            return
        with suppress(ClientDisconnect):  # it went, or was refused, in the middle of its body
            await self._app(scope, receive, send)

    async def _while_allowed(self, rule: Rule, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a websocket on, and end it when the key or the session ends that opened it."""
        app = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            while not (await asyncio.wait({app}, timeout=_LOOK))[0]:
                if not self._allows(rule, scope):
                    break
        finally:
            if ended := not app.done():
                app.cancel()
                await asyncio.wait({app}, timeout=_PATIENCE)
        if not ended:
            app.result()
            return
        with suppress(TimeoutError, OSError):  # who takes nothing does not learn why
            async with asyncio.timeout(_PATIENCE):
                await send(_ENDED)

    def _admit(self, scope: "Scope") -> Rule:
        """Return the rule that lets a request through, and write into its scope what the client may."""
        method = scope.get("method", WEBSOCKET)
        headers, query = _parts(scope)
        self._check_host(scope, headers)
        named = [] if _NO_PATH.search(scope["path"]) else self._named(scope["path"], query)
        rule = next((rule for methods, rule in named if method in methods), None)
        if foreign(headers) and method not in _SAFE and not (rule and rule.from_elsewhere):
            raise Refused(403, f"{self._name}: a page from {headers['origin']} asked for it; only our own pages may")
        scopes = self._scopes(rule, scope, headers, query)
        scope[GRANTED] = scopes if scopes is not None else frozenset()
        if rule is None:
            methods = {each for methods, _ in named for each in methods} - {WEBSOCKET}
            if methods and scope["type"] == "http":
                allowed = ", ".join(sorted(methods))
                text = f"{self._name}: {method} {scope['path']} asked for; there are {allowed}"
                raise Refused(405, text, ("allow", allowed))
            raise Refused(404, f"{self._name}: {scope['path']} is not here")
        if scopes is not None and rule.scope not in scopes:
            raise Refused(403, f"{self._name}: this takes a key that may {rule.scope}, the one given may not")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > _DIGITS or int(length) > rule.body:
            raise Refused(413, _too_large(self._name, f"a request of {length} bytes", rule.body))
        return rule

    def _check_host(self, scope: "Scope", headers: Mapping[str, str]) -> None:
        if sum(name == b"host" for name, _ in scope["headers"]) != 1:
            raise Refused(400, f"{self._name}: a request names its host once; send one Host header")
        name = host_name(headers["host"])
        server = scope.get("server")
        if name not in self._hosts and not (server and name == server[0]):
            reason = (
                f"{name or headers['host']!r} is no name of this server; use its address, or add it to allowed_hosts"
            )
            raise Refused(421, f"{self._name}: {reason}")

    def _named(self, path: str, query: Mapping[str, str]) -> list[tuple[frozenset[str], Rule]]:
        """Return the rules for a path, whatever the method."""
        found = ((methods, rule) for methods, pattern, rule in self._rules if pattern.match(path))
        return [(methods, rule) for methods, rule in found if not rule.query or rule.query in query]

    def _allows(self, rule: Rule, scope: "Scope") -> bool:
        """Return whether a request that was admitted would be admitted now."""
        try:
            scopes = self._scopes(rule, scope, *_parts(scope))
        except Refused:
            return False
        return scopes is None or rule.scope in scopes

    def _scopes(
        self, rule: Rule | None, scope: "Scope", headers: Mapping[str, str], query: Mapping[str, str]
    ) -> frozenset[str] | None:
        """Return what a client may; None where that does not matter.

        Raises
        ------
        Refused
            It showed no key and needs one, or showed an unknown one.
        """
        if rule is not None and rule.scope is None:
            return None
        given, cookies = self._given(headers, query), "" if foreign(headers) else headers.get("cookie", "")
        session = self._sessions(cookies, scope) if self._sessions is not None and cookies else None
        scopes = session if given is None else self._keys.check(given)
        if scopes is not None:
            return scopes
        spared = self._anonymous_read and (rule is None or (rule.anonymous and rule.scope == READ))
        if given is not None or not spared:
            challenge = f'{self._schemes[0].capitalize()} realm="beamstream {self._name}"'
            raise Refused(401, self._wanted(given), ("www-authenticate", challenge))
        return frozenset((READ,))

    def _wanted(self, given: str | None) -> str:
        wrong = f"a wrong key was given, this is not the key of the {self._name}"
        where = f": {self._key_at}" if self._key_at else ""
        return f"the {self._name} wants its key; {wrong if given is not None else 'no key was given'}{where}"

    def _given(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
        """Return the key that a request shows, valid or not."""
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme:
            return text.strip() if scheme.lower() in self._schemes else ""
        return headers.get("x-api-key") or (query.get(self._query) if self._query else None)

    def _counted(self, most: int, scope: "Scope", receive: "Receive", send: "Send") -> "tuple[Receive, Send]":
        """Bound a body that comes without a length."""
        came, begun, ended = 0, False, False

        async def counted() -> "Message":
            nonlocal came, ended
            message = {"type": "http.disconnect"} if ended else await receive()
            came += len(message.get("body", b""))
            if came > most and not ended:
                ended = True
                if not begun:
                    refused = Refused(413, _too_large(self._name, f"{came} bytes", most))
                    await self._refuse(refused, scope, receive, send)
                message = {"type": "http.disconnect"}
            return message

        async def once(message: "Message") -> None:
            nonlocal begun
            begun = True
            if not ended:
                await send(message)

        return counted, once

    async def _refuse(self, refused: Refused, scope: "Scope", receive: "Receive", send: "Send") -> None:
        answer = self._unlock(scope) if self._unlock is not None and refused.status == 401 else None
        if answer is not None and scope["type"] == "http":
            await answer(scope, receive, send)
            return
        kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        status = 403 if scope["type"] == "websocket" else refused.status  # what a websocket that is not opened is
        body = json.dumps({self._field: refused.reason}).encode()
        headers: list[tuple[str, str]] = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            *refused.headers,
        ]
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": f"{kind}.start", "status": status, "headers": encoded})
        await send({"type": f"{kind}.body", "body": body, "more_body": False})


def _parts(scope: "Scope") -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers of a request, and the parameters in its address."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return headers, dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def _too_large(name: str, what: str, most: int) -> str:
    return f"{name}: {what} came, at most {most} are taken here; send less at once"
