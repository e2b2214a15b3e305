"""Walk the headers of a compressed frame: whether its bytes can be what they claim, without decoding any pixels.

What passes can be stored and given to any decoder: all lengths in it lie inside of it, and it decodes to just the size
that is asked for, or to an error. That takes some 20 µs a frame, whatever its size.
"""

import struct
import zlib
from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beamstream import jpeg_header

Bytes = NDArray[np.uint8]

WRONG = (ValueError, IndexError, OverflowError, struct.error)
"""What `walk` raises; all but ValueError: the bytes are cut off."""
HDF5_HEADER = struct.Struct(">QI")  # decoded bytes, block bytes: HDF5's lz4 and bitshuffle filters
_BE_U32 = struct.Struct(">I")
_ITEMSIZES = (1, 2, 4, 8)  # bytes
_BITSHUFFLE_BLOCK = 8192  # bytes, bitshuffle's default
_BITSHUFFLE_LEAST = 128  # elements
_BLOSC_HEADER = struct.Struct("<BBBBIII")  # version, codec version, flags, itemsize, nbytes, block, cbytes
_BLOSC_MEMCPYED, _BLOSC2_MARK, _BLOSC2_HEADER, _LAST_BLOSC1 = 0x02, 0x05, 32, 2
_PROBE = 4096  # bytes of zlib that are inflated
_FEW_BLOCKS = 256  # up to so many take less than what numba is worth, whose import takes a second
_MOST_TOKENS = 16  # of an lz4 block that are walked: noise breaks its rules within the first few

# Decoded bytes a compressed byte can stand for, at most. lz4 and blosclz code 255 of a run in one, deflate 258 in two
# bits, zstd 128 KiB in four bytes; a JPEG takes a bit for 8 × 8 pixels of each of up to three colours.
_RATIOS = {"lz4": 255, "lz4hdf5": 255, "bslz4": 255, "zlib": 1032, "jpeg": 1536}
_BLOSC_RATIOS = (256, 256, 256, 1032, 1 << 15)  # blosclz, lz4, snappy, zlib, zstd
_MOST_BLOSCLZ = 8 << 20
"""Bytes of one stream of blosclz: with 8421505 codes of 255 the length of a run wraps around, and C-Blosc 1.21.6 and
C-Blosc2 3.3 write far beyond their memory (Blosc/c-blosc2#801). Blosc's own blocks are smaller."""
_MOST_FOR_NOTHING = 64 << 20  # bytes that a Blosc2 chunk of one value, which has no data, may stand for


class Expected(NamedTuple):
    """What a payload has to decode to; None: anything that makes so many bytes."""

    nbytes: int
    itemsize: int | None
    shape: tuple[int, ...] | None


def walk(codec: str, payload: Bytes, expected: Expected) -> None:
    """Raise one of `WRONG` if the bytes cannot decode to what is expected; see `beamstream.codecs.check`."""
    if not payload.size:
        raise ValueError("there are none")
    _WALKS[codec](payload, expected)
    if codec in _RATIOS:
        _expect_enough(expected.nbytes, payload.size, _RATIOS[codec])


def _expect_enough(nbytes: int, compressed: int, ratio: int) -> None:
    if nbytes > compressed * ratio:
        raise ValueError(f"they can decode to {compressed * ratio} bytes at most")


def hdf5_block(payload: Bytes, nbytes: int) -> int | None:
    """Return the block size, bytes, that HDF5's lz4 or bitshuffle filter wrote in front; None without it.

    There is no doubt: the header starts with the decoded size, 8 bytes big-endian, whose first bytes are
    zeros. Without the header these would be a compressed size of 0, or an lz4 match at distance 0: neither
    exists.
    """
    if payload.size < HDF5_HEADER.size:
        return None
    claimed, block = HDF5_HEADER.unpack_from(payload.data)
    return block if claimed == nbytes else None


