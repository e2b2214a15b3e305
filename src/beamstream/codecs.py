"""Decode the compressed frames that areaDetector's NDPluginCodec and its like send.

Sizes that the bytes claim are compared with the size that is asked for before anything is decoded, so
that no more memory is taken than the frame needs, whatever the bytes say. Nothing here keeps state:
every function may be called from any thread.
"""

import struct
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import CodecError

_BE_U32 = struct.Struct(">I")
_HDF5_HEADER = struct.Struct(">QI")  # decoded bytes, block bytes: HDF5's lz4 and bitshuffle filters
_BITSHUFFLE_BLOCK = 8192  # bytes, bitshuffle's default
_BITSHUFFLE_LEAST = 128  # elements
_BLOSC_HEADER = struct.Struct("<BBBBIII")  # version, codec version, flags, itemsize, nbytes, block, cbytes
_HEADERS = 4096  # bytes beside the pixels that a codec may take
_JPEG_BLOCK, _JPEG_HEADERS = 16, 1 << 16  # pixels, bytes
_JPEG_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers; these three are not frames
_JPEG_ORDERS = ((0, 1, 2), (0, 2, 1), (2, 0, 1))  # RGB1, RGB2, RGB3 from rows, columns, colours
_DAMAGE = (RuntimeError, ValueError, OverflowError, MemoryError, struct.error)  # imagecodecs': RuntimeError

Bytes = NDArray[np.uint8]


