"""Shards of black frames: what the format asks for, read by zarr."""

import json

import numpy as np
import pytest
import zarr
from zarr.core.sync import cleanup_resources

from beamstream.rheed.black import BlackChunk, black_shard, crc32c


def test_the_checksum_is_crc32c():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


@pytest.mark.parametrize("frames", [1, 20, 241])
def test_a_black_shard_is_read_as_zeros(tmp_path, frames):
    shape = (frames, 6, 8)
    array = zarr.create_array(
        tmp_path / "black", shape=shape, chunks=(1, 6, 8), shards=shape, dtype="u1", fill_value=7, zarr_format=3
    )
    shard = tmp_path / "black" / "c" / "0" / "0" / "0"
    array[0] = 1
    shard.write_bytes(black_shard(frames))
    try:
        assert np.all(zarr.open_array(tmp_path / "black", mode="r")[:] == 7)  # not stored: the fill value
        shard.write_bytes(black_shard(frames)[:-1] + b"x")
        with pytest.raises(ValueError, match="checksum"):
            zarr.open_array(tmp_path / "black", mode="r")[:]
    finally:
        cleanup_resources()


def test_the_service_is_told_what_the_client_would_tell_it():
    chunk = BlackChunk(3, (45, 300, 500), 1_750_000_000_123)
    about = chunk.metadata("abc", fps=120.0, chunk_size=240, rotating=True)
    assert all(isinstance(value, str) for value in json.loads(json.dumps(about)).values())
    assert about["dims"] == "45,300,500"
    assert (about["start_unix_ms_utc"], about["end_unix_ms_utc"]) == ("1750000000123", "1750000000498")
    assert (about["raw_frame_rate"], about["is_rotating"], about["chunk_size"]) == ("120.0", "1", "240")
    assert "original_filename=frames.zarr%2Fframes%2Fc%2F3%2F0%2F0&" in chunk.query
