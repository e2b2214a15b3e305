"""Make a file whose writer was killed readable by everybody again.

An HDF5 file says in its superblock that somebody writes to it. A killed writer leaves that mark, and a plain
open is refused until it is gone. HDF5's own tool for this is ``h5clear -s``, which the wheels do not carry.
The layout is that of the HDF5 File Format Specification 3.0, II.A "Disk Format: Level 0A - Format Signature
and Superblock", versions 2 and 3; the checksum is Bob Jenkins' lookup3 ``hashlittle``
(https://burtleburtle.net/bob/c/lookup3.c).
"""

import errno
import fcntl
import os
import struct
from pathlib import Path

from beamstream.errors import SinkError
from beamstream.forks import open_unshared
from beamstream.locks import unlock

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# signature, version, size of offsets, size of lengths, consistency flags,
# base address, superblock extension, end of file, root group's object header, checksum
_SUPERBLOCK = struct.Struct("<8sBBBBQQQQI")
_CHECKSUM = struct.Struct("<I")
_OPEN_FOR_WRITING = 0x01
_OPEN_FOR_SWMR = 0x04
_MASK = 0xFFFFFFFF


def clear_consistency_flags(path: str | os.PathLike[str]) -> bool:
    """Take the mark of a dead writer off a file, so that a plain ``h5py.File(path)`` opens it.

    Parameters
    ----------
    path : path-like
        A file that HDF5 1.10 or later wrote (superblock 2 or 3) in single-writer-multiple-readers mode.

    Returns
    -------
    bool
        Whether there was a mark; without one the file is not touched.

    Raises
    ------
    SinkError
        There is no such file, it is not such a file, it is damaged, or somebody has it open.
    """
    path = Path(path)
    try:
        fd = open_unshared(path, os.O_RDWR)
    except OSError as error:
        raise SinkError(f"{path}: to be opened for repair, {error.strerror}; check the path and its rights") from error
    try:
        _claim(fd, path)
        return _clear(fd, path)
    finally:
        unlock(fd)


def _claim(fd: int, path: Path) -> None:
    """Be alone with the file until it is closed.

    HDF5 gives its own lock back when it starts single-writer mode; `PlacedWriter` therefore holds one of
    ours.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return  # a filesystem without locks: nobody can be asked
        raise SinkError(
            f"{path}: to be repaired, but a living process holds it open; stop its writer and readers first"
        ) from error


def _clear(fd: int, path: Path) -> bool:
    block = os.pread(fd, _SUPERBLOCK.size, 0)
    if len(block) < _SUPERBLOCK.size or not block.startswith(SIGNATURE):
        raise SinkError(f"{path}: to be repaired, but it does not start as an HDF5 file does; is it the right file?")
    signature, version, offsets, lengths, flags, base, extension, end, root, checksum = _SUPERBLOCK.unpack(block)
    if version not in (2, 3) or offsets != 8 or lengths != 8:
        raise SinkError(
            f"{path}: superblock {version} with {offsets}-byte offsets, known are 2 and 3 with 8; use h5clear"
        )
    if lookup3(block[: -_CHECKSUM.size]) != checksum:
        raise SinkError(f"{path}: the superblock's checksum is wrong, the file is damaged; restore it from a copy")
    there = os.fstat(fd).st_size
    if not flags & (_OPEN_FOR_WRITING | _OPEN_FOR_SWMR) and end <= there:
        return False
    flags &= ~(_OPEN_FOR_WRITING | _OPEN_FOR_SWMR)
    block = _SUPERBLOCK.pack(signature, version, offsets, lengths, flags, base, extension, there - base, root, 0)
    body = block[: -_CHECKSUM.size]
    os.pwrite(fd, body + _CHECKSUM.pack(lookup3(body)), 0)
    os.fsync(fd)
    return True


def lookup3(data: bytes, seed: int = 0) -> int:
    """Return the 32-bit checksum that HDF5 puts behind its metadata."""
    a = b = c = (0xDEADBEEF + len(data) + seed) & _MASK
    if not data:
        return c
    last = (len(data) - 1) // 12 * 12
    for at in range(0, last, 12):
        x, y, z = struct.unpack_from("<III", data, at)
        a, b, c = _mix((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)
    x, y, z = struct.unpack("<III", data[last:].ljust(12, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


def _rotate(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for k in (4, 6, 8, 16, 19, 4):
        # the three roles rotate: each round is `a -= c; a ^= rot(c, k); c += b` of the original
        a = (a - c) & _MASK ^ _rotate(c, k)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for k in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, k)) & _MASK
        a, b, c = b, c, a
    # seven rounds turn the roles by one: what the original calls c is the last one written
    return b