def decode(codec: str, payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the pixels that the compressed bytes stand for.

    Parameters
    ----------
    codec : str
        One of `NAMES`.
    payload : ndarray of uint8, 1-D
        The compressed bytes, nothing before and nothing behind; only read. For ``lz4`` and ``bslz4`` the
        12 bytes that HDF5's filters put in front are recognised and skipped.
    dtype : dtype
        Of the pixels.
    shape : tuple of int
        Of the pixels, numpy order. A colour ``jpeg`` is brought into the memory order of this shape.

    Returns
    -------
    ndarray
        Exactly this dtype and shape, read-only, memory of its own.

    Raises
    ------
    CodecError
        The codec is unknown, or the bytes are not a frame of this size. A JPEG whose entropy-coded data
        are damaged inside decodes to a damaged image: the format has no checksum.
    """
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise CodecError(
            f"codec {codec!r}: asked to decode, known are {', '.join(sorted(NAMES))}; "
            f"choose one of them at the detector"
        )
    try:
        image = decoder(payload, dtype, shape)
    except _DAMAGE as error:
        raise _bad(codec, payload, dtype, shape, str(error) or type(error).__name__) from error
    image.flags.writeable = False
    return image


def most_bytes(codec: str, shape: tuple[int, ...], itemsize: int) -> int:
    """Return how large a frame may become when an encoder of this codec finds nothing to gain, bytes.

    lz4, bslz4 and blosc add under 1 % and a header, zlib with fixed codes an eighth. A JPEG consists of whole blocks,
    of up to 16 × 16 pixels, and its codes take up to 26 bits a coefficient where plain pixels take 8; beside them is
    what cameras write into its header, at most 64 KiB a segment.
    """
    if codec != "jpeg":
        nbytes = prod(shape) * itemsize
        return nbytes + nbytes // 4 + _HEADERS if codec else nbytes
    sides, n_colours = list(shape), 1
    if len(sides) == 3 and 3 in sides:
        sides.remove(3)
        n_colours = 3
    return 4 * n_colours * prod(-(-n // _JPEG_BLOCK) * _JPEG_BLOCK for n in sides) + _JPEG_HEADERS


def _bad(codec: str, payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> CodecError:
    wanted = f"{' × '.join(map(str, shape))} {dtype.name} ({prod(shape) * dtype.itemsize} bytes)"
    return CodecError(
        f"codec {codec}: {wanted} asked for, the {payload.size} compressed bytes do not hold that: {what}; "
        f"compare the codec settings at the detector with the frame's dimensions"
    )


def _memory(array: NDArray[Any]) -> Any:
    """Return the bytes of a contiguous array as imagecodecs takes them, in place."""
    return array.reshape(-1).view(np.uint8).data


def _expect_filled(got: int, nbytes: int) -> None:
    if got != nbytes:
        raise ValueError(f"they decode to {got} bytes")


def _lz4(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode one raw block, or HDF5's chain of them."""
    import imagecodecs

    image = np.empty(shape, dtype)
    out = _memory(image)
    header = _hdf5_header(payload, image.nbytes)
    if header is None:
        _expect_filled(len(imagecodecs.lz4_decode(_memory(payload), out=out)), image.nbytes)
        return image
    end = _lz4_blocks(payload, _HDF5_HEADER.size, out, max(1, header), stored=True)
    if end != payload.size:
        raise ValueError(f"{payload.size - end} bytes too many")
    return image


def _bslz4(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode bitshuffle's stream: lz4 blocks of shuffled elements, then up to 7 elements as they are."""
    import imagecodecs

    itemsize, count = dtype.itemsize, prod(shape)
    bare = count < 8 and payload.size == count * itemsize  # no block at all
    header = None if bare else _hdf5_header(payload, count * itemsize)
    start, block_bytes = (0, 0) if header is None else (_HDF5_HEADER.size, header)
    block = block_bytes // itemsize or max(_BITSHUFFLE_BLOCK // itemsize // 8 * 8, _BITSHUFFLE_LEAST)
    if block % 8 or block_bytes % itemsize:
        raise ValueError(f"blocks of {block_bytes} bytes are not a multiple of 8 elements")
    shuffled = np.empty(count, dtype)
    raw = shuffled.view(np.uint8)
    whole = count // 8 * 8 * itemsize
    end = _lz4_blocks(payload, start, raw.data[:whole], block * itemsize)
    rest = payload[end:]
    if rest.size != raw.size - whole:
        raise ValueError(f"{rest.size} bytes behind the last block, {raw.size - whole} expected")
    raw[whole:] = rest
    image = np.empty(count, dtype)
    bits = np.dtype(f"u{itemsize}")  # bitshuffle moves bits, it need not know what they mean
    imagecodecs.bitshuffle_decode(
        shuffled.view(bits), itemsize=itemsize, blocksize=min(block, count // 8 * 8), out=image.view(bits)
    )
    return image.reshape(shape)


def _hdf5_header(payload: Bytes, nbytes: int) -> int | None:
    """Return the block size, bytes, that HDF5's lz4 or bitshuffle filter wrote in front; None without it.

    There is no doubt: the header starts with the decoded size, 8 bytes big-endian, whose first bytes are
    zeros. Without the header these would be a compressed size of 0, or an lz4 match at distance 0: neither
    exists.
    """
    if payload.size < _HDF5_HEADER.size:
        return None
    claimed, block = _HDF5_HEADER.unpack_from(_memory(payload))
    return block if claimed == nbytes else None


def _lz4_blocks(payload: Bytes, at: int, out: memoryview, block: int, *, stored: bool = False) -> int:
    """Decode a chain of (big-endian uint32 size, lz4 block) into `out`; return where it ends in `payload`.

    `block` is the decoded size of all blocks but the last, bytes. With `stored`, a block as long as its
    decoded size was not compressed.
    """
    import imagecodecs

    source, decode_block, size_at = _memory(payload), imagecodecs.lz4_decode, _BE_U32.unpack_from
    for start in range(0, len(out), block):
        target = out[start : start + block]
        (size,) = size_at(source, at)
        at += _BE_U32.size
        if size > len(source) - at:
            raise ValueError(f"a block of {size} bytes at {at}, {len(source) - at} bytes are left")
        if stored and size == len(target):
            target[:] = source[at : at + size]
        elif len(decode_block(source[at : at + size], out=target)) != len(target):
            raise ValueError(f"the block at {at} is too short")
        at += size
    return at


def _zlib(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    import imagecodecs

    image = np.empty(shape, dtype)
    _expect_filled(len(imagecodecs.zlib_decode(_memory(payload), out=_memory(image))), image.nbytes)
    return image


def _blosc(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode one Blosc chunk, of version 1 (what areaDetector writes) or 2."""
    import imagecodecs

    image = np.empty(shape, dtype)
    version, _, flags, _, nbytes, _, cbytes = _BLOSC_HEADER.unpack_from(_memory(payload))
    _expect_filled(nbytes, image.nbytes)
    if cbytes != payload.size:
        raise ValueError(f"their header claims {cbytes} compressed bytes")
    if version <= 2:
        decoded = imagecodecs.blosc_decode
    else:
        _expect_plain_blosc2(payload, flags)
        decoded = imagecodecs.blosc2_decode
    _expect_filled(len(decoded(_memory(payload), out=_memory(image))), image.nbytes)
    return image


def _expect_plain_blosc2(payload: Bytes, flags: int) -> None:
    """Refuse what Blosc2 would need more than this chunk for: dictionaries, files, plug-ins."""
    if flags >> 5 > 4:
        raise ValueError("a user-defined Blosc2 codec")
    if flags & 0x05 != 0x05:
        return
    if payload.size < 32:
        raise ValueError("a Blosc2 header that is cut off")
    if payload[16:22].max() > 4 or payload[31] & 0x0F or payload[31] >> 4 == 4:
        raise ValueError("a Blosc2 chunk with plug-in filters, a dictionary, or data that are elsewhere")


def _jpeg(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode an 8-bit JPEG; it holds rows × columns (× 3), whatever the colour mode of the frame was."""
    import imagecodecs

    if dtype.itemsize != 1:
        raise ValueError("JPEG pixels have 8 bits")
    n_rows, n_cols, n_colours = _jpeg_size(payload)
    has = (n_rows, n_cols) if n_colours == 1 else (n_rows, n_cols, n_colours)
    orders = ((0, 1),) if n_colours == 1 else _JPEG_ORDERS
    axes = next((axes for axes in orders if tuple(has[i] for i in axes) == shape), None)
    if axes is None:
        raise ValueError(f"the JPEG is {' × '.join(map(str, has))}")
    out = np.empty(has, np.uint8)
    imagecodecs.jpeg8_decode(_memory(payload), out=out)
    return np.ascontiguousarray(out.transpose(axes)).view(dtype)


def _jpeg_size(payload: Bytes) -> tuple[int, int, int]:
    """Read rows, columns and colours from the first frame header, and see that there is an end."""
    data = payload.tobytes()
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("no JPEG start marker")
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _JPEG_FRAME:
            if data.rfind(b"\xff\xd9", at) < 0:
                raise ValueError("the JPEG is cut off")
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9]), data[at + 9]
        at += 2 + length
    raise ValueError("no JPEG frame header")


_DECODERS: dict[str, Callable[[Bytes, np.dtype[Any], tuple[int, ...]], NDArray[Any]]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "bslz4": _bslz4,
    "zlib": _zlib,
    "jpeg": _jpeg,
}

NAMES: frozenset[str] = frozenset(_DECODERS)
"""Codecs that `decode` knows, as NTNDArray's ``codec.name`` spells them."""
