"""Walk the headers of a compressed frame: whether its bytes can be what they claim, without decoding any pixels.

What passes can be stored and given to any decoder: all lengths in it lie inside of it, and it decodes to just the size
that is asked for, or to an error. A few µs a frame, and 0.1 µs a block of 8 KiB for ``bslz4``.
"""

import struct
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Walk = Callable[[NDArray[np.uint8], int, int | None, tuple[int, ...] | None], None]

HDF5_HEADER = struct.Struct(">QI")  # decoded bytes, block bytes: HDF5's lz4 and bitshuffle filters
JPEG_ORDERS = ((0, 1, 2), (0, 2, 1), (2, 0, 1))  # RGB1, RGB2, RGB3 from rows, columns, colours
_BE_U32 = struct.Struct(">I")
_ITEMSIZES = (1, 2, 4, 8)  # bytes
_BITSHUFFLE_BLOCK = 8192  # bytes, bitshuffle's default
_BITSHUFFLE_LEAST = 128  # elements
_BLOSC_HEADER = struct.Struct("<BBBBIII")  # version, codec version, flags, itemsize, nbytes, block, cbytes
_BLOSC_MEMCPYED, _BLOSC2_MARK, _BLOSC2_HEADER = 0x02, 0x05, 32
_JPEG_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers; these three are not frames
_JPEG_SEQUENTIAL, _JPEG_SCAN = (0xC0, 0xC1), 0xDA
_JPEG_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))  # markers without a length, none of which may come here
_JPEG_MOST_SCANS = 64  # a progressive picture has about 10; each costs the time of a whole picture
_PROBE = 4096  # bytes of zlib that are inflated
_MOST_TOKENS = 16  # of an lz4 block that are walked: noise breaks its rules within the first few

# Decoded bytes a compressed byte can stand for, at most. lz4 and blosclz code 255 of a run in one, deflate 258 in two
# bits, zstd 128 KiB in four bytes; a JPEG takes a bit for 8 × 8 pixels of each of up to three colours.
_RATIOS = {"lz4": 255, "bslz4": 255, "zlib": 1032, "jpeg": 1536}
_BLOSC_RATIOS = (256, 256, 256, 1032, 1 << 15)  # blosclz, lz4, snappy, zlib, zstd
_MOST_FOR_NOTHING = 64 << 20  # bytes that a Blosc2 chunk of one value, which has no data, may stand for


def walk(
    codec: str, payload: NDArray[np.uint8], nbytes: int, itemsize: int | None, shape: tuple[int, ...] | None
) -> None:
    """Raise ValueError or struct.error if the bytes cannot decode to `nbytes`; see `beamstream.codecs.check`."""
    if not payload.size:
        raise ValueError("there are none")
    _WALKS[codec](payload, nbytes, itemsize, shape)
    if codec in _RATIOS and nbytes > payload.size * _RATIOS[codec]:
        raise ValueError(f"they can decode to {payload.size * _RATIOS[codec]} bytes at most")


def hdf5_block(payload: NDArray[np.uint8], nbytes: int) -> int | None:
    """Return the block size, bytes, that HDF5's lz4 or bitshuffle filter wrote in front; None without it.

    There is no doubt: the header starts with the decoded size, 8 bytes big-endian, whose first bytes are
    zeros. Without the header these would be a compressed size of 0, or an lz4 match at distance 0: neither
    exists.
    """
    if payload.size < HDF5_HEADER.size:
        return None
    claimed, block = HDF5_HEADER.unpack_from(payload.data)
    return block if claimed == nbytes else None


def bitshuffle_layout(payload: NDArray[np.uint8], nbytes: int, itemsize: int) -> tuple[int, int, int]:
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


def lz4_chain(payload: NDArray[np.uint8], at: int, nbytes: int, block: int, *, stored: bool = False) -> int:
    """Walk the blocks of HDF5's lz4 or bitshuffle, each behind its compressed size; return where they end.

    With `stored`, a block as long as its decoded size was not compressed.
    """
    source, size, size_at, begin = payload.data, payload.size, _BE_U32.unpack_from, at
    for _ in range(0, nbytes, block):
        (length,) = size_at(source, at)
        if not length:
            raise ValueError(f"an empty block at {at}")
        at += 4 + length
        if at > size:
            raise ValueError(f"a block of {length} bytes at {at - length}, {size - at + length} bytes are left")
    if nbytes:
        first, decoded = size_at(source, begin)[0], min(block, nbytes)
        if not (stored and first == decoded):
            _walk_tokens(source[begin + 4 : begin + 4 + first], decoded)
    return at


def _lz4(payload: NDArray[np.uint8], nbytes: int, _: int | None, __: tuple[int, ...] | None) -> None:
    block = hdf5_block(payload, nbytes)
    if block is None:
        _walk_tokens(payload.data, nbytes)
        return
    if not block:
        raise ValueError("blocks of 0 bytes")
    end = lz4_chain(payload, HDF5_HEADER.size, nbytes, block, stored=True)
    if end != payload.size:
        raise ValueError(f"{payload.size - end} bytes too many")


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
    else:
        return
    if at != size or made != nbytes:
        raise ValueError(f"they end after {made} bytes")


def _length(source: memoryview, length: int, at: int) -> tuple[int, int]:
    """Return a length of lz4 and where it ends; of 15 it goes on, byte by byte, as long as these are 255."""
    if length == 15:
        more = 255
        while more == 255:
            more, at = source[at], at + 1
            length += more
    return length, at


