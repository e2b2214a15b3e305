"""Let a file appear whole or not at all, and over no other."""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from beamstream.sinks.disk import sync_directory

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
_ABANDONED = 3600.0  # s; nobody writes one file for an hour


@contextlib.contextmanager
def published(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to; when the block ends well, it appears at `path` and is on disk.

    Raises
    ------
    OSError
        The system refuses it; FileExistsError if there is a file at `path`, which is left alone.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _appear(draft, path)
        sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def make(directory: Path) -> None:
    """Make a directory and those that it lies in, on disk.

    Raises
    ------
    OSError
        The system refuses it.
    """
    if not directory.is_dir():
        make(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def sweep(directory: Path) -> None:
    """Remove what killed writers of this user left in a directory."""
    for draft in directory.glob(".*.part"):
        with contextlib.suppress(OSError):  # gone meanwhile
            about = draft.lstat()
            is_ours = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()
            if is_ours and time.time() - about.st_mtime > _ABANDONED:
                draft.unlink()


def _appear(draft: Path, path: Path) -> None:
    try:
        os.link(draft, path)  # a rename would replace a file that is there
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        draft.rename(path)
