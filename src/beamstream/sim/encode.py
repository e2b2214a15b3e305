"""Compress pictures as areaDetector's codec plug-in does, byte for byte on the wire."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import ColorMode, Geometry


def check(geometry: Geometry) -> None:
    """Refuse a codec that is unknown or cannot hold these pixels.

    Raises
    ------
    ValueError
    """
    if geometry.codec and geometry.codec not in CODECS:
        raise ValueError(f"encode: codec {geometry.codec!r} asked for, there are {', '.join(CODECS)}")
    if geometry.codec == "jpeg":
        fits = geometry.color_mode in (ColorMode.MONO, ColorMode.BAYER, ColorMode.RGB1)
        if np.dtype(geometry.dtype) != np.uint8 or not fits:
            raise ValueError(f"encode: {geometry} asked for, jpeg holds uint8 as mono, bayer or rgb1")


def encode(image: NDArray[Any], codec: str) -> NDArray[np.uint8]:
    """Return the bytes that an NTNDArray carries for this picture with this codec.

    Parameters
    ----------
    image : ndarray
        C-contiguous.
    codec : str
        A name in `CODECS`.
    """
    return np.frombuffer(CODECS[codec](image), np.uint8)


def _blosc(image: Any) -> Any:
    import imagecodecs

    # the format of c-blosc 1, which areaDetector is built with; a blosc2 chunk would be unreadable there
    return imagecodecs.blosc_encode(
        image, level=5, compressor="lz4", shuffle="shuffle", typesize=image.itemsize, numthreads=1
    )


def _lz4(image: Any) -> Any:
    import imagecodecs

    return imagecodecs.lz4_encode(image, header=False)


def _lz4hdf5(image: Any) -> Any:
    """Return what HDF5's lz4 filter makes: size and block size, then each block behind its own size.

    A block that does not get smaller is stored as it is. ADCore takes blocks of 1 GiB at most, detectors small ones.
    """
    import imagecodecs

    plain, block = memoryview(image.reshape(-1)).cast("B"), 1 << 16
    parts: list[Any] = [struct.pack(">QI", len(plain), block)]
    compress: Any = imagecodecs.lz4_encode
    for start in range(0, len(plain), block):
        part = plain[start : start + block]
        packed = compress(part, header=False)
        packed = packed if len(packed) < len(part) else part
        parts += (len(packed).to_bytes(4, "big"), packed)
    return b"".join(parts)


def _bslz4(image: Any) -> Any:
    """Return what bitshuffle's ``bshuf_compress_lz4`` makes.

    Blocks of 8 KiB before compression, each behind its compressed size (4 bytes, big end first). The last
    block is shorter, a multiple of 8 elements; up to 7 elements are left, and follow as they are.
    """
    import imagecodecs

    flat = image.reshape(-1)
    block = max(8192 // flat.itemsize // 8 * 8, 128) * flat.itemsize
    # given bytes without their type, imagecodecs shuffles them as single bytes: pass the array
    encoded: Any = imagecodecs.bitshuffle_encode(flat, blocksize=block // flat.itemsize)
    shuffled = memoryview(encoded).cast("B")
    end = flat.size // 8 * 8 * flat.itemsize
    parts: list[Any] = []
    compress: Any = imagecodecs.lz4_encode
    for start in range(0, end, block):
        packed = compress(shuffled[start : min(start + block, end)], header=False)
        parts += (len(packed).to_bytes(4, "big"), packed)
    parts.append(shuffled[end:])
    return b"".join(parts)


def _zlib(image: Any) -> Any:
    return zlib.compress(image, 1)


def _jpeg(image: Any) -> Any:
    import imagecodecs

    return bytes(imagecodecs.jpeg_encode(image, level=95, subsampling="444"))


CODECS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "jpeg": _jpeg,
    "blosc": _blosc,
    "lz4": _lz4,
    "lz4hdf5": _lz4hdf5,
    "bslz4": _bslz4,
    "zlib": _zlib,
}
