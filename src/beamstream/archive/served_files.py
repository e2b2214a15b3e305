"""Which files an archive serves: those in its own directories and in those it was given, links followed, no others.

tiled 0.2.20 compares a file's path with its directories as text, ``..`` and links included, checks some assets only,
and none where it serves a file's bytes. Here every file is checked before it is opened. What clients register is
checked as well; a file that is elsewhere may be registered, since a run is more than its files, but is not served.
"""

import os
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tiled.utils
from fastapi import HTTPException
from tiled.catalog.adapter import CatalogNodeAdapter, Context
from tiled.storage import FileStorage
from tiled.structures.array import ArrayStructure
from tiled.structures.data_source import Management

LARGEST_ANSWER = 300_000_000
"""Bytes of pixels that a request may ask for."""
_NAMES_FILES = ("data_uri", "data_uris")
"""Parameters of a data source that tiled's readers of file sequences prefer to its assets."""
_ANOTHER_PLACE = ("", ".", "..")


class ServedFiles:
    """Check that files lie in the directories that one archive serves.

    Parameters
    ----------
    context : Context
        Of the catalogue: its readable storage is what is served.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def path(self, uri: str) -> Path:
        """Return the file or directory of a ``file:`` URI, links followed.

        Raises
        ------
        HTTPException
            403: it is elsewhere.
        """
        (path,) = self.paths([uri])
        return path

    def paths(self, uris: Iterable[str]) -> list[Path]:
        """Return where URIs lead; see `path`."""
        roots = [
            os.path.realpath(storage.path)
            for storage in self._context.readable_storage.values()
            if isinstance(storage, FileStorage)
        ]
        parents: dict[str, str] = {}  # thousands of files of a sequence are in one directory
        found = []
        for uri in uris:
            if urlsplit(uri).scheme != "file":
                raise HTTPException(403, f"archive: {uri} asked for, only file: URIs of its own directories are served")
            path = _resolved(os.fspath(tiled.utils.path_from_uri(uri)), parents)
            if not any(is_below(path, root) for root in roots):
                raise HTTPException(
                    403,
                    f"archive: {uri} asked for, it is outside of the directories that are served; "
                    f"serve its directory with --recordings",
                )
            found.append(Path(path))
        return found

    def below(self, directory: Path, relative: Path) -> Path:
        """Return a file in a directory that `path` returned, links followed.

        Raises
        ------
        HTTPException
            403: it is not in there. 404: there is no such file.
        """
        path = Path(os.path.realpath(directory / relative))
        if relative.is_absolute() or not is_below(os.fspath(path), os.fspath(directory)):
            raise HTTPException(403, f"archive: {relative} asked for, it leads out of the directory of the asset")
        if not path.is_file():
            raise HTTPException(404, f"archive: {relative} asked for, the asset has no such file")
        return path

    def check(self, data_source: Any, parameters: Mapping[str, Any]) -> None:
        """Check that a data source names files of this archive alone, or a table that the archive itself made.

        Parameters
        ----------
        data_source : DataSource
        parameters : Mapping
            Further arguments of tiled's reader.

        Raises
        ------
        HTTPException
            403: it names something else.
        """
        uris = [asset.data_uri for asset in data_source.assets]
        if data_source.management != Management.external:
            uris = [uri for uri in uris if urlsplit(uri).scheme == "file"]
        for name in _NAMES_FILES:
            named = parameters.get(name, ())
            uris += [named] if isinstance(named, str) else [uri for uri in named if uri is not None]
        self.paths(uris)


def check_registrations() -> None:
    """Have tiled in this process check what clients register; call it again as often as you like."""
    for name in ("create_node", "put_data_source"):
        method = getattr(CatalogNodeAdapter, name)
        if not hasattr(method, "__wrapped__"):
            setattr(CatalogNodeAdapter, name, _checked(method))
    node: Any = CatalogNodeAdapter
    node._ensure_uri_within_readable_storage = _ensure_served  # its own answers 500


def _ensure_served(node: Any, uri: str) -> None:
    if urlsplit(uri).scheme == "file":
        ServedFiles(node.context).path(uri)


def _checked(method: Any) -> Any:
    """Return a method of tiled's catalogue that refuses what must not be kept; the server alone calls these two."""

    async def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        key = kwargs.get("key")
        if key is not None and (key in _ANOTHER_PLACE or "/" in key or "\0" in key):
            # tiled makes a directory of this name, and deletes it with the node
            raise HTTPException(422, f"archive: a node of the name {key!r} asked for; choose a name without / and dots")
        changed = kwargs.get("data_source")
        for data_source in kwargs.get("data_sources") or filter(None, [changed]):
            _expect_files(data_source, by_client=bool(data_source.assets or changed))
            if data_source.management != Management.external and isinstance(data_source.structure, ArrayStructure):
                _expect_plausible(data_source.structure)
        return await method(self, *args, **kwargs)

    checked.__wrapped__ = method  # pyright: ignore[reportFunctionMemberAccess]
    return checked


def _expect_files(data_source: Any, *, by_client: bool) -> None:
    """Refuse what no recording is: files that are deleted with their node, other places than files, steps upwards."""
    if by_client and data_source.management != Management.external:
        raise HTTPException(
            422,
            f"archive: files to be registered with management {data_source.management!s}, whose files are deleted with "
            f"the node; register them as external",
        )
    for uri in (asset.data_uri for asset in data_source.assets):
        if urlsplit(uri).scheme != "file" or ".." in tiled.utils.path_from_uri(uri).parts:
            raise HTTPException(422, f"archive: {uri} to be registered; only file: URIs without .. are taken")
    if named := data_source.parameters.keys() & set(_NAMES_FILES):
        raise HTTPException(422, f"archive: parameters {sorted(named)} to be registered; files are named by assets")


def _expect_plausible(structure: ArrayStructure) -> None:
    """Refuse chunks for which a server that writes one pixel would need more memory than an answer may have."""
    chunk = prod(max(part, default=0) for part in structure.chunks) * structure.data_type.to_numpy_dtype().itemsize
    if chunk > LARGEST_ANSWER:
        raise HTTPException(
            422, f"archive: chunks of {chunk} bytes to be registered, at most {LARGEST_ANSWER} are taken"
        )


def _resolved(path: str, parents: dict[str, str]) -> str:
    """Return a path without links; `parents` remembers directories."""
    directory, _, name = path.rpartition("/")
    if name in _ANOTHER_PLACE or os.path.islink(path):  # noqa: PTH114, thousands of files
        return os.path.realpath(path)
    if directory not in parents:
        parents[directory] = os.path.realpath(directory or "/")
    return f"{parents[directory].rstrip('/')}/{name}"


def is_below(path: str, root: str) -> bool:
    """Return whether a path without links is a directory, or in it."""
    return path == root or path.startswith(root.rstrip("/") + "/")
