"""The page of uploads: how far each is and what is in the way, in a browser that reaches the archive."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request, Response

from beamstream.archive.browsers import Browsers
from beamstream.live.answers import STATIC, Answer, StaticFiles, json_answer
from beamstream.rheed.report import statuses
from beamstream.rheed.starting import uploads_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_HERE = Path(__file__).parent / "static"
_SHARED = ("page.css", "controls.css", "key.css", "icon.svg", "readings.js")  # of the live page
_BELOW = "/uploads/static/"
_FRESH = 0.3  # s
_REST = 5  # times what a look took: with thousands of uploads, other requests are to be answered as well


class UploadsPage:
    """Answer for the uploads of an archive; the rules of reading are those of the archive.

    ``GET /uploads``
        The page; anybody may have it, there is nothing in it.
    ``GET /uploads/status``
        ``{"time": s since 1970-01-01 UTC, "uploads": […]}``, the newest first; each as
        `beamstream.rheed.report.status_of` returns it. The gate before it wants the key, where one is needed.
    ``POST /uploads/session``
        For a key that may read: a cookie, with which the browser may read for some hours.

    Parameters
    ----------
    archive : Path
        Directory of the archive.
    browsers : Browsers
    """

    def __init__(self, archive: Path, browsers: Browsers) -> None:
        self._looks = _Looks(uploads_of(archive))
        self._browsers = browsers
        self._files = StaticFiles([*_HERE.iterdir(), *(STATIC / name for name in _SHARED)], _BELOW)

    @property
    def routes(self) -> APIRouter:
        """What an application includes."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/uploads", self.page)
        router.add_api_route("/uploads/status", self.status)
        router.add_api_route("/uploads/session", self.session, methods=["POST"])
        router.add_api_route(_BELOW + "{name}", self.file)
        return router

    def page(self, request: Request) -> Response:
        """Return the page; a key in the address goes out of it, and the browser may read from then on."""
        self._browsers.take_out_of_address(request)
        return self.file("uploads.html", request)

    def session(self, request: Request) -> Response:
        """Return a cookie for the key that is shown."""
        return Response(status_code=204, headers={"Set-Cookie": self._browsers.session_for_key(request)})

    def file(self, name: str, request: Request) -> Response:
        """Return a file of the page."""
        answer = self._files.answer(_BELOW + name, request.headers.get("if-none-match"))
        if answer is None:
            raise HTTPException(404, f"{name} is not here; the page is /uploads")
        return _Answered(answer)

    def status(self) -> Response:
        """Return how far the uploads are; runs in a thread of the pool, since it reads files."""
        return _Answered(self._looks.newest())


class _Looks:
    """Look at the uploads a few times a second at most, however many pages ask."""

    def __init__(self, uploads: Path) -> None:
        self._uploads = uploads
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._answer = json_answer({})

    def newest(self) -> Answer:
        with self._lock:
            began = time.monotonic()
            if began >= self._next:
                document: dict[str, Any] = {"time": time.time(), "uploads": statuses(self._uploads)[::-1]}
                self._answer, ended = json_answer(document), time.monotonic()
                self._next = ended + max(_FRESH, _REST * (ended - began))
            return self._answer


class _Answered(Response):
    """An answer as the framework takes it, with the headers that all our pages have."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(status_code=answer.status)
        self._answer = answer

    async def __call__(self, _scope: "Scope", _receive: "Receive", send: "Send") -> None:
        await self._answer.send(send)
