"""One stretch of shared memory that holds the last frames of one geometry.

Layout, little-endian: a page with the magic word, three counters and the geometry as JSON; a table with one
record a slot; then page-aligned slots with the pixels, so that a recorder can hand them to O_DIRECT as they are.
The file is flocked by its writer for as long as that lives: a segment whose lock is free belongs to nobody.
"""

import fcntl
import json
import mmap
import os
import struct
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson

from beamstream.errors import MalformedFrame, RingError, RingOverrun
from beamstream.forks import close_unshared, open_unshared
from beamstream.frames import Frame, Geometry

SHM = Path("/dev/shm")
PREFIX = f"beamstream-{os.environ.get('BEAMSTREAM_RINGS', os.getuid())}-"
"""What the names of our segments begin with; instruments of one user can be kept apart by that variable."""
PAGE = mmap.PAGESIZE
ATTRIBUTE_BYTES = 960

_MAGIC = b"BEAMRING"
_COUNTERS = struct.Struct("<QQQ")  # next index, first index of this segment, closed
_COUNTERS_AT = 8
_HEADER_AT = 64
_SEQUENCE = struct.Struct("<Q")  # index + 1 when the slot is complete, 0 while it is being written
_RECORD = struct.Struct("<qddQQ")  # unique_id, timestamp, received, payload bytes, attribute bytes
_IDENTITY = struct.Struct("<qd")  # its beginning
_RECORD_STRIDE = _SEQUENCE.size + _RECORD.size + ATTRIBUTE_BYTES
_COMPRESSED_MARGIN = 4096


