"""Open files in directories that others may write to: what counts is the file that was opened, not its name."""

import errno
import os
import stat
from collections.abc import Collection

from beamstream.errors import UntrustedFile

_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # neither a pipe nor a lease makes us wait


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a regular file and return its descriptor; never waits, follows no link in the last place.

    Raises
    ------
    OSError
        There is none, it is a link, or the system refuses it.
    UntrustedFile
        It is something else: a directory, a pipe, a device.
    """
    fd = os.open(path, flags | _CAREFULLY, mode)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UntrustedFile(f"{os.fspath(path)!a}: to be opened, it is no regular file")
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_own(path: str | os.PathLike[str], flags: int = os.O_RDONLY, *, others: Collection[int] = ()) -> int:
    """Open a file that no other user can have written, as `open_regular` does.

    As long as it is open, no other user can write to it or truncate it.

    Parameters
    ----------
    path : path-like
    flags : int
        As for `os.open`.
    others : collection of int
        Users whose files count as ours.

    Raises
    ------
    OSError
        There is none, it is a link, or the system refuses it.
    UntrustedFile
        It is no regular file, belongs to another user, has a second name, or a mode wider than 600.
    """
    fd = open_regular(path, flags)
    if fault := _fault(os.fstat(fd), others):
        os.close(fd)
        raise UntrustedFile(f"{os.fspath(path)!a}: to be opened, {fault}")
    return fd


def _fault(about: os.stat_result, others: Collection[int]) -> str:
    if about.st_uid != os.geteuid() and about.st_uid not in others:
        return f"it belongs to uid {about.st_uid}, not to us (uid {os.geteuid()})"
    if (mode := stat.S_IMODE(about.st_mode)) & ~0o600:
        return f"its mode is {mode:03o} and not 600, others may have written it"
    return "it has a second name" if about.st_nlink > 1 else ""


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError where there is something else than a regular file, also behind links: to open a pipe waits."""
    mode = os.stat(path).st_mode  # noqa: PTH116
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
