"""The pages of tiled's browser interface, instead of its own route: that one follows any path, and asks for no key."""

import os
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.responses import FileResponse
from tiled.server.authentication import move_api_key
from tiled.utils import SHARE_TILED_PATH

from beamstream.archive.served_files import is_below

_FIRST = "index.html"


def ui_routes() -> APIRouter:
    """Return what an application includes; no key is needed, the pages hold no data."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/ui/{path:path}", _page, methods=["GET"])
    return router


async def _page(path: str, _: Annotated[None, Depends(move_api_key)]) -> Response:
    """Return a file of the pages; the first page for other addresses, which its script resolves."""
    found = await anyio.to_thread.run_sync(_file, path)
    if found is None:
        raise HTTPException(404, "archive: tiled's pages are not installed")
    return FileResponse(found)


def _file(path: str) -> Path | None:
    if not SHARE_TILED_PATH:
        return None
    root = os.path.realpath(Path(SHARE_TILED_PATH, "ui"))
    for name in (path, _FIRST):
        found = Path(os.path.realpath(f"{root}/{name}")) if "\0" not in name else Path(root)
        if is_below(os.fspath(found), root) and found.is_file():
            return found
    return None
