"""The file name that a client asks for: tiled 0.2.20 puts it into a header unchecked."""

import re
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_PLAIN = re.compile(r"[^\x00-\x1f\x7f\"/\\]{1,255}")


class PlainFileNames:
    """Refuse ``?filename=`` that is a path, or would end the header that it goes into."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; for ASGI."""
        if scope["type"] == "http" and b"filename" in scope["query_string"]:
            names = parse_qs(scope["query_string"].decode("latin-1"), encoding="utf-8").get("filename", [])
            if not all(_PLAIN.fullmatch(name) and _is_latin(name) for name in names):
                detail = "archive: filename is no name that a file may have in a header; choose a plain one"
                await JSONResponse({"detail": detail}, 400)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_latin(name: str) -> bool:
    try:
        name.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
