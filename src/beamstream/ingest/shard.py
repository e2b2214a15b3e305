"""Shards: whether what came is what Zarr will be able to read, without decoding it."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from beamstream.ingest.refusal import Refusal

ABSENT = 2**64 - 1
"""Both words of a frame that is all zero and not stored."""
_WORDS = np.dtype("<u8")
_MAGIC = b"\x28\xb5\x2f\xfd"
_LONGEST_HEADER = 18  # bytes of a Zstandard frame
_NOTHING = nullcontext()
_BLOCK = 1 << 17  # bytes of pixels that a block of a Zstandard frame has at most


@dataclass(frozen=True, slots=True)
class Shard:
    """One Zarr v3 chunk of codec ``sharding_indexed`` with its index at the end, in an open file.

    Parameters
    ----------
    fd : int
        Of the file; stays the caller's.
    index : ndarray of uint64, shape (n, 2)
        Offset and bytes of each frame.
    """

    fd: int
    index: NDArray[np.uint64]

    @property
    def end(self) -> int:
        """Where the frames end and the index begins."""
        return os.fstat(self.fd).st_size - index_nbytes(len(self.index))

    def encoded(self, number: int) -> bytes | None:
        """Return what is stored of a frame; None of one that is all zero."""
        offset, size = (int(word) for word in self.index[number])
        return None if offset == ABSENT else _read(self.fd, size, offset)

    def decoded(self, number: int, nbytes: int) -> bytes:
        """Return the pixels of a frame.

        Raises
        ------
        Refusal
            422: they cannot be decoded, or are not `nbytes`.
        """
        import imagecodecs

        stored = self.encoded(number)
        if stored is None:
            return bytes(nbytes)
        try:
            pixels = imagecodecs.zstd_decode(stored, out=nbytes)
        except Exception as error:  # the codec has its own tree of errors
            raise Refusal(422, f"ingest: frame {number} of the shard cannot be decoded: {error}") from error
        if len(pixels) != nbytes:
            raise Refusal(422, f"ingest: frame {number} of the shard has {len(pixels)} bytes of pixels, not {nbytes}")
        return bytes(pixels)

    def lengthen(self, count: int) -> "Shard":
        """Give the index `count` entries, as every shard of a regular array has; the frames stay where they are."""
        absent = np.full((count - len(self.index), 2), ABSENT, _WORDS)
        longer = np.concatenate([self.index, absent]).astype(_WORDS)
        end, tail = self.end, encode_index(longer)
        os.ftruncate(self.fd, end)
        rest = memoryview(tail)
        while rest:
            rest = rest[os.pwrite(self.fd, rest, end + len(tail) - len(rest)) :]
        return Shard(self.fd, longer)


def index_nbytes(count: int) -> int:
    """Return the size of an index of so many frames, checksum included."""
    return 16 * count + 4


def encode_index(index: NDArray[np.uint64]) -> bytes:
    """Return an index as it stands in a shard."""
    words = index.astype(_WORDS).tobytes()
    return words + google_crc32c.value(words).to_bytes(4, "little")


def largest(count: int, nbytes: int) -> int:
    """Return how large a shard of `count` frames of `nbytes` pixels may be: Zstandard's bound, and the index."""
    return count * (nbytes + (nbytes >> 8) + 512) + index_nbytes(count)


