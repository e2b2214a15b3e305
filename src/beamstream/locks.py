"""Which processes live: one that must be alone, or be known to live, keeps a file locked as long as it does.

The kernel keeps a lock: it needs no clock, and no number of a process that another container counts otherwise.
It is given back when its owner ends, however that ends; a child made by fork has no part in it (see `forks`).
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from beamstream.forks import close_unshared, open_unshared
from beamstream.private import secret_mode, set_mode

_CREATE = os.O_RDWR | os.O_CREAT
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid
_MARK = 1 << 62  # a byte that no file has


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Return whether a living process holds a file locked; not when there is no such file.

    A recorded HDF5 file is locked by its writer; readers that open it meanwhile are not disturbed by the question.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # of a pipe it would wait
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode) and is_held(fd)
    finally:
        os.close(fd)


def is_held(fd: int) -> bool:
    """Return whether a living process holds an open file locked; by another descriptor than this one, to be closed."""
    return not _is_free(fd) or _is_marked(fd)


def open_locked(
    path: str | os.PathLike[str], flags: int = _CREATE, mode: int | None = None, *, shared: bool = False
) -> int:
    """Open a file and lock it; return the descriptor, to be closed by `unlock`.

    Parameters
    ----------
    path : path-like
    flags : int
        As for `os.open`.
    mode : int, optional
        Of the file, if it may be made here; otherwise 0600: who may open a lock may hold it.
    shared : bool
        Let readers in that lock the file themselves, as HDF5 does; `is_locked` answers all the same.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    OSError
        As the system raises it.
    """
    fd = open_unshared(path, flags, 0o600)
    try:
        if flags & os.O_CREAT:
            set_mode(fd, secret_mode(Path(path).parent) if mode is None else mode)
        lock(fd, shared=shared)
    except BaseException:
        close_unshared(fd)
        raise
    return fd


def lock(fd: int, *, shared: bool = False) -> None:
    """Lock a file that `open_unshared` opened. A shared lock is done without where the file system has none.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    OSError
        As the system raises it.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if not shared or error.errno not in _NO_LOCKS:
            raise
    if shared:
        with contextlib.suppress(OSError):  # of a file system that has not this kind
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _MARK, 1, 0))


def unlock(fd: int) -> None:
    """Give a lock back and close its file."""
    with contextlib.suppress(OSError):  # of a file system without locks
        fcntl.flock(fd, fcntl.LOCK_UN)  # a program that is being started may have the file for a moment yet
    close_unshared(fd)


def _is_free(fd: int) -> bool:
    """Return whether no process is alone with a file, by sharing it for a moment."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _is_marked(fd: int) -> bool:
    """Return whether a writer that lets readers in has its mark on a file; takes no lock."""
    try:
        asked = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _MARK, 1, 0))
    except OSError:
        return False
    return _FLOCK.unpack(asked)[0] != fcntl.F_UNLCK
