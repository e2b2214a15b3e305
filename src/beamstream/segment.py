"""One stretch of shared memory that holds the last frames of one geometry.

Layout, in the machine's byte order: a page with the magic word, three counters and the header as JSON; a table with
one record a slot; then page-aligned slots with the pixels, so that a recorder can hand them to O_DIRECT as they are.
The file is flocked by its writer for as long as that lives: a segment whose lock is free belongs to nobody.

Readers take no lock. Every number that they read is one aligned word of 8 bytes, stored at once: never by
``struct.pack_into``, which fills its bytes with zeros first. A slot has a sequence word: 0 while the slot is being
written, index + 1 afterwards. Who has read something of a slot looks at its sequence word once more (`Segment.read`).

This rests on the order of stores. x86-64 lets every processor see stores in the order of the program, and loads are not
reordered either. The exception are copies of many pixels, which the C library streams past the cache: between the 0 and
such a copy there is a barrier, and the C library puts one behind it. 64-bit ARM reorders loads and stores freely: there
a barrier is between any two steps. It is made of a lock that is released and acquired again: of a store-release and a
load-acquire of one variable in this order, ARM's model says that everything before stays before everything behind.
"""

import errno
import fcntl
import json
import logging
import mmap
import os
import platform
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from beamstream.errors import MalformedFrame, NotARing, RingError, RingOverrun, UntrustedFile
from beamstream.forks import close_unshared, open_unshared
from beamstream.frame_attributes import SomeAttributes, from_json, to_json
from beamstream.frames import Frame, Geometry
from beamstream.locks import is_held
from beamstream.own_files import open_own
from beamstream.slot_memory import PAGE, Slots, Touching, pages, slot_bytes

logger = logging.getLogger(__name__)

SHM = Path("/dev/shm")
PREFIX = f"beamstream-{os.environ.get('BEAMSTREAM_RINGS', os.getuid())}-"
"""What the names of our segments begin with; instruments of one user can be kept apart by that variable."""
ATTRIBUTE_BYTES = 960
"""Room for the attributes of a frame as JSON; a recorder gets them all, other readers those that fit."""
_OTHERS = frozenset(map(int, re.findall(r"\d+", os.environ.get("BEAMSTREAM_RING_OWNERS", ""))))
"""Users whose rings count as ours: where a container shares /dev/shm and has other users."""

_MAGIC = b"BEAMRING"
_INCOMPLETE = (b"", bytes(8))  # what stands in the place of the magic word until the header is written
_NOT_ITS_FAULT = {errno.ENOENT, errno.EMFILE, errno.ENFILE}  # of a file that cannot be opened
_WORD = 8  # bytes
_NEXT, _FIRST, _CLOSED = 1, 2, 3  # the counters: words from the beginning of the file
_HEADER = 8  # the word with the header's length; the header comes right behind it
_MOST_HEADER = PAGE - (_HEADER + 1) * _WORD  # bytes
# words of a record; the attributes, JSON, come behind them
_SEQUENCE, _UNIQUE_ID, _TIMESTAMP, _RECEIVED, _PAYLOAD_BYTES, _ATTRIBUTES_BYTES, _ATTRIBUTES = range(7)
RECORD_BYTES = _ATTRIBUTES * _WORD + ATTRIBUTE_BYTES
"""Memory of a slot beside its pixels."""
_SOME = 1 << 32  # in the word with the length of the attributes: there are others, which had no room
_TABLE, _RECORD = PAGE // _WORD, RECORD_BYTES // _WORD  # words: where the table begins, length of a record
_MOST_INDEX = 1 << 53  # none that is read can be beyond: 285 years of a million frames/s
_STREAMED = 1 << 18  # bytes; the C library streams only longer copies past the cache
_ORDERED = platform.machine().lower() in ("x86_64", "amd64")
T = TypeVar("T")