def open_shard(fd: int, count: int) -> Shard:
    """Return the shard in a file, its index read and its checksum compared.

    Raises
    ------
    Refusal
        422: it is shorter than its index, or the index is damaged.
    """
    size, tail = os.fstat(fd).st_size, index_nbytes(count)
    if size < tail:
        raise Refusal(422, f"ingest: a shard of {count} frames came with {size} bytes, its index alone has {tail}")
    data = _read(fd, tail, size - tail)
    if google_crc32c.value(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Refusal(
            422, f"ingest: the checksum of the shard's index is wrong: damaged, or not of {count} frames; send it again"
        )
    return Shard(fd, np.frombuffer(data[:-4], _WORDS).reshape(count, 2))


def check(shard: Shard, nbytes: int) -> None:
    """Check that every frame lies within the shard, none on another, and begins like `nbytes` of pixels.

    Raises
    ------
    Refusal
        422: it does not; the text says which frame.
    """
    offsets, sizes = shard.index[:, 0], shard.index[:, 1]
    missing = (offsets == ABSENT) | (sizes == ABSENT)
    _refuse_if(missing & (offsets != sizes), "has half an entry in the index")
    there = np.flatnonzero(~missing)
    end = np.uint64(shard.end)
    beyond = (sizes > end) | (sizes == 0) | (offsets > end - np.minimum(sizes, end))
    _refuse_if(beyond & ~missing, f"lies outside of the {end} bytes of the shard")
    order = there[np.argsort(offsets[there], kind="stable")]
    overlap = offsets[order[1:]] < offsets[order[:-1]] + sizes[order[:-1]]
    if overlap.any():
        at = int(np.argmax(overlap))
        raise Refusal(422, f"ingest: frames {order[at]} and {order[at + 1]} of the shard overlap")
    for number in there:
        problem = _problem(shard.fd, int(offsets[number]), int(sizes[number]), nbytes)
        if problem:
            raise Refusal(422, f"ingest: frame {number} of the shard {problem}")


def same_frames(
    first: Shard, second: Shard, count: int, nbytes: int, decoding: AbstractContextManager[None] = _NOTHING
) -> bool:
    """Return whether two shards hold the same pixels; a client may store them in another order each time.

    Frames are decoded only where their bytes differ, and within `decoding`.
    """
    unlike = [number for number in range(count) if first.encoded(number) != second.encoded(number)]
    if not unlike:
        return True
    with decoding:
        return all(first.decoded(number, nbytes) == second.decoded(number, nbytes) for number in unlike)


def _problem(fd: int, offset: int, size: int, nbytes: int) -> str:
    """Return what is wrong with a Zstandard frame, nothing decoded; RFC 8878, section 3.1.1.

    It has to say how many pixels it holds: readers take as much memory as comes out of one that does not.
    """
    header = _read(fd, min(_LONGEST_HEADER, size), offset)
    if header[:4] != _MAGIC or len(header) < 6:
        return "is no Zstandard frame"
    descriptor = header[4]
    single, kind = descriptor & 0x20, descriptor >> 6
    if descriptor & 0x08:
        return "has a reserved bit set in its Zstandard header"
    if descriptor & 0x03:
        return "needs a Zstandard dictionary"
    at = 5 + (0 if single else 1)
    length = (1 if single else 0, 2, 4, 8)[kind]
    if not length:
        return "does not say how many bytes of pixels it has; compress each frame at once, with its content size"
    if len(header) < at + length:
        return "ends within its Zstandard header"
    pixels = int.from_bytes(header[at : at + length], "little") + (256 if kind == 1 else 0)
    if pixels != nbytes:
        return f"has {pixels} bytes of pixels, rows × columns is {nbytes}"
    return _problem_of_blocks(fd, offset + at + length, offset + size - (4 if descriptor & 0x04 else 0), nbytes)


def _problem_of_blocks(fd: int, at: int, end: int, nbytes: int) -> str:
    """Return what is wrong with the blocks of a Zstandard frame, which are all between `at` and `end`."""
    most = 64 + nbytes // 1024
    for blocks in range(1, most + 1):
        if at + 3 > end:
            return "ends within its Zstandard blocks"
        head = int.from_bytes(_read(fd, 3, at), "little")
        kind, size = head >> 1 & 3, head >> 3
        if kind == 3 or size > _BLOCK:
            return "has a damaged Zstandard block"
        at += 3 + (1 if kind == 1 else size)
        if at > end:
            return "ends within its Zstandard blocks"
        if head & 1:
            if at != end:
                return f"has {end - at} bytes behind its last Zstandard block"
            return "" if blocks * _BLOCK >= nbytes else f"has too few Zstandard blocks for {nbytes} bytes of pixels"
    return f"has more than {most} Zstandard blocks"


def _refuse_if(wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise Refusal(422, f"ingest: frame {int(np.argmax(wrong))} of the shard {what}")


def _read(fd: int, size: int, offset: int) -> bytes:
    pieces = []
    while size:
        piece = os.pread(fd, size, offset)
        if not piece:
            raise Refusal(422, f"ingest: the shard ends at {offset}, {size} bytes before it should")
        pieces.append(piece)
        size, offset = size - len(piece), offset + len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
