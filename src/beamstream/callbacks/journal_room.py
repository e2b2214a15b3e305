"""Room on the disk that a journal holds for the end of its run: account and stop document fit a full disk."""

import contextlib
import ctypes
import errno
import os
from pathlib import Path

from beamstream.private import as_around

_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE of linux/falloc.h
_NOT_POSSIBLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EFBIG)  # here, not now: then a file does it
_STEP = 64 << 10  # bytes: so much is written before more is asked for


class Room:
    """Hold room for what a file is still to get, however full the disk becomes.

    The room is taken behind the file's end (``fallocate``), where filesystem and system can; elsewhere in a file beside
    it, which is removed when the disk is full.

    Parameters
    ----------
    fd : int
        Of the file, open for writing.
    path : Path
        The file.
    size : int
        Bytes to hold.
    """

    def __init__(self, fd: int, path: Path, size: int) -> None:
        self.size = size
        self._fd = fd
        self._beside = path.with_name(f".{path.stem}.room")
        self._end = 0  # of what is taken, in the file
        self._is_beside = False

    def left(self, written: int) -> int:
        """Return how many more bytes surely fit, when so many are written."""
        return self.size if self._is_beside else max(0, self._end - written)

    def hold(self, written: int) -> None:
        """Take the room anew behind so many bytes, if much of it is used.

        Raises
        ------
        OSError
            The disk is full; what was held before is still there.
        """
        if self._is_beside or self.left(written) > self.size - _STEP:
            return
        if _allocate(self._fd, written, self.size):
            self._end = written + self.size
        else:
            self._hold_beside()

    def give(self) -> bool:
        """Free what is held in a file beside, for a write that has just failed; return whether there was one."""
        if not self._is_beside:
            return False
        self._is_beside = False
        self._beside.unlink(missing_ok=True)
        return True

    def release(self, written: int) -> None:
        """Return what is left to the filesystem; `written` is the file's size."""
        with contextlib.suppress(OSError):  # a disk that is gone must not keep the run open
            self.give()
            if self._end > written:
                os.ftruncate(self._fd, written)

    def lost(self) -> None:
        """Note that the file was cut, and with it what was behind its end."""
        self._end = 0

    def _hold_beside(self) -> None:
        try:
            with open(self._beside, "wb", opener=as_around) as file:
                file.write(os.urandom(self.size))  # a filesystem that compresses would keep nothing for zeros
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._beside.unlink(missing_ok=True)
            raise
        self._is_beside = True


def _allocate(fd: int, offset: int, size: int) -> bool:
    """Take disk space without a change of the file's size; False where that is not possible.

    Raises
    ------
    OSError
        There is not so much.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    function = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)  # musl, macOS: no such names
    if function is None:
        return False
    while function(fd, _KEEP_SIZE, ctypes.c_longlong(offset), ctypes.c_longlong(size)) != 0:
        code = ctypes.get_errno()
        if code in _NOT_POSSIBLE:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True
