"""The URIs of an archive, decoded by tiled as well: `#`, `?` and `%41` may be in a name.

tiled 0.2.20 takes a file's URI apart (`tiled.utils.path_from_uri`) and decodes nothing: it looks for a directory
`sample %233` where `sample #3` is. A stock server of it cannot read files in such directories, whatever their URI is.
"""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import tiled.utils

from beamstream.archive.database_path import database_path
from beamstream.file_uri import path_of, uri_of

_tiled_own = tiled.utils.path_from_uri
_storages: dict[str, Path] = {}


def decode_uris(storage: Path) -> None:
    """Have tiled in this process decode the URIs of files.

    Parameters
    ----------
    storage : Path
        Where tiled keeps files that it names itself: names which look escaped and are meant as they are.
    """
    _storages[f"{uri_of(storage)}/"] = storage
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "tiled" and vars(module).get("path_from_uri") is _tiled_own:
            vars(module)["path_from_uri"] = _path_from_uri


def duckdb_uri(path: Path) -> str:
    """Return the URI of a DuckDB file as tiled wants it."""
    return uri_of(path).replace("file://localhost/", "duckdb://localhost//", 1)


def _path_from_uri(uri: Any) -> Path:
    text = str(uri)
    for root, storage in _storages.items():
        if text.startswith(root):
            return storage / text.removeprefix(root)
    scheme = urlsplit(text).scheme
    if scheme == "file":
        return path_of(text)
    if scheme in ("sqlite", "duckdb"):
        return database_path(Path(os.fsdecode(unquote_to_bytes(urlsplit(text).path[1:]))))
    return _tiled_own(uri)