def _barrier() -> None:
    """Keep loads and stores before this call before those behind it, as other processors see them."""
    lock = threading.Lock()
    lock.acquire()
    lock.release()
    lock.acquire()


class Segment:
    """A mapped segment: the writer made it, readers attach to it by its path.

    Use `create` or `attach`. Frames that it returns are views: they hold the memory, but the writer goes on
    writing; `holds` tells afterwards whether the slot was still untouched.
    """

    def __init__(self, path: Path, fd: int, *, writable: bool) -> None:
        self.path = path
        self._fd = fd
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        header = _read_header(fd)
        self.geometry = Geometry.from_dict(header["geometry"])
        self.source: str = header["source"]
        self.token: str = header.get("ring", "")
        self.capacity: int = header["capacity"]
        slots = Slots(self.geometry, self.capacity, table_end(self.capacity))
        nbytes = os.fstat(fd).st_size  # before it is mapped: whoever touches memory behind the file's end dies
        if self.capacity < 1 or slots.end > nbytes:
            raise ValueError(f"{nbytes} bytes for {self.capacity} frames of {self.geometry}")
        # opened anew: a mapping keeps the locks of its file, and a child made by fork has all mappings of its parent
        mapped = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC) if writable else fd
        self._buffer = mmap.mmap(mapped, nbytes, flags=mmap.MAP_SHARED, prot=access)
        if writable:
            os.close(mapped)
        view = memoryview(self._buffer)
        self._words, self._signed, self._reals = view.cast("Q"), view.cast("q"), view.cast("d")
        self._pixels = view.toreadonly()
        self.first: int = self._words[_FIRST]
        self._slots_at, self._stride = slots.at, slots.stride
        self.nbytes = slots.at + self.capacity * slots.reserved
        self._bytes = np.frombuffer(self._buffer, np.uint8)
        self._dtype = np.dtype(self.geometry.dtype)
        self._last_attributes: object = None
        self._encoded, self._some = b"", 0
        self.attributes_dropped = 0
        """Frames whose attributes have no room, or not all of them."""
        self._reserved = slots.reserved
        self._extended: dict[int, int] = {}  # bytes that are reserved of slots which had a larger frame
        self._touching = Touching(self._bytes, slots, path.name) if writable else None

    @classmethod
    def create(cls, path: Path, geometry: Geometry, capacity: int, first: int, source: str, token: str = "") -> Self:
        """Make a segment, its memory reserved, and lock it as ours.

        Raises
        ------
        RingError
            The name is taken or the shared memory is too small.
        """
        about = {"geometry": geometry.to_dict(), "capacity": capacity, "source": source, "ring": token}
        header = json.dumps(about).encode()
        if len(header) > _MOST_HEADER:
            raise RingError(f"ring {path.name}: a source of {len(source)} characters given; use a shorter URI")
        slots = Slots(geometry, capacity, table_end(capacity))
        try:
            fd = open_unshared(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as e:
            raise RingError(f"ring {path.name}: cannot be made in {path.parent}: {e.strerror}") from e
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # whoever asks whether it is locked has it for a moment
            slots.reserve(fd)
        except OSError as e:
            close_unshared(fd)
            path.unlink(missing_ok=True)
            need = f"{capacity * slot_bytes(geometry) / 2**20:.0f} MB for {capacity} frames of {geometry}"
            raise RingError(
                f"ring {path.name}: {need} asked for, {path.parent} says {e.strerror}; "
                f"lower ring_memory_mb, or enlarge {path.parent}"
            ) from e
        if os.fstat(fd).st_nlink == 0:  # somebody's sweep came between open and flock
            close_unshared(fd)
            return cls.create(path, geometry, capacity, first, source, token)
        words = np.zeros(_HEADER + 1, np.uint64)
        words[[_NEXT, _FIRST, _HEADER]] = first, first, len(header)
        os.pwrite(fd, words[1:].tobytes() + header, _WORD)
        os.pwrite(fd, _MAGIC, 0)
        return cls(path, fd, writable=True)

    @classmethod
    def attach(cls, path: Path) -> Self:
        """Map the segment of another process, read-only.

        It has to be a file of our own with mode 600. So only we can cut it off while it is mapped, which would end
        its readers (SIGBUS); its writer never does.

        Raises
        ------
        NotARing
            It is none, not ours, or damaged.
        RingError
            There is none, or it is not yet complete.
        """
        try:
            fd = open_own(path, others=_OTHERS)
        except UntrustedFile as e:
            raise NotARing(f"ring {e}; have it removed") from e
        except OSError as e:
            kind = RingError if e.errno in _NOT_ITS_FAULT else NotARing
            raise kind(f"ring {path.name!a}: cannot be opened: {e.strerror}; does its writer run?") from e
        try:
            if os.pread(fd, _WORD, 0) in _INCOMPLETE:
                raise RingError(f"ring {path.name}: not a ring, or not yet complete; try again")
            return cls(path, fd, writable=False)
        except RingError:
            os.close(fd)
            raise
        except Exception as e:  # of a damaged header anything: KeyError, TypeError, RecursionError, …
            os.close(fd)
            raise NotARing(f"ring {path.name}: not a ring, or not yet complete ({e}); remove it") from e

    @property
    def next_index(self) -> int:
        """The index that the next frame will get.

        Raises
        ------
        RingError
            What stands there cannot be.
        """
        index = self._words[_NEXT]
        if not self.first <= index <= _MOST_INDEX:
            raise RingError(
                f"ring {self.path.name}: next index {index} read, its first is {self.first}; restart its writer"
            )
        if not _ORDERED:
            _barrier()
        return index

    @property
    def closed(self) -> bool:
        """True once the writer has ended this epoch; `next_index` is final then."""
        closed = bool(self._words[_CLOSED])
        if not _ORDERED:
            _barrier()
        return closed

    def put(self, index: int, frame: Frame) -> None:
        """Copy a frame into its slot; what was there is gone.

        Raises
        ------
        MalformedFrame
            A compressed payload is larger than any encoder of this geometry makes it.
        RingOverrun
            It is larger than its pixels, and there is no shared memory left for that; it was not taken.
        """
        payload = frame.payload.reshape(-1).view(np.uint8)
        slot, nbytes = index % self.capacity, payload.nbytes
        if nbytes > self._reserved:
            self._extend(slot, frame)
        attributes = self._encode(frame) if frame.attributes else b""
        words, record = self._words, _TABLE + slot * _RECORD
        words[record] = 0
        if nbytes > _STREAMED or not _ORDERED:
            _barrier()
        start = self._slots_at + slot * self._stride
        np.copyto(self._bytes[start : start + nbytes], payload)
        self._signed[record + _UNIQUE_ID] = frame.unique_id
        self._reals[record + _TIMESTAMP] = frame.timestamp
        self._reals[record + _RECEIVED] = frame.received
        words[record + _PAYLOAD_BYTES] = nbytes
        words[record + _ATTRIBUTES_BYTES] = 0
        if attributes:
            words[record + _ATTRIBUTES_BYTES] = len(attributes) | self._some
            begin = (record + _ATTRIBUTES) * _WORD
            self._buffer[begin : begin + len(attributes)] = attributes
        if not _ORDERED:
            _barrier()
        words[record] = index + 1
        if not _ORDERED:
            _barrier()
        words[_NEXT] = index + 1

    def _extend(self, slot: int, frame: Frame) -> None:
        """Reserve memory for a frame that is larger than its pixels."""
        nbytes = frame.payload.nbytes
        if nbytes > self._stride:
            raise MalformedFrame(
                f"{frame.source}: frame {frame.unique_id} has {nbytes} bytes, "
                f"{frame.geometry} takes at most {self._stride}"
            )
        if nbytes <= self._extended.get(slot, 0):
            return
        start = self._slots_at + slot * self._stride
        try:
            os.posix_fallocate(self._fd, start, pages(nbytes))
        except OSError as e:
            raise RingOverrun(
                f"{frame.source}: frame {frame.unique_id} takes {nbytes} bytes, more than its pixels, and there is no "
                f"room for it in {self.path.parent}: {e.strerror}; lower ring_memory_mb, or the quality at the detector"
            ) from e
        self._extended[slot] = pages(nbytes)

    def _encode(self, frame: Frame) -> bytes:
        """Return the attributes as JSON; mostly they are the last frame's."""
        attributes = frame.attributes
        if attributes is not self._last_attributes and attributes != self._last_attributes:
            encoded = to_json(dict(attributes))
            self._some = 0 if len(encoded) <= ATTRIBUTE_BYTES else _SOME
            self._encoded = self._encode_some(frame, attributes) if self._some else encoded
            self._last_attributes = attributes
        if self._some:
            self.attributes_dropped += 1
        return self._encoded

    def _encode_some(self, frame: Frame, attributes: Mapping[str, Any]) -> bytes:
        """Return those of the attributes that have room."""
        room, some = ATTRIBUTE_BYTES - 2, {}
        for name, value in attributes.items():
            nbytes = len(to_json({name: value})) - 1  # without one of the brackets: for the comma
            if nbytes <= room:
                some[name], room = value, room - nbytes
        if not self.attributes_dropped:
            left_out = [name for name in attributes if name not in some]
            logger.warning(
                "%s: the attributes of frame %s are longer than the %s bytes that a ring has for them: viewers do not "
                "get %.200s; recordings do",
                frame.source or self.path.name,
                frame.unique_id,
                ATTRIBUTE_BYTES,
                ", ".join(left_out),
            )
        encoded = to_json(some)
        return encoded if len(encoded) <= ATTRIBUTE_BYTES else b"{}"  # NaN beside letters that json writes longer

    def holds(self, index: int) -> bool:
        """Return whether this frame is complete and not being overwritten, now: after all that was read before."""
        if _ORDERED:
            return self._words[_TABLE + index % self.capacity * _RECORD] == index + 1 > 0  # 0: being written
        _barrier()
        sequence = self._words[_TABLE + index % self.capacity * _RECORD]
        _barrier()
        return sequence == index + 1 > 0

    def identity(self, index: int) -> tuple[int, float]:
        """Return what stands in a frame's slot as unique_id and timestamp; `holds` tells whether they are its."""
        record = _TABLE + index % self.capacity * _RECORD
        return self._signed[record + _UNIQUE_ID], self._reals[record + _TIMESTAMP]

    def received(self, index: int) -> float:
        """Return what stands in a frame's slot as the time of its arrival."""
        return self._reals[_TABLE + index % self.capacity * _RECORD + _RECEIVED]

    def frame(self, index: int, attributes: Mapping[str, Any] | None = None) -> Frame:
        """Return a frame whose payload is a read-only view of the slot; with its `attributes`, where these are known.

        Raises
        ------
        RingOverrun
            It is not there (any more).
        """
        return self.read(index, _itself, attributes)

    def read(self, index: int, compute: Callable[[Frame], T], attributes: Mapping[str, Any] | None = None) -> T:
        """Return what a function makes of a frame that was untouched all the while.

        What the function raises is its own error only while the frame is there: pixels that are half of one, half of
        another frame make decoders raise anything.

        Raises
        ------
        RingOverrun
            The frame is not in the ring, or was overwritten meanwhile.
        """
        try:
            result = compute(self._frame(index, attributes))
        except Exception as error:
            if isinstance(error, RingOverrun) or self.holds(index):
                raise
            raise RingOverrun(f"frame {index} was overwritten while it was read") from error
        if not self.holds(index):
            raise RingOverrun(f"frame {index} was overwritten while it was read")
        return result

    def _frame(self, index: int, attributes: Mapping[str, Any] | None) -> Frame:
        if not self.holds(index):
            raise RingOverrun(f"frame {index} is not in the ring")
        slot, words = index % self.capacity, self._words
        record = _TABLE + slot * _RECORD
        nbytes = words[record + _PAYLOAD_BYTES]
        if nbytes > self._stride:
            raise RingError(f"ring {self.path.name}: frame {index} has {nbytes} bytes")
        if attributes is None:
            attributes = self._attributes(record, index)
        shape, dtype = ((nbytes,), np.uint8) if self.geometry.codec else (self.geometry.shape, self._dtype)
        payload = np.ndarray(shape, dtype, self._pixels, self._slots_at + slot * self._stride)
        unique_id, timestamp, received = (
            self._signed[record + _UNIQUE_ID],
            self._reals[record + _TIMESTAMP],
            self._reals[record + _RECEIVED],
        )
        return Frame(
            payload, self.geometry, unique_id, timestamp, received, self.source, attributes=attributes, ring_index=index
        )

    def _attributes(self, record: int, index: int) -> dict[str, Any]:
        """Return the attributes that a record holds."""
        some, nbytes = divmod(self._words[record + _ATTRIBUTES_BYTES], _SOME)
        if nbytes > ATTRIBUTE_BYTES or some > 1:
            raise RingError(f"ring {self.path.name}: frame {index} has {nbytes} bytes of attributes")
        begin = (record + _ATTRIBUTES) * _WORD
        attributes = from_json(self._buffer[begin : begin + nbytes]) if nbytes else {}
        return SomeAttributes(attributes) if some else attributes

    def end(self) -> None:
        """Mark this epoch as closed; no further frame comes into this segment. The writer's."""
        if not _ORDERED:
            _barrier()
        self._words[_CLOSED] = 1
        self.path.unlink(missing_ok=True)
        self.detach()

    def detach(self) -> None:
        """Close the file; the memory lives on as long as views of it do."""
        if self._touching is not None:
            self._touching.end()
        if self._fd >= 0:
            close_unshared(self._fd)
            self._fd = -1


def _read_header(fd: int) -> dict[str, Any]:
    """Return the header of a segment, read and not mapped."""
    page = os.pread(fd, PAGE, 0)
    if page[:_WORD] != _MAGIC:
        raise ValueError("no magic word")
    start = (_HEADER + 1) * _WORD
    length = int.from_bytes(page[start - _WORD : start], sys.byteorder)
    if length > _MOST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    return json.loads(page[start : start + length])


def _itself(frame: Frame) -> Frame:
    return frame


def table_end(capacity: int) -> int:
    """Return where the slots of a segment begin, bytes."""
    return pages(PAGE + capacity * RECORD_BYTES)


def ring_files(start: str, end: str = "") -> list[Path]:
    """Return the files in shared memory whose names begin with `PREFIX` and `start` and end with `end`.

    Anybody can have made them: `Segment.attach`, `is_written` and `sweep` look whose they are.
    """
    with os.scandir(SHM) as entries:
        names = [entry.name for entry in entries]
    return [SHM / name for name in names if name.startswith(PREFIX + start) and name.endswith(end)]


def is_written(path: Path) -> bool:
    """Return whether a file is a segment of ours whose writer lives."""
    try:
        fd = open_own(path, others=_OTHERS)
    except (OSError, UntrustedFile):
        return False
    try:
        return is_held(fd)
    finally:
        os.close(fd)


def sweep(prefix: str) -> list[Path]:
    """Unlink the segments of this user whose writers are dead; return their paths."""
    swept = []
    for path in ring_files(prefix.removeprefix(PREFIX)):
        try:
            fd = open_own(path, os.O_RDWR)
        except (OSError, UntrustedFile):
            continue  # somebody else's is not ours to unlink
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:  # the name may be another file's by now
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