def bitshuffle_layout(payload: Bytes, nbytes: int, itemsize: int) -> tuple[int, int, int]:
    """Return where a bslz4 stream begins, its decoded block and the decoded size of all its blocks, bytes.

    What is left behind the blocks, up to 7 elements, follows as it is.
    """
    whole = nbytes // itemsize // 8 * 8 * itemsize
    header = None if not whole and payload.size == nbytes else hdf5_block(payload, nbytes)
    start, block = (0, 0) if header is None else (HDF5_HEADER.size, header)
    if block % (8 * itemsize):
        raise ValueError(f"blocks of {block} bytes are not a multiple of 8 elements")
    default = max(_BITSHUFFLE_BLOCK // itemsize // 8 * 8, _BITSHUFFLE_LEAST) * itemsize
    return start, block or default, whole


def _lz4(payload: Bytes, expected: Expected) -> None:
    if hdf5_block(payload, expected.nbytes) is None:
        _walk_tokens(payload.data, expected.nbytes)
    else:
        _lz4hdf5(payload, expected)


def _lz4hdf5(payload: Bytes, expected: Expected) -> None:
    """Walk what HDF5's lz4 filter writes; areaDetector's lz4hdf5 is that."""
    claimed, block = HDF5_HEADER.unpack_from(payload.data)
    if claimed != expected.nbytes:
        raise ValueError(f"their header claims {claimed} bytes")
    if not block:
        raise ValueError("blocks of 0 bytes")
    end = _walk_chain(payload, HDF5_HEADER.size, expected.nbytes, block, stored=True)
    if end != payload.size:
        raise ValueError(f"{payload.size - end} bytes too many")


def _bslz4(payload: Bytes, expected: Expected) -> None:
    if expected.itemsize is not None:
        _walk_bitshuffle(payload, expected.nbytes, expected.itemsize)
        return
    wrong: Exception = ValueError()
    for itemsize in _ITEMSIZES:
        try:
            _walk_bitshuffle(payload, expected.nbytes, itemsize)
            return
        except WRONG as error:
            wrong = error
    raise wrong


def _walk_bitshuffle(payload: Bytes, nbytes: int, itemsize: int) -> None:
    start, block, whole = bitshuffle_layout(payload, nbytes, itemsize)
    rest = payload.size - _walk_chain(payload, start, whole, block, stored=False)
    if rest != nbytes - whole:
        raise ValueError(f"{rest} bytes behind the last block, {nbytes - whole} expected")


def _walk_chain(payload: Bytes, begin: int, nbytes: int, block: int, *, stored: bool) -> int:
    """Walk the blocks of HDF5's lz4 or bitshuffle, each behind its compressed size; return where they end.

    With `stored`, a block as long as its decoded size was not compressed.
    """
    source, size_at = payload.data, _BE_U32.unpack_from
    at = _chain_end(payload, begin, -(-nbytes // block))
    if at > payload.size:
        raise ValueError(f"a block that would end at {at}")
    if nbytes:
        first, decoded = size_at(source, begin)[0], min(block, nbytes)
        if not (stored and first == decoded):
            _walk_tokens(source[begin + 4 : begin + 4 + first], decoded)
    return at


def _chain_end(payload: Bytes, begin: int, number: int) -> int:
    if number > _FEW_BLOCKS:
        from beamstream.codec_kernels import chain_end

        read_only = payload.view()
        read_only.flags.writeable = False  # one compiled loop for payloads of all owners
        end = chain_end(read_only, begin, number)
        if end < 0:
            raise IndexError("a size is cut off")
        return end
    source, size_at, at = payload.data, _BE_U32.unpack_from, begin
    for _ in range(number):
        at += 4 + size_at(source, at)[0]
    return at


def _walk_tokens(source: memoryview, nbytes: int) -> None:
    """Follow the first sequences of an lz4 block."""
    size, at, made = len(source), 0, 0
    for _ in range(_MOST_TOKENS):
        token = source[at]
        literals, at = _length(source, token >> 4, at + 1)
        at, made = at + literals, made + literals
        if at >= size:
            break
        distance = source[at] | source[at + 1] << 8
        if not 0 < distance <= made:
            raise ValueError(f"a match at a distance of {distance} after {made} bytes")
        length, at = _length(source, token & 15, at + 2)
        made += length + 4
        if made > nbytes:
            break
    else:
        return
    if at != size or made != nbytes:
        raise ValueError(f"they end after {made} bytes")


def _length(source: memoryview, length: int, at: int) -> tuple[int, int]:
    """Return a length of lz4 and where it ends; one of 15 goes on in the next bytes, as long as these are 255."""
    if length < 15:
        return length, at
    step = 16
    while chunk := bytes(source[at : at + step]):  # a black picture has tens of thousands
        rest = chunk.lstrip(b"\xff")
        full = len(chunk) - len(rest)
        length, at, step = length + 255 * full, at + full, 1 << 14
        if rest:
            return length + rest[0], at + 1
    raise ValueError("they are cut off")


def _zlib(payload: Bytes, expected: Expected) -> None:
    most = min(_PROBE, expected.nbytes + 1)
    try:
        begun = len(zlib.decompressobj().decompress(payload.data[:_PROBE], most))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if begun > expected.nbytes:
        raise ValueError("they decode to more")


def _blosc(payload: Bytes, expected: Expected) -> None:
    """Walk one Blosc chunk, of version 1 (what areaDetector writes) or 2."""
    nbytes = expected.nbytes
    version, _, flags, itemsize, claimed, block, cbytes = _BLOSC_HEADER.unpack_from(payload.data)
    if claimed != nbytes:
        raise ValueError(f"they decode to {claimed} bytes")
    if cbytes != payload.size:
        raise ValueError(f"their header claims {cbytes} compressed bytes")
    if not (itemsize and 0 < block <= nbytes):
        raise ValueError(f"blocks of {block} bytes of elements of {itemsize}")
    compressor, header = flags >> 5, _BLOSC_HEADER.size
    if compressor >= len(_BLOSC_RATIOS):
        raise ValueError("a user-defined Blosc2 codec" if version > _LAST_BLOSC1 else "an unknown Blosc codec")
    if version > _LAST_BLOSC1 and flags & _BLOSC2_MARK == _BLOSC2_MARK:
        header = _BLOSC2_HEADER
        if _is_one_value(payload, nbytes, itemsize):
            return
    if not flags & _BLOSC_MEMCPYED:
        if not compressor and min(block, cbytes) > _MOST_BLOSCLZ:
            raise ValueError(f"blosclz blocks of {block} bytes, at most {_MOST_BLOSCLZ} are decoded")
        _expect_enough(nbytes, cbytes, _BLOSC_RATIOS[compressor])
        _walk_places(payload, header, -(-nbytes // block))
    elif cbytes != nbytes + header:
        raise ValueError(f"{cbytes - header} plain bytes")


def _walk_places(payload: Bytes, header: int, number: int) -> None:
    """Check that the blocks of a Blosc chunk begin inside of it, behind the table of their offsets."""
    first, last = header + 4 * number, payload.size - 4
    if first > last:
        raise ValueError(f"{number} blocks, whose places would end at {first}")
    places = np.frombuffer(payload, "<i4", number, header)
    if places.min() < first or places.max() > last:
        raise ValueError(f"blocks from {places.min()} to {places.max()}, of {first} to {last}")


def _is_one_value(payload: Bytes, nbytes: int, itemsize: int) -> bool:
    """Refuse what Blosc2 would need more than this chunk for: dictionaries, files, plug-ins, memory that was not set.

    Returns
    -------
    bool
        Whether the chunk is nothing but one value for all pixels.
    """
    if payload.size < _BLOSC2_HEADER:
        raise ValueError("a Blosc2 header that is cut off")
    special = payload[31] >> 4
    if payload[16:22].max() > 4 or payload[31] & 0x0F or special > 3:
        raise ValueError("a Blosc2 chunk with plug-in filters, a dictionary, or data that are elsewhere")
    if not special:
        return False
    if payload.size != _BLOSC2_HEADER + (itemsize if special == 3 else 0) or nbytes % itemsize:
        raise ValueError(f"a Blosc2 chunk of one value with {payload.size} bytes")
    if nbytes > _MOST_FOR_NOTHING:
        raise ValueError(f"a Blosc2 chunk of one value, {_MOST_FOR_NOTHING} bytes are allowed")
    return True


def _jpeg(payload: Bytes, expected: Expected) -> None:
    if expected.itemsize not in (None, 1):
        raise ValueError("JPEG pixels have 8 bits")
    has, shape = jpeg_header.shape_of(payload), expected.shape
    fits = prod(has) == expected.nbytes if shape is None else jpeg_header.axes_for(has, shape) is not None
    if not fits:
        raise ValueError(f"the JPEG is {' × '.join(map(str, has))}")


_WALKS: dict[str, Callable[[Bytes, Expected], None]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "lz4hdf5": _lz4hdf5,
    "bslz4": _bslz4,
    "zlib": _zlib,
    "jpeg": _jpeg,
}
