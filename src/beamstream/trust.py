"""Refuse configuration and code that other users may have written, by name, as ssh and git do."""

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from beamstream.errors import UntrustedFile

VARIABLE = "BEAMSTREAM_TRUST"
_ACCESS_LIST = "system.posix_acl_access"
_MOST_LINKS = 40
_SETTINGS = {"matplotlibrc": "matplotlib", ".numba_config.yaml": "numba"}
"""What libraries take their settings from in the working directory before all else; numba's name a cache of pickles."""


def check_trusted(path: str | os.PathLike[str], purpose: str) -> None:
    """Raise where others than us and root may have written a file, or could put another one in its place.

    The file, each directory on the way to it and each link have to belong to us, to root, or to the owner of this
    package. No other user may write to them, except a group of one of these users that has no other member. In a
    directory with the sticky bit, such as /tmp, other users cannot replace what is ours. Directories that this package
    lies in are not checked: who can write there decides anyway what we run. What ``BEAMSTREAM_TRUST`` names, paths
    with colons between them, is trusted with all that lies below.

    Parameters
    ----------
    path : path-like
        A path that does not exist passes.
    purpose : str
        What the file is for, in the error: "configuration", "plug-in".

    Raises
    ------
    UntrustedFile
        It names the file or directory at fault, and what to do.
    """
    if _is_named_trusted(os.fspath(path)):
        return
    owners, package_path = {os.geteuid(), 0, Path(__file__).stat().st_uid}, _package_path()
    try:
        for place, about in _steps(os.fspath(path)):
            if place not in package_path and (fault := _fault(place, about, owners)):
                raise UntrustedFile(f"{path}: asked for as {purpose}, but {fault}; or trust it: {VARIABLE}={path}")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UntrustedFile(f"{path}: asked for as {purpose}, but {reason}; correct the path") from error


def check_working_directory() -> None:
    """Raise UntrustedFile where others have put settings of libraries into the working directory."""
    for name, library in _SETTINGS.items():
        if os.path.lexists(name):
            check_trusted(Path.cwd() / name, f"settings of {library}")


def check_profile(directory: Path) -> None:
    """Raise UntrustedFile where others may have written what IPython runs of a profile."""
    for file in (*directory.glob("ipython_config.*"), *directory.glob("startup/*.*py")):
        check_trusted(file, "profile")


def _is_named_trusted(path: str) -> bool:
    """Return whether ``BEAMSTREAM_TRUST`` has a path or a directory above it."""
    trusted = [Path(one) for one in os.environ.get(VARIABLE, "").split(os.pathsep) if Path(one).is_absolute()]
    if not trusted:
        return False
    here, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))  # noqa: PTH100, links stay
    return any(here.is_relative_to(one) or real.is_relative_to(one.resolve()) for one in trusted)


def _steps(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield all that the system resolves to open a path, from / on: directories, links, at last the file."""
    todo = list(reversed(Path.cwd().joinpath(path).parts))
    place, links = "/", 0
    while todo:
        part = todo.pop()
        if part == "..":
            place = os.path.dirname(place)  # noqa: PTH120, of a place without links
            continue
        place = os.path.join(place, part)  # noqa: PTH118, / begins anew
        about = os.lstat(place)
        yield place, about
        if stat.S_ISLNK(about.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return  # the system refuses it as well
            todo += reversed(Path(os.readlink(place)).parts)  # noqa: PTH115
            place = os.path.dirname(place)  # noqa: PTH120


@cache
def _package_path() -> frozenset[str]:
    """Return all that is resolved to open this package."""
    return frozenset(place for place, _ in _steps(__file__))


def _fault(place: str, about: os.stat_result, owners: set[int]) -> str:
    """Return what is wrong with one step, and what to do; empty if nothing is."""
    if about.st_uid not in owners:
        return f"{place} belongs to {_user(about.st_uid)}; take it over (chown)"
    is_shared = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
    if stat.S_ISLNK(about.st_mode) or is_shared or place == os.devnull:
        return ""
    mode = f"(mode {stat.S_IMODE(about.st_mode):o})"
    if about.st_mode & stat.S_IWOTH:
        return f"everybody may write to {place} {mode}; chmod o-w {place}"
    if about.st_mode & stat.S_IWGRP:
        if _has_access_list(place):
            return f"others may write to {place} by its access control list; setfacl -b {place}, and chmod g-w"
        if not any(_is_private(about.st_gid, uid) for uid in owners):
            return f"group {_group(about.st_gid)} may write to {place} {mode}; chmod g-w {place}"
    return ""


def _is_private(gid: int, uid: int) -> bool:
    """Return whether a group is one user's own: of the same name or number, and without another member."""
    users = pwd.getpwall()
    names = {user.pw_name for user in users if user.pw_uid == uid}
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return gid == uid
    others = [user for user in users if user.pw_gid == gid and user.pw_uid != uid]
    return (gid == uid or group.gr_name in names) and set(group.gr_mem) <= names and not others


def _has_access_list(place: str) -> bool:
    try:
        return _ACCESS_LIST in os.listxattr(place, follow_symlinks=False)
    except OSError:  # of a file system without attributes
        return False


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