def _bslz4(payload: NDArray[np.uint8], nbytes: int, itemsize: int | None, _: tuple[int, ...] | None) -> None:
    wrong: ValueError | struct.error | None = None
    for size in _ITEMSIZES if itemsize is None else (itemsize,):
        try:
            start, block, whole = bitshuffle_layout(payload, nbytes, size)
            rest = payload.size - lz4_chain(payload, start, whole, block)
            if rest == nbytes - whole:
                return
            wrong = ValueError(f"{rest} bytes behind the last block, {nbytes - whole} expected")
        except (ValueError, struct.error) as error:
            wrong = error
    if wrong is not None:
        raise wrong


def _zlib(payload: NDArray[np.uint8], nbytes: int, _: int | None, __: tuple[int, ...] | None) -> None:
    try:
        begun = len(zlib.decompressobj().decompress(payload.data[:_PROBE], min(_PROBE, nbytes + 1)))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if begun > nbytes:
        raise ValueError("they decode to more")


def _blosc(payload: NDArray[np.uint8], nbytes: int, _: int | None, __: tuple[int, ...] | None) -> None:
    """Walk one Blosc chunk, of version 1 (what areaDetector writes) or 2."""
    version, _version, flags, itemsize, claimed, block, cbytes = _BLOSC_HEADER.unpack_from(payload.data)
    if claimed != nbytes:
        raise ValueError(f"they decode to {claimed} bytes")
    if cbytes != payload.size:
        raise ValueError(f"their header claims {cbytes} compressed bytes")
    if not (itemsize and 0 < block <= nbytes):
        raise ValueError(f"blocks of {block} bytes of elements of {itemsize}")
    compressor = flags >> 5
    if compressor >= len(_BLOSC_RATIOS):
        raise ValueError("a user-defined Blosc2 codec" if version > 2 else f"Blosc has no compressor {compressor}")
    header = _BLOSC_HEADER.size
    if version > 2 and flags & _BLOSC2_MARK == _BLOSC2_MARK:
        header = _BLOSC2_HEADER
        if _is_one_value(payload, nbytes, itemsize):
            return
    if flags & _BLOSC_MEMCPYED:
        if cbytes != nbytes + header:
            raise ValueError(f"{cbytes - header} plain bytes")
        return
    if nbytes > cbytes * _BLOSC_RATIOS[compressor]:
        raise ValueError(f"they can decode to {cbytes * _BLOSC_RATIOS[compressor]} bytes at most")
    number = -(-nbytes // block)
    first = header + 4 * number
    if cbytes < first + 4:
        raise ValueError(f"{number} blocks, whose places would end at {first}")
    places = np.frombuffer(payload, "<i4", number, header)
    if places.min() < first or places.max() > cbytes - 4:
        raise ValueError(f"blocks from {places.min()} to {places.max()}, of {first} to {cbytes}")


def _is_one_value(payload: NDArray[np.uint8], nbytes: int, itemsize: int) -> bool:
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


def _jpeg(payload: NDArray[np.uint8], nbytes: int, itemsize: int | None, shape: tuple[int, ...] | None) -> None:
    if itemsize not in (None, 1):
        raise ValueError("JPEG pixels have 8 bits")
    has = jpeg_shape(payload)
    if (jpeg_axes(has, shape) is None) if shape is not None else (np.prod(has, dtype=object) != nbytes):
        raise ValueError(f"the JPEG is {' × '.join(map(str, has))}")


def jpeg_axes(has: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the order of axes that makes a frame's shape of a JPEG's; None if there is none."""
    orders = ((0, 1),) if len(has) == 2 else JPEG_ORDERS
    return next((axes for axes in orders if tuple(has[i] for i in axes) == shape), None)


def jpeg_shape(payload: NDArray[np.uint8]) -> tuple[int, ...]:
    """Read rows and columns, and colours if there are several, and see that there are data and an end."""
    data = payload.data
    if bytes(data[:2]) != b"\xff\xd8":
        raise ValueError("no JPEG start marker")
    at, size, sequential = 2, (0, 0, 0), False
    while at + 4 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _JPEG_ALONE or length < 2:
            break
        if marker in _JPEG_FRAME:
            size, sequential = _jpeg_frame(bytes(data[at + 4 : at + 2 + length])), marker in _JPEG_SEQUENTIAL
        elif marker == _JPEG_SCAN and size[2]:
            whole = sequential and data[at + 4] == size[2]  # all colours in one scan, what follows is not decoded
            _expect_an_end(data[at:].tobytes(), most_scans=None if whole else _JPEG_MOST_SCANS)
            return size[:2] if size[2] == 1 else size
        at += 2 + length
    raise ValueError("the JPEG is cut off" if size[2] else "no JPEG frame header")


def _jpeg_frame(segment: bytes) -> tuple[int, int, int]:
    if len(segment) < 6 or segment[0] != 8 or len(segment) != 6 + 3 * segment[5]:
        raise ValueError("no JPEG frame header of 8 bits")
    return int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5]), segment[5]


def _expect_an_end(scan: bytes, *, most_scans: int | None) -> None:
    if scan.rfind(b"\xff\xd9") < 0:
        raise ValueError("the JPEG is cut off")
    if most_scans is not None and scan.count(b"\xff\xda") > most_scans:
        raise ValueError(f"a JPEG of more than {most_scans} scans")


_WALKS: dict[str, Walk] = {"blosc": _blosc, "lz4": _lz4, "bslz4": _bslz4, "zlib": _zlib, "jpeg": _jpeg}
