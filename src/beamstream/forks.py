"""What a child made by fork must not have of its parent: its locks, and the files that its end would write to.

``multiprocessing`` forks on Linux. A child has a copy of every object and shares every open file: with it the locks,
which would outlive their owner, and HDF5's files, which the library finishes when any process that has them ends.
"""

import os
import threading

_opening = threading.RLock()  # held while a file is open and not listed yet, or the other way round: no fork then
_unshared: dict[int, tuple[int, int]] = {}  # device and inode by descriptor, so that a number used anew is let alone
_WAIT = 10.0  # s that a fork waits for a file system which does not answer


class Process:
    """Stands for one process; a child made by fork gets one of its own."""


_process = Process()


def this_process() -> Process:
    """Return what stands for this process: the same object each time, another one in a child made by fork."""
    return _process


def open_unshared(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """Open a file as `os.open` does, so that neither a child made by fork nor a program started shares it.

    In a child made by fork the descriptor stands for memory of its own, so that copies of our objects may write to
    it and close it. To be closed by `close_unshared`.
    """
    with _opening:
        fd = os.open(path, flags | os.O_CLOEXEC, mode)
        unshare(fd)
    return fd


def unshare(fd: int) -> None:
    """Share an open file with no child from now on, see `open_unshared`; until `share` or `close_unshared`.

    Whoever opens files by other means than `open_unshared` keeps forks away from the time between.
    """
    about = os.fstat(fd)
    os.set_inheritable(fd, False)
    _unshared[fd] = about.st_dev, about.st_ino


def share(fd: int) -> None:
    """Forget a descriptor that is about to be closed by somebody else."""
    _unshared.pop(fd, None)


def close_unshared(fd: int) -> None:
    """Close what `open_unshared` opened."""
    with _opening:
        share(fd)
        os.close(fd)


def _before() -> None:
    _opening.acquire(timeout=_WAIT)


def _after() -> None:
    if _opening._is_owned():  # pyright: ignore[reportAttributeAccessIssue]  not if the time was up
        _opening.release()


def _in_child() -> None:
    global _process, _opening
    _process, _opening = Process(), threading.RLock()
    if not _unshared:
        return
    nowhere = _nowhere()
    for fd, (device, inode) in _unshared.items():
        about = _status(fd)
        if about is None or (about.st_dev, about.st_ino) != (device, inode):
            continue
        if nowhere < 0:
            os.close(fd)
        else:
            os.dup2(nowhere, fd, inheritable=False)
    if nowhere >= 0:
        os.close(nowhere)
    _unshared.clear()


def _nowhere() -> int:
    """Return a file that is in no directory: it takes, gives and can be cut, which ``/dev/null`` cannot; -1 if none."""
    try:
        return os.memfd_create("beamstream-forked")
    except OSError:  # no descriptor is free: then ours are closed
        return -1


def _status(fd: int) -> os.stat_result | None:
    try:
        return os.fstat(fd)
    except OSError:  # closed, and not by `close_unshared`
        return None


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
