"""Decode the compressed frames that areaDetector's NDPluginCodec and its like send.

What the bytes claim is checked before anything is decoded: no more memory is taken than the frame needs, whatever they
say, no decoder of a library reads beyond them, and no pixel is returned that was not decoded from them. Nothing here
keeps state: every function may be called from any thread.
"""

import struct
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream import jpeg_header
from beamstream.codec_checks import HDF5_HEADER, WRONG, Expected, bitshuffle_layout, hdf5_block, walk
from beamstream.errors import CodecError

_HEADERS = 4096  # bytes beside the pixels that a codec may take
_JPEG_BLOCK, _JPEG_HEADERS = 16, 1 << 16  # pixels, bytes
_LAST_BLOSC1 = 2  # the format version in the first byte of a chunk
_BE_U32 = struct.Struct(">I")
_DAMAGE = (*WRONG, RuntimeError, MemoryError)  # imagecodecs': RuntimeError

Bytes = NDArray[np.uint8]


def check(
    data: Bytes | bytes | memoryview,
    codec: str,
    expected_bytes: int,
    *,
    itemsize: int | None = None,
    shape: tuple[int, ...] | None = None,
) -> None:
    """Refuse compressed bytes that cannot be a frame of this size; only headers and lengths are read.

    What passes is safe to store: whoever decodes it, with our code or another's, gets so many bytes or an error.

    Parameters
    ----------
    data : ndarray of uint8, 1-D, or bytes
        As of `decode`.
    codec : str
        One of `NAMES`.
    expected_bytes : int
        Of the decoded frame. No memory is taken for it.
    itemsize : int, optional
        Of a pixel, bytes. Without it, ``bslz4`` may have any.
    shape : tuple of int, optional
        Of the pixels; a ``jpeg`` says its own.

    Raises
    ------
    CodecError
        The codec is unknown, or the bytes are not a frame of this size.
    """
    _known(codec)
    payload = np.frombuffer(data, np.uint8)
    try:
        walk(codec, payload, Expected(expected_bytes, itemsize, shape))
    except WRONG as error:
        raise _bad(codec, payload, f"{expected_bytes} bytes", error) from error


def decode(codec: str, payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the pixels that the compressed bytes stand for.

    Parameters
    ----------
    codec : str
        One of `NAMES`.
    payload : ndarray of uint8, 1-D
        The compressed bytes, nothing before and nothing behind; only read. For ``lz4`` and ``bslz4`` the
        12 bytes that HDF5's filters put in front are recognised and skipped; ``lz4hdf5`` has them.
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
    decoder = _known(codec)
    try:
        walk(codec, payload, Expected(prod(shape) * dtype.itemsize, dtype.itemsize, shape))
        image = decoder(payload, dtype, shape)
    except _DAMAGE as error:
        wanted = f"{' × '.join(map(str, shape))} {dtype.name} ({prod(shape) * dtype.itemsize} bytes)"
        raise _bad(codec, payload, wanted, error) from error
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


def _known(codec: str) -> Callable[[Bytes, np.dtype[Any], tuple[int, ...]], NDArray[Any]]:
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise CodecError(
            f"codec {codec!r}: asked to decode, known are {', '.join(sorted(NAMES))}; "
            f"choose one of them at the detector"
        )
    return decoder


def _bad(codec: str, payload: Bytes, wanted: str, error: Exception) -> CodecError:
    cut = isinstance(error, IndexError | struct.error)
    return CodecError(
        f"codec {codec}: {wanted} asked for, the {payload.size} compressed bytes do not hold that: "
        f"{'they are cut off' if cut else str(error) or type(error).__name__}; "
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
    block = hdf5_block(payload, image.nbytes)
    if block is None:
        _expect_filled(len(imagecodecs.lz4_decode(_memory(payload), out=out)), image.nbytes)
    else:
        _lz4_blocks(payload, HDF5_HEADER.size, out, block, stored=True)
    return image


def _bslz4(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode bitshuffle's stream: lz4 blocks of shuffled elements, then up to 7 elements as they are."""
    import imagecodecs

    itemsize, count = dtype.itemsize, prod(shape)
    start, block, whole = bitshuffle_layout(payload, count * itemsize, itemsize)
    shuffled = np.empty(count, dtype)
    raw = shuffled.view(np.uint8)
    raw[whole:] = payload[_lz4_blocks(payload, start, raw.data[:whole], block) :]
    image = np.empty(count, dtype)
    bits = np.dtype(f"u{itemsize}")  # bitshuffle moves bits, it need not know what they mean
    imagecodecs.bitshuffle_decode(
        shuffled.view(bits), itemsize=itemsize, blocksize=min(block, whole) // itemsize, out=image.view(bits)
    )
    return image.reshape(shape)


def _lz4_blocks(payload: Bytes, at: int, out: memoryview, block: int, *, stored: bool = False) -> int:
    """Decode a chain of (big-endian uint32 size, lz4 block) into `out`; return where it ends in `payload`.

    `block` is the decoded size of all blocks but the last, bytes. With `stored`, a block as long as its
    decoded size was not compressed. That the blocks lie inside of `payload` was checked.
    """
    import imagecodecs

    source, decode_block, size_at = _memory(payload), imagecodecs.lz4_decode, _BE_U32.unpack_from
    for start in range(0, len(out), block):
        target = out[start : start + block]
        (size,) = size_at(source, at)
        at += _BE_U32.size
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
    decoded = imagecodecs.blosc_decode if payload[0] <= _LAST_BLOSC1 else imagecodecs.blosc2_decode
    _expect_filled(len(decoded(_memory(payload), out=_memory(image))), image.nbytes)
    return image


def _jpeg(payload: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode an 8-bit JPEG; it holds rows × columns (× 3), whatever the colour mode of the frame was."""
    import imagecodecs

    has = jpeg_header.shape_of(payload)
    axes = jpeg_header.axes_for(has, shape)
    assert axes is not None  # the walk found them
    out = np.empty(has, np.uint8)
    imagecodecs.jpeg8_decode(_memory(payload), out=out)
    return np.ascontiguousarray(out.transpose(axes)).view(dtype)


_DECODERS: dict[str, Callable[[Bytes, np.dtype[Any], tuple[int, ...]], NDArray[Any]]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "lz4hdf5": _lz4,
    "bslz4": _bslz4,
    "zlib": _zlib,
    "jpeg": _jpeg,
}

NAMES: frozenset[str] = frozenset(_DECODERS)
"""Codecs that `decode` knows, as NTNDArray's ``codec.name`` spells them."""
