"""Files of keys, one a key: mode 600, with a hash of it and what it may; valid if no other user can write them."""

import contextlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any

from beamstream.errors import ArchiveError, UntrustedFile
from beamstream.network.rules import SCOPES
from beamstream.own_files import open_own

_ID = re.compile(r"[0-9a-f]{8}")
_LARGEST = 4096  # bytes
_USED_PERIOD = 60.0  # s; when a key was last used is known as well as that


class KeyFiles:
    """The files ``<archive>/keys/<id>.json``.

    Parameters
    ----------
    archive : Path
    """

    def __init__(self, archive: Path) -> None:
        self._archive, self._directory = archive, archive / "keys"

    def path(self, name: str) -> Path:
        """Return the file of a key, by the key's id."""
        return self._directory / f"{name}.json"

    def names(self) -> list[str]:
        """Return the ids of all keys."""
        return [path.stem for path in self._directory.glob("*.json") if _ID.fullmatch(path.stem)]

    def load(self, name: str) -> tuple[dict[str, Any], float]:
        """Return what a file holds, and when the key was last used: s since 1970-01-01 UTC, 0.0 for never.

        Raises
        ------
        OSError
            It cannot be read.
        ValueError
            Somebody else could have written it, it is no file of a key, or `name` is no id.
        """
        if not _ID.fullmatch(name):
            raise ValueError(f"{name!r} is no id of a key")
        try:
            fd = open_own(self.path(name), others=(self._owner(),))
        except UntrustedFile as error:
            raise ValueError(f"{error}; revoke it") from None
        with os.fdopen(fd, "rb") as file:
            used, document = os.fstat(fd).st_mtime, json.loads(file.read(_LARGEST))
        if not _is_key(document):
            raise ValueError("this is no file of a key; revoke it")
        return document, used

    def note_use(self, name: str) -> None:
        """Keep that a key is used now, as the time of its file."""
        with contextlib.suppress(OSError):  # read only, or somebody else's: the key is good all the same
            if time.time() - self.path(name).stat().st_mtime > _USED_PERIOD:
                os.utime(self.path(name))

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Keep a key: whole, durable, readable for the archive's owner alone.

        Raises
        ------
        FileExistsError
            There is a key of that id.
        ArchiveError
            It cannot be kept.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"keys: {self._directory} cannot be made: {error.strerror}; make room for it") from error
        hidden = self._directory / f".{name}.new"
        try:
            with os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(document, file)
                file.flush()
                os.utime(hidden, (0, 0))  # never used
                os.fsync(file.fileno())
            if os.geteuid() == 0:  # made by the administrator, read by the user whose archive it is
                for path in (self._directory, hidden):
                    os.chown(path, self._owner(), -1)
            os.link(hidden, self.path(name))
            hidden.unlink()
            self._sync()
        except FileExistsError:
            hidden.unlink(missing_ok=True)
            raise
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise ArchiveError(f"keys: a key cannot be kept in {self._directory}: {error.strerror}") from error

    def remove(self, name: str) -> None:
        """Remove the file of a key, durably.

        Raises
        ------
        FileNotFoundError
            There is none, or `name` is no id.
        ArchiveError
            It cannot be removed.
        """
        if not _ID.fullmatch(name):
            raise FileNotFoundError(name)
        try:
            self.path(name).unlink()
            self._sync()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ArchiveError(f"keys: {self.path(name)} cannot be removed: {error.strerror}; remove it") from error

    def _owner(self) -> int:
        """Return who owns the archive."""
        return self._archive.stat().st_uid

    def _sync(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _is_key(document: Any) -> bool:
    match document:
        case {"hash": str(digest), "scopes": [*scopes], "note": str(), "created": int() | float(), "expires": end}:
            whole = re.fullmatch(r"[0-9a-f]{64}", digest) and set(scopes) <= set(SCOPES)
            return bool(whole) and (end is None or isinstance(end, int | float))
    return False
