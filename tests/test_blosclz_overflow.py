"""A Blosc chunk whose runs are longer than a number can count ends nobody who reads it."""

import struct

import imagecodecs
import numpy as np
import pytest

from beamstream.codecs import check, decode
from beamstream.errors import CodecError

SHAPE = (4096, 4096)
NBYTES = SHAPE[0] * SHAPE[1]
WRAPS = 8421510  # codes of 255 make a length of more than 31 bits


def overflowing(version: int) -> bytes:
    """Return a chunk of one blosclz block: a few bytes as they are, and one run of them."""
    stream = bytes([31, *bytes(32), 0xE0]) + b"\xff" * WRAPS + bytes(42)
    size = (16 if version <= 2 else 32) + 8 + len(stream)
    header = struct.pack("<BBBBIII", version, 1, 0x10 if version <= 2 else 0x15, 1, NBYTES, NBYTES, size)
    header += b"" if version <= 2 else bytes(16)
    return header + struct.pack("<ii", len(header) + 4, len(stream)) + stream


@pytest.mark.parametrize("version", [2, 5], ids=["blosc", "blosc2"])
def test_a_run_longer_than_the_decoder_can_count_is_refused_before_it_is_decoded(version):
    payload = np.frombuffer(overflowing(version), np.uint8)
    with pytest.raises(CodecError, match="blosclz blocks of 16777216 bytes"):
        check(payload, "blosc", NBYTES)
    with pytest.raises(CodecError, match="blosclz blocks of 16777216 bytes"):
        decode("blosc", payload, np.dtype("u1"), SHAPE)


@pytest.mark.parametrize("encode", [imagecodecs.blosc_encode, imagecodecs.blosc2_encode])
def test_what_blosc_itself_makes_of_as_much_is_decoded(encode):
    image = np.random.default_rng(0).integers(0, 4, SHAPE, np.uint8)
    payload = np.frombuffer(encode(image.tobytes(), compressor="blosclz", level=9), np.uint8)
    assert np.array_equal(decode("blosc", payload, np.dtype("u1"), SHAPE), image)
