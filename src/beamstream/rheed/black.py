"""Chunks without a single count: the cloud's client cannot send them, so we do."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlencode

_NOT_STORED = (1 << 64) - 1
_POLYNOMIAL = 0x82F63B78  # crc32c, reflected


@dataclass(frozen=True, slots=True)
class BlackChunk:
    """Say which chunk is black.

    Parameters
    ----------
    chunk : int
    dims : tuple of int
        Frames, rows, columns.
    start_ms : int
        When its first frame was taken, ms since 1970-01-01 UTC.
    """

    chunk: int
    dims: tuple[int, int, int]
    start_ms: int

    @property
    def query(self) -> str:
        """What asks the service for the address of this chunk."""
        name = f"frames.zarr/frames/c/{self.chunk}/0/0"
        return urlencode({"original_filename": name, "num_parts": 1, "staging_type": "stream"})

    def metadata(self, data_id: str, *, fps: float, chunk_size: int, rotating: bool) -> Mapping[str, str]:
        """Return what the service is told of it, every value text."""
        rate = repr(float(fps))
        return {
            "data_id": data_id,
            "data_stream": "rheed",
            "is_stream": "1",
            "is_rotating": str(int(rotating)),
            "raw_frame_rate": rate,
            "avg_frame_rate": rate,
            "chunk_size": str(chunk_size),
            "dims": ",".join(map(str, self.dims)),
            "start_unix_ms_utc": str(self.start_ms),
            "end_unix_ms_utc": str(self.start_ms + int(self.dims[0] / fps * 1000)),
        }

    @property
    def shard(self) -> bytes:
        """The shard: an index that says of every frame that it is not stored."""
        return black_shard(self.dims[0])


@cache
def black_shard(frames: int) -> bytes:
    """Return a Zarr v3 shard of so many frames, none of which is stored."""
    index = struct.pack("<Q", _NOT_STORED) * 2 * frames
    return index + struct.pack("<I", crc32c(index))


@cache
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        return value

    return tuple(map(entry, range(256)))


def crc32c(data: bytes) -> int:
    """Return the checksum that ends a shard's index."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF
