"""Files that other users may not read: how they are opened, which modes they get, in whose directory they lie.

An archive is as open as its directory: 0700, or 2770 for a group. What is made in it later has the mode for that,
whichever user makes it and whatever the umask is; keys are 0600 always.
"""

import contextlib
import errno
import grp
import os
import stat
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

from beamstream.path_names import control_fault

_MOST = 1 << 16  # bytes of a file of ours that is read as a whole


def file_mode(directory: Path) -> int:
    """Return the mode of a new file in a directory: 0600 in one of 0700, 0660 in one of 2770."""
    return (stat.S_IMODE(directory.stat().st_mode) & 0o664) | 0o600


def secret_mode(directory: Path) -> int:
    """Return the mode of a file that only its owner may read, or also the group if the directory is open to it."""
    return 0o660 if directory.stat().st_mode & stat.S_IRWXG == stat.S_IRWXG else 0o600


def set_mode(fd: int, mode: int) -> None:
    """Set the mode of an open file, whatever the umask is, if it is ours and its file system has modes."""
    found = os.fstat(fd)
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != mode:
        with contextlib.suppress(OSError):
            os.fchmod(fd, mode)


def as_around(path: str, flags: int) -> int:
    """Open a file that is as open as its directory: ``open(path, "w", opener=as_around)``."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    set_mode(fd, file_mode(Path(path).parent))
    return fd


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that other users may not read, or replace it at once: a reader never finds half of it.

    Parameters
    ----------
    path : Path
    text : str
    mode : int
        Of the file, from its beginning.

    Raises
    ------
    OSError
        The system refuses it; an old file stays.
    """
    hidden = path.with_name(f".{path.name}.{uuid4().hex}")
    fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            set_mode(fd, mode)
            file.write(text)
        hidden.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise


def make_directories(path: Path, mode: int | None = None) -> None:
    """Make a directory and those above it that are missing; in a directory that is closed to others they are, too.

    Parameters
    ----------
    path : Path
    mode : int, optional
        Of the last one, if it is made here; otherwise the umask decides where the one above it is open to others.

    Raises
    ------
    OSError
        The system refuses it, or the path has a control character.
    """
    if fault := control_fault(path):
        raise OSError(errno.EINVAL, fault, str(path))
    if path.is_dir():
        return
    if not path.parent.exists():
        make_directories(path.parent)
    try:
        path.mkdir()
    except FileExistsError:  # another process made it meanwhile, or it is no directory
        if not path.is_dir():
            raise
        return
    around = path.parent.stat().st_mode
    if mode is None and around & stat.S_IRWXO:
        return
    with contextlib.suppress(OSError):  # of a file system without modes
        path.chmod(around & (stat.S_IRWXG | stat.S_ISGID) | stat.S_IRWXU if mode is None else mode)


def restrict_umask(directory: Path) -> None:
    """Make files of this process as closed as a directory; for processes that serve one."""
    mode = directory.stat().st_mode
    if not mode & stat.S_IRWXO:
        os.umask(0o007 if mode & stat.S_IRWXG == stat.S_IRWXG else 0o077)


def share_with(directory: Path, group: str, keys: Collection[Path]) -> None:
    """Open a directory, and all that is in it but the keys, to a group, if it is not open to it already.

    Raises
    ------
    KeyError
        There is no such group.
    OSError
        The system refuses it: the directory is not ours, or we are not of that group.
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
    """A file or a directory is not safe for a secret; the text begins with its path."""


def check_directory(directory: Path) -> None:
    """Raise unless a directory is safe for secrets: ours or root's, and no other user can replace what is in it.

    One of another user is accepted if it is open to a group that we were put into, as an archive of a group is.

    Raises
    ------
    NotPrivate
        It is not.
    OSError
        There is none.
    """
    found = directory.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:  # with it users cannot replace the files of others
        raise NotPrivate(f"{directory} has mode {mode:o}, everybody may replace what is in it")
    shared = mode & stat.S_IRWXG == stat.S_IRWXG and found.st_gid in set(os.getgroups()) - {os.getegid()}
    if found.st_uid not in (os.geteuid(), 0) and not shared:
        raise NotPrivate(f"{directory} belongs to user {found.st_uid}, who may replace what is in it")


def read_private(path: Path, *, group: bool = False) -> bytes:
    """Return the content of a file that no other user can read.

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
