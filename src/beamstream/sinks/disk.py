"""What a disk that refuses means and what to do about it; whether what it has is safe, and still where it was."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from beamstream import private
from beamstream.errors import DiskFull, SinkError

_ROOM = 64 << 20  # bytes; more than a filesystem keeps back
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ERRNO = re.compile(r"errno = (\d+)")  # how HDF5 writes it


@contextlib.contextmanager
def explained(who: str, what: str, path: Path) -> Iterator[None]:
    """Turn errors of the system and of HDF5 into `DiskFull` or `SinkError` with a text that helps.

    Parameters
    ----------
    who : str
        Whose frames they are.
    what : str
        What is asked for, as in "keep frames 5:8".
    path : Path
        The file that is written.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # HDF5 raises any of these
        code = _code(error)
        kind = DiskFull if code in _NO_ROOM else SinkError
        raise kind(f"{who}: to {what} {path}: {_reason(code, error, path)}") from error


def sync_directory(directory: Path) -> None:
    """Return when the names in a directory would survive a power cut."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Return when a file would survive a power cut; raise what the disk could not keep of it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def make_directories(directory: Path) -> None:
    """Make a directory with its parents, so that what is synced in it is found after a power cut."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    private.make_directories(directory)
    for path in missing:
        with contextlib.suppress(PermissionError):  # one may make a directory where one may not read
            sync_directory(path.parent)


def still_there(fd: int, path: Path) -> bool:
    """Return whether an open file is the one that `path` names: not deleted, replaced, or hidden by another mount.

    Raises
    ------
    OSError
        The filesystem does not answer.
    """
    try:
        named = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    ours = os.fstat(fd)
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def _code(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(str(error))
    return int(found[1]) if found else None


def _reason(code: int | None, error: BaseException, path: Path) -> str:
    match code:
        case errno.ENOSPC:
            return f"the disk is full ({_free(path)}); make room, or record to another directory"
        case errno.EDQUOT:
            return "your quota is used up; make room, or have it raised"
        case errno.EFBIG:
            return "the file would be larger than the filesystem or `ulimit -f` allows; raise the limit"
        case errno.EEXIST:
            return "the file exists and is never overwritten; choose another name, or move the file away"
        case errno.ENOENT | errno.ENOTDIR:
            return f"there is no directory {path.parent}; make it, or correct the configured path"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            rights = f"{os.strerror(code)} for user {os.geteuid()}"
            return f"{rights}; have the rights of {path.parent} changed, or record elsewhere"
        case errno.EIO:
            return "the disk reports an input/output error; look at the kernel's log before using it again"
        case _:
            return f"{error}; check the file and the disk"


def _free(path: Path) -> str:
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        below = ", but the volume below that filesystem has no room" if free > _ROOM else ""
        return f"{free / 1e6:.1f} MB free in {path.parent}{below}"
    return str(path.parent)
