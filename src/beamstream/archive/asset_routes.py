"""The files behind a node, as they are: instead of tiled's own routes, which follow a path out of the asset."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, HTTPException, Request, Response, Security
from fastapi.responses import FileResponse
from tiled.server.authentication import (
    check_scopes,
    get_current_access_tags,
    get_current_principal,
    get_current_scopes,
    get_session_state,
)
from tiled.server.core import json_or_msgpack
from tiled.server.dependencies import get_entry, get_root_tree
from tiled.server.settings import Settings, get_settings

from beamstream.archive.served_files import ServedFiles

Find = Callable[[str], Awaitable[Any]]


async def finder(
    request: Request,
    principal: Annotated[Any, Depends(get_current_principal)],
    tags: Annotated[Any, Depends(get_current_access_tags)],
    scopes: Annotated[Any, Depends(get_current_scopes)],
    root: Annotated[Any, Depends(get_root_tree)],
    session: Annotated[Any, Depends(get_session_state)],
) -> Find:
    """Return a function that finds nodes by path, as far as the client may read; it raises 404 if there is none."""

    async def find(path: str) -> Any:
        wanted, policy = ["read:data", "read:metadata"], getattr(request.app.state, "access_policy", None)
        about = (principal, tags, scopes, root, session, request.state.metrics)
        return await get_entry(path, wanted, *about, access_policy=policy)

    return find


Finder = Annotated[Find, Depends(finder)]
"""A parameter of a route."""
READ = Security(check_scopes, scopes=["read:data", "read:metadata"])
"""A dependency of a route: its client has to have the scope to read."""


class AssetRoutes:
    """Answer ``/api/v1/asset/bytes`` and ``/api/v1/asset/manifest``.

    Parameters
    ----------
    files : ServedFiles
    """

    def __init__(self, files: ServedFiles) -> None:
        self._files = files

    @property
    def routes(self) -> APIRouter:
        """What an application includes."""
        router = APIRouter(prefix="/api/v1/asset", dependencies=[READ])
        router.add_api_route("/bytes/{path:path}", self.bytes_of, methods=["GET"])
        router.add_api_route("/manifest/{path:path}", self.manifest, methods=["GET"])
        return router

    async def bytes_of(
        self,
        path: str,
        id: int,
        find: Finder,
        settings: Annotated[Settings, Depends(get_settings)],
        relative_path: str | None = None,
    ) -> Response:
        """Return a file: the asset, or one in the directory that the asset is."""
        asset, place = await self._asset(path, id, find, settings)
        if asset.is_directory and relative_path is None:
            raise HTTPException(400, "archive: the asset is a directory; give relative_path, from asset/manifest")
        if relative_path is not None:
            if not asset.is_directory:
                raise HTTPException(400, "archive: the asset is one file; ask without relative_path")
            if "\0" in relative_path:
                raise HTTPException(400, "archive: relative_path is no path")
            place = await anyio.to_thread.run_sync(self._files.below, place, Path(relative_path))
        if not place.is_file():
            raise HTTPException(404, "archive: the file of the asset is not there any more")
        return FileResponse(place, filename=place.name)

    async def manifest(
        self,
        request: Request,
        path: str,
        id: int,
        find: Finder,
        settings: Annotated[Settings, Depends(get_settings)],
    ) -> Response:
        """Return the files of a directory, relative to it: all that `bytes_of` would return."""
        asset, place = await self._asset(path, id, find, settings)
        if not asset.is_directory:
            raise HTTPException(400, "archive: the asset is one file, there is no manifest")
        return json_or_msgpack(request, {"manifest": await anyio.to_thread.run_sync(_listed, place)})

    async def _asset(self, path: str, identity: int, find: Find, settings: Settings) -> tuple[Any, Path]:
        """Return what is registered, and where it is."""
        entry = await find(path)
        if not settings.expose_raw_assets:
            raise HTTPException(403, "archive: this server does not hand out recorded files")
        if not hasattr(entry, "asset_by_id"):
            raise HTTPException(405, f"archive: {path} has no files of its own")
        asset = await entry.asset_by_id(identity)
        if asset is None:
            raise HTTPException(404, f"archive: {path} has no asset {identity}")
        return asset, await anyio.to_thread.run_sync(self._files.path, asset.data_uri)


def _listed(directory: Path) -> list[str]:
    """Return the files below a directory; links are left out, they may lead anywhere."""
    found = []
    for parent, _, names in os.walk(directory):
        paths = (Path(parent, name) for name in names)
        found += [str(path.relative_to(directory)) for path in paths if path.is_file() and not path.is_symlink()]
    return sorted(found)
