"""Zstandard in Zarr arrays, decoded into no more memory than the pixels need.

numcodecs 0.16.6 (https://github.com/zarr-developers/numcodecs) allocates as much as a frame without a size decodes to:
gigabytes for 100 kB. Our ingest refuses such frames; what it stored before is decoded here.
"""

from math import prod
from typing import Any

import zarr
from zarr.codecs import ZstdCodec
from zarr.registry import register_codec

from beamstream.errors import CodecError

LARGEST_CHUNK = 1 << 29
"""Bytes of pixels."""
_BESIDE = 4096  # bytes that a codec before it may add, and an eighth


class CheckedZstd(ZstdCodec):
    """zarr-python's codec, with every size checked."""

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        itemsize = getattr(chunk_spec.dtype, "item_size", None)
        if itemsize is None:  # texts of any length
            return super()._decode_sync(chunk_bytes, chunk_spec)
        import imagecodecs

        nbytes = prod(chunk_spec.shape) * itemsize
        if nbytes > LARGEST_CHUNK:
            raise CodecError(f"zstd: a chunk of {nbytes} bytes asked for, at most {LARGEST_CHUNK} are decoded")
        try:
            data = imagecodecs.zstd_decode(chunk_bytes.to_bytes(), out=nbytes + nbytes // 8 + _BESIDE)
        except Exception as error:  # the codec has its own tree of errors
            raise CodecError(
                f"zstd: a chunk of {nbytes} bytes does not decode: {error}; it is kept as it came"
            ) from error
        return chunk_spec.prototype.buffer.from_bytes(bytes(data))


def check_zstd() -> None:
    """Make zarr-python in this process decode Zstandard with `CheckedZstd`."""
    register_codec("zstd", CheckedZstd, qualname=f"{__name__}.CheckedZstd")
    zarr.config.set({"codecs.zstd": f"{__name__}.CheckedZstd"})
