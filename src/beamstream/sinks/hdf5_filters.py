"""Store frames as the detector compressed them, so that stock HDF5 readers decode them.

The filters' numbers and headers are registered with The HDF Group
(https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md). What an HDF5 filter
stores and what areaDetector sends differ only in a header, which is put in front here; nothing is inflated
and packed again.
"""

import struct
from math import prod
from typing import Any

import numpy as np

from beamstream.errors import CodecError
from beamstream.frames import Frame, Geometry

_LZ4_HEADER = struct.Struct(">QII")  # decoded bytes, block bytes, compressed bytes of the only block
_BITSHUFFLE_HEADER = struct.Struct(">QI")  # decoded bytes, block bytes
_SIZE = struct.Struct(">Q")
_BITSHUFFLE_LZ4 = 2  # the fifth option of a written dataset
_BITSHUFFLE_BLOCK = 8192  # bytes, bitshuffle's default
_BITSHUFFLE_LEAST = 128  # elements
_LAST_BLOSC1 = 2  # the format version in the first byte of a chunk; the HDF5 filter does not know Blosc2's
_FILTERS: dict[str, tuple[int, tuple[int, ...]]] = {
    "blosc": (32001, (0, 0, 0, 0, 5, 1, 1)),  # 4 for the filter to fill, then level, byte shuffle, lz4
    "lz4": (32004, ()),
    "bslz4": (32008, (0, 2)),  # default block size, lz4
    "zlib": (1, (6,)),
}


def stored_codec(codec: str) -> str:
    """Return the codec under which frames of this codec are stored; ``""`` where they are stored as pixels.

    No HDF5 reader decodes ``jpeg``. Frames of ``lz4hdf5`` are pixels too: plain h5py opens them, without hdf5plugin.
    """
    return codec if codec in _FILTERS else ""


def declare(dcpl: Any, codec: str) -> None:
    """Set in a dataset creation property list how its chunks are compressed."""
    import h5py

    if codec == "zlib":
        dcpl.set_deflate(*_FILTERS[codec][1])
        return
    import hdf5plugin  # noqa: F401  registers the filters, which then describe the pixels in the file

    number, options = _FILTERS[codec]
    dcpl.set_filter(number, h5py.h5z.FLAG_OPTIONAL, options)


def codec_of(dataset: Any) -> str:
    """Return the codec that the only filter of a dataset with one chunk a row undoes; ``""`` for others."""
    dcpl = dataset.id.get_create_plist()
    if dataset.chunks != (1, *dataset.shape[1:]) or dcpl.get_nfilters() != 1:
        return ""
    number, _, options, _ = dcpl.get_filter(0)
    if number == _FILTERS["bslz4"][0] and options[4:5] != (_BITSHUFFLE_LZ4,):
        return ""
    return next((codec for codec, (of, _) in _FILTERS.items() if of == number), "")


def keeps_bytes(frame: Frame) -> bool:
    """Whether a frame is stored as it was compressed; of others HDF5 has no filter, or would misread the bytes."""
    codec, payload = frame.geometry.codec, frame.payload
    if codec == "lz4":  # a block of full length would count as not compressed
        return payload.size != frame.geometry.nbytes or _has_header(frame)
    if codec == "blosc":
        return bool(payload.size and payload[0] <= _LAST_BLOSC1)
    return codec in _FILTERS


def as_chunk(frame: Frame) -> tuple[int, Any]:
    """Return a filter mask and the bytes that HDF5 keeps for a frame of a compressed dataset.

    A mask of 1 marks this chunk as plain pixels: those of a frame that had to be decoded.
    """
    codec, payload, nbytes = frame.geometry.codec, np.ascontiguousarray(frame.payload), frame.geometry.nbytes
    if not codec:
        return 1, payload
    if codec in ("zlib", "blosc") or _has_header(frame):
        return 0, payload
    if codec == "bslz4":
        return 0, _BITSHUFFLE_HEADER.pack(nbytes, _bitshuffle_block(frame.geometry)) + payload.tobytes()
    return 0, _LZ4_HEADER.pack(nbytes, nbytes, payload.size) + payload.tobytes()


def does_not_decode(error: Exception) -> bool:
    """Whether an error of reading says that a frame's bytes are damaged, and not that the file cannot be read."""
    return isinstance(error, CodecError) or "filter" in str(error)  # how HDF5 names a chunk that does not decode


def _has_header(frame: Frame) -> bool:
    """Whether the header of HDF5's lz4 and bitshuffle is there already: a simulator replays HDF5 chunks."""
    payload = np.ascontiguousarray(frame.payload)
    return payload.size >= _SIZE.size and _SIZE.unpack_from(payload.data)[0] == frame.geometry.nbytes


def _bitshuffle_block(geometry: Geometry) -> int:
    """Return bitshuffle's default block for this pixel type, bytes."""
    itemsize = geometry.nbytes // prod(geometry.shape)
    return max(_BITSHUFFLE_BLOCK // itemsize // 8 * 8, _BITSHUFFLE_LEAST) * itemsize
