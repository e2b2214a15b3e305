"""What goes back over HTTP: answers as values, and how one is sent."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
"""Where the files of the live page are; other pages share some of them."""
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MOST_BODY = 4096  # bytes
_ALWAYS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body in pieces, and headers."""

    status: int
    kind: str
    body: Sequence[bytes | memoryview]
    headers: tuple[tuple[str, str], ...] = (("cache-control", "no-store"),)

    async def send(self, send: "Send", more: Sequence[tuple[str, str]] = ()) -> None:
        """Send it; pieces are not copied."""
        named = [("content-type", self.kind), ("content-length", str(sum(map(len, self.body)))), *self.headers, *more]
        headers = [*_ALWAYS, *((name.encode(), value.encode()) for name, value in named)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in self.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, _scope: "Scope", _receive: "Receive", send: "Send") -> None:
        """Send it, as an ASGI application does."""
        await self.send(send)


def json_answer(document: Any, status: int = 200) -> Answer:
    """Return a document as JSON; NaN becomes null."""
    return Answer(status, "application/json", [orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)])


def refused(status: int, reason: str) -> Answer:
    """Return a no, with its reason as JSON."""
    return json_answer({"error": reason}, status)


def _of_the_page() -> list[Path]:
    """Return the files of the live page, those in directories as well; an editor's own are none of them."""
    return [file for file in STATIC.rglob("*") if file.suffix in _TYPES and not file.name.startswith(".")]


class StaticFiles:
    """The files of a page, read once: there is no way to any other file.

    Parameters
    ----------
    files : iterable of Path, optional
        Otherwise those of the live page.
    below : str
        What their paths begin with in the browser.
    """

    def __init__(self, files: Iterable[Path] | None = None, below: str = "/static/") -> None:
        self._files: dict[str, Answer] = {}
        for file in _of_the_page() if files is None else files:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            headers = (("cache-control", "no-cache"), ("etag", tag))
            kind = f"{_TYPES[file.suffix]}; charset=utf-8"
            name = file.relative_to(STATIC).as_posix() if files is None else file.name
            self._files[f"{below}{name}"] = Answer(200, kind, [content], headers)

    def answer(self, path: str, known: str | None = None) -> Answer | None:
        """Return a file, or that it has not changed since the client saw the tag `known`; None if there is none."""
        file = self._files.get(path)
        if file is not None and known is not None and ("etag", known) in file.headers:
            return Answer(304, file.kind, [], file.headers)
        return file

    def page(self, path: str, status: int) -> Answer:
        """Return a file that answers in place of another one, with a status of its own."""
        file = self._files[path]
        return Answer(status, file.kind, file.body)


async def body_of(receive: "Receive") -> bytes:
    """Return what was posted, or nothing if it is more than a key or a ticket can be."""
    body, more = b"", True
    while more and len(body) <= _MOST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return body if len(body) <= _MOST_BODY else b""