def _pages(nbytes: int) -> int:
    return -(-nbytes // PAGE) * PAGE


def slot_bytes(geometry: Geometry) -> int:
    """Return the room that one frame of this geometry takes, bytes; a codec may inflate by under 1 %."""
    margin = geometry.nbytes // 100 + _COMPRESSED_MARGIN if geometry.codec else 0
    return _pages(max(1, geometry.nbytes) + margin)


class Segment:
    """A mapped segment: the writer made it, readers attach to it by its path.

    Use `create` or `attach`. Frames that it returns are views: they hold the memory, but the writer goes on
    writing; `holds` tells afterwards whether the slot was still untouched.
    """

    def __init__(self, path: Path, fd: int, *, writable: bool) -> None:
        self.path = path
        self._fd = fd
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if writable else 0)
        # opened anew: a mapping keeps the locks of its file, and a child made by fork has all mappings of its parent
        mapped = os.open(path, os.O_RDWR | os.O_CLOEXEC) if writable else fd
        self._buffer = mmap.mmap(mapped, 0, flags=flags, prot=access)
        if writable:
            os.close(mapped)
        (length,) = _SEQUENCE.unpack_from(self._buffer, _HEADER_AT)
        header = json.loads(self._buffer[_HEADER_AT + 8 : _HEADER_AT + 8 + length])
        self.geometry = Geometry.from_dict(header["geometry"])
        self.source: str = header["source"]
        self.capacity: int = header["capacity"]
        self.first: int = _COUNTERS.unpack_from(self._buffer, _COUNTERS_AT)[1]
        self._stride = slot_bytes(self.geometry)
        self._slots_at = _pages(PAGE + self.capacity * _RECORD_STRIDE)
        self._bytes = np.frombuffer(self._buffer, np.uint8)
        self._dtype = np.dtype(self.geometry.dtype)
        self._last_attributes: object = None
        self._encoded = b""
        self.attributes_dropped = 0

    @classmethod
    def create(cls, path: Path, geometry: Geometry, capacity: int, first: int, source: str) -> Self:
        """Make a segment, its memory reserved and touched, and lock it as ours.

        Raises
        ------
        RingError
            The name is taken or the shared memory is too small.
        """
        size = _pages(PAGE + capacity * _RECORD_STRIDE) + capacity * slot_bytes(geometry)
        try:
            fd = open_unshared(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as e:
            raise RingError(f"ring {path.name}: cannot be made in {path.parent}: {e.strerror}") from e
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # whoever asks whether it is locked has it for a moment
            os.posix_fallocate(fd, 0, size)
        except OSError as e:
            close_unshared(fd)
            path.unlink(missing_ok=True)
            need = f"{size / 2**20:.0f} MB for {capacity} frames of {geometry}"
            raise RingError(
                f"ring {path.name}: {need} asked for, {path.parent} says {e.strerror}; lower ring_memory_mb"
            ) from e
        if os.fstat(fd).st_nlink == 0:  # somebody's sweep came between open and flock
            close_unshared(fd)
            return cls.create(path, geometry, capacity, first, source)
        header = json.dumps({"geometry": geometry.to_dict(), "capacity": capacity, "source": source}).encode()
        os.pwrite(fd, _SEQUENCE.pack(len(header)) + header, _HEADER_AT)
        os.pwrite(fd, _COUNTERS.pack(first, first, 0), _COUNTERS_AT)
        os.pwrite(fd, _MAGIC, 0)
        return cls(path, fd, writable=True)

    @classmethod
    def attach(cls, path: Path) -> Self:
        """Map somebody else's segment, read-only.

        Raises
        ------
        RingError
            There is none, or it is not complete.
        """
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as e:
            raise RingError(f"ring {path.name}: cannot be opened: {e.strerror}; does its writer run?") from e
        if os.pread(fd, 8, 0) != _MAGIC:
            os.close(fd)
            raise RingError(f"ring {path.name}: not a ring, or not yet complete; try again")
        return cls(path, fd, writable=False)

    @property
    def next_index(self) -> int:
        """The index that the next frame will get."""
        return _COUNTERS.unpack_from(self._buffer, _COUNTERS_AT)[0]

    @property
    def closed(self) -> bool:
        """True once the writer has ended this epoch."""
        return bool(_COUNTERS.unpack_from(self._buffer, _COUNTERS_AT)[2])

    def put(self, index: int, frame: Frame) -> None:
        """Copy a frame into its slot; what was there is gone.

        Raises
        ------
        MalformedFrame
            A compressed payload is larger than any encoder of this geometry makes it.
        """
        payload = frame.payload.reshape(-1).view(np.uint8)
        if payload.nbytes > self._stride:
            raise MalformedFrame(
                f"{frame.source}: frame {frame.unique_id} has {payload.nbytes} bytes, "
                f"{frame.geometry} takes at most {self._stride}"
            )
        slot = index % self.capacity
        at = PAGE + slot * _RECORD_STRIDE
        _SEQUENCE.pack_into(self._buffer, at, 0)
        start = self._slots_at + slot * self._stride
        np.copyto(self._bytes[start : start + payload.nbytes], payload)
        attributes = self._encode(frame)
        _RECORD.pack_into(
            self._buffer,
            at + 8,
            frame.unique_id,
            frame.timestamp,
            frame.received,
            payload.nbytes,
            len(attributes),
        )
        if attributes:
            begin = at + 8 + _RECORD.size
            self._buffer[begin : begin + len(attributes)] = attributes
        _SEQUENCE.pack_into(self._buffer, at, index + 1)
        _COUNTERS.pack_into(self._buffer, _COUNTERS_AT, index + 1, self.first, 0)

    def _encode(self, frame: Frame) -> bytes:
        """Return the attributes as JSON; mostly they are the last frame's."""
        if not frame.attributes:
            return b""
        if frame.attributes != self._last_attributes:
            encoded = _as_json(dict(frame.attributes))
            if len(encoded) > ATTRIBUTE_BYTES:
                self.attributes_dropped += 1
                return b""
            self._last_attributes, self._encoded = frame.attributes, encoded
        return self._encoded

    def holds(self, index: int) -> bool:
        """Return whether this frame is complete and not being overwritten, now."""
        at = PAGE + (index % self.capacity) * _RECORD_STRIDE
        return _SEQUENCE.unpack_from(self._buffer, at)[0] == index + 1

    def identity(self, index: int) -> tuple[int, float]:
        """Return what stands in a frame's slot as unique_id and timestamp; `frame` tells whether it is whole."""
        at = PAGE + (index % self.capacity) * _RECORD_STRIDE
        return _IDENTITY.unpack_from(self._buffer, at + _SEQUENCE.size)

    def received(self, index: int) -> float:
        """Return what stands in a frame's slot as the time of its arrival."""
        return _RECORD.unpack_from(self._buffer, PAGE + (index % self.capacity) * _RECORD_STRIDE + _SEQUENCE.size)[2]

    def frame(self, index: int) -> Frame:
        """Return a frame whose payload is a read-only view of the slot.

        Raises
        ------
        RingOverrun
            It is not there (any more).
        """
        slot = index % self.capacity
        at = PAGE + slot * _RECORD_STRIDE
        if not self.holds(index):
            raise RingOverrun(f"frame {index} is not in the ring")
        unique_id, timestamp, received, nbytes, n_attributes = _RECORD.unpack_from(self._buffer, at + 8)
        begin = at + 8 + _RECORD.size
        try:
            attributes = _from_json(self._buffer[begin : begin + n_attributes]) if n_attributes else {}
        except ValueError:  # half of it is another frame's
            if self.holds(index):
                raise
            raise RingOverrun(f"frame {index} was overwritten while it was read") from None
        start = self._slots_at + slot * self._stride
        payload = self._bytes[start : start + nbytes]
        if not self.geometry.codec:
            payload = payload.view(self._dtype).reshape(self.geometry.shape)
        payload.flags.writeable = False
        return Frame(payload, self.geometry, unique_id, timestamp, received, self.source, attributes=attributes)

    def end(self) -> None:
        """Say that no further frame comes into this segment; the writer's last word."""
        _COUNTERS.pack_into(self._buffer, _COUNTERS_AT, self.next_index, self.first, 1)
        self.path.unlink(missing_ok=True)
        self.detach()

    def detach(self) -> None:
        """Let go; the memory lives on as long as views of it do."""
        if self._fd >= 0:
            close_unshared(self._fd)
            self._fd = -1


def _as_json(attributes: dict[str, Any]) -> bytes:
    try:
        encoded = orjson.dumps(attributes)  # ten times as fast as json
    except TypeError:
        return json.dumps(attributes).encode()
    return json.dumps(attributes).encode() if b"null" in encoded else encoded  # NaN would become null


def _from_json(encoded: bytes) -> dict[str, Any]:
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:  # NaN
        return json.loads(encoded)


def sweep(prefix: str) -> list[Path]:
    """Unlink the segments of this user whose writers are dead; return their paths."""
    swept = []
    for path in SHM.glob(f"{prefix}*"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            swept.append(path)
        except OSError:
            continue  # its writer lives
        finally:
            os.close(fd)
    return swept


def held(segment: Segment | None) -> tuple[int, int]:
    """Return the indices that a segment holds, as (start, stop)."""
    if segment is None:
        return 0, 0
    stop = segment.next_index
    return max(segment.first, stop - segment.capacity), stop
