"""Files that others have no business with: how they are opened, which modes they get, whose directory they are in.

An archive is as open as its directory: 0700, or 2770 for a group. What is made in it later takes after the directory,
whoever makes it and whatever the umask is; keys are 0600 always.
"""

import contextlib
import errno
import grp
import os
import stat
from collections.abc import Collection
from pathlib import Path

from beamstream.path_names import control_fault

_MOST = 1 << 16  # bytes of a file of ours that is read as a whole


def file_mode(directory: Path) -> int:
    """Return the mode of a new file in a directory: 0600 in one of 0700, 0660 in one of 2770."""
    return (stat.S_IMODE(directory.stat().st_mode) & 0o664) | 0o600


def secret_mode(directory: Path) -> int:
    """Return the mode of a file that nobody else may read, besides a group that the directory belongs to as well."""
    return 0o660 if directory.stat().st_mode & stat.S_IRWXG == stat.S_IRWXG else 0o600


def settle(fd: int, mode: int) -> None:
    """Give an open file its mode, whatever the umask took from it, if it is ours and its file system has modes."""
    found = os.fstat(fd)
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != mode:
        with contextlib.suppress(OSError):
            os.fchmod(fd, mode)


def as_around(path: str, flags: int) -> int:
    """Open a file that is as open as its directory: ``open(path, "w", opener=as_around)``."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    settle(fd, file_mode(Path(path).parent))
    return fd


def make_directories(path: Path, mode: int | None = None) -> None:
    """Make a directory and those above it that are missing: in one that is closed to others as closed as that is.

    Parameters
    ----------
    path : Path
    mode : int, optional
        Of the last one, if it is made here; otherwise the umask decides where the one above it is open to others.

    Raises
    ------
    OSError
        As the system says it, or the path has a control character.
    """
    if fault := control_fault(path):
        raise OSError(errno.EINVAL, fault, str(path))
    if path.is_dir():
        return
    if not path.parent.exists():
        make_directories(path.parent)
    try:
        path.mkdir()
    except FileExistsError:  # made by somebody else meanwhile, or no directory
        if not path.is_dir():
            raise
        return
    around = path.parent.stat().st_mode
    if mode is None and around & stat.S_IRWXO:
        return
    with contextlib.suppress(OSError):  # of a file system without modes
        path.chmod(around & (stat.S_IRWXG | stat.S_ISGID) | stat.S_IRWXU if mode is None else mode)


def restrict_umask(directory: Path) -> None:
    """Let what this process makes be as closed as a directory; for processes that serve one."""
    mode = directory.stat().st_mode
    if not mode & stat.S_IRWXO:
        os.umask(0o007 if mode & stat.S_IRWXG == stat.S_IRWXG else 0o077)


def share_with(directory: Path, group: str, keys: Collection[Path]) -> None:
    """Open a directory, and all that is in it but the keys, to a group; nothing happens where it is.

    Raises
    ------
    KeyError
        There is no such group.
    OSError
        As the system says it: it is not ours, or we are not of that group.
    """
    gid, mode = grp.getgrnam(group).gr_gid, 0o2770
    found = directory.stat()
    if found.st_gid == gid and stat.S_IMODE(found.st_mode) == mode:
        return
    for place, _, files in os.walk(directory, topdown=False):  # the directory itself last: a kill leaves it to be done
        for path in (Path(place, name) for name in files):
            if path not in keys and not path.is_symlink():
                os.chown(path, -1, gid, follow_symlinks=False)
                path.chmod((path.stat().st_mode & stat.S_IXUSR and 0o770) or 0o660)
        os.chown(place, -1, gid)
        Path(place).chmod(mode)


class NotPrivate(PermissionError):
    """A file or a directory, which the text begins with, is no place for a secret."""


def check_directory(directory: Path) -> None:
    """Raise unless a directory is one for secrets: ours or root's, where nobody else replaces what is in it.

    One of somebody else will do where it is open to a group that we were put into, as an archive of a group is.

    Raises
    ------
    NotPrivate
        It is not.
    OSError
        There is none.
    """
    found = directory.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:  # with it nobody replaces what is another's
        raise NotPrivate(f"{directory} has mode {mode:o}, everybody may replace what is in it")
    shared = mode & stat.S_IRWXG == stat.S_IRWXG and found.st_gid in set(os.getgroups()) - {os.getegid()}
    if found.st_uid not in (os.geteuid(), 0) and not shared:
        raise NotPrivate(f"{directory} belongs to user {found.st_uid}, who may replace what is in it")


def read_private(path: Path, *, group: bool = False) -> bytes:
    """Return what a file holds that nobody else can read.

    Parameters
    ----------
    path : Path
    group : bool
        Whether its group may read it.

    Raises
    ------
    NotPrivate
        Others may have read it, or have made it.
    OSError
        It cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise NotPrivate(f"{path} is no file")
        if found.st_uid not in (os.geteuid(), 0, path.parent.stat().st_uid):
            raise NotPrivate(f"{path} belongs to user {found.st_uid}, who may have made it")
        if mode & (stat.S_IRWXO | (0 if group else stat.S_IRWXG)):
            raise NotPrivate(f"{path} has mode {mode:o}, others may have read it")
        return os.read(fd, _MOST)
    finally:
        os.close(fd)
