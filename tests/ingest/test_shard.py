"""What is taken for a shard, and what is not: nothing that comes over the network may surprise a reader."""

import os
import tempfile

import imagecodecs
import numpy as np
import pytest
import zarr
from by_hand import ABSENT, movie, sealed, shard_of
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.ingest.files import StreamFiles
from beamstream.ingest.refusal import Refusal
from beamstream.ingest.shard import Shard, check, encode_index, index_nbytes, open_shard, same_frames
from beamstream.ingest.tokens import Chunk

FRAMES = movie(7)
FRAMES[2] = 0
NBYTES = FRAMES[0].size
GOOD = shard_of(FRAMES)
BODY = len(GOOD) - index_nbytes(7)


class Opened:
    """A shard in a file that is gone afterwards."""

    def __init__(self, data: bytes, count: int = 7) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._file.write(data)
        self._file.flush()
        self._count = count

    def __enter__(self) -> Shard:
        try:
            shard = open_shard(self._file.fileno(), self._count)
            check(shard, NBYTES)
        except BaseException:
            self._file.close()
            raise
        return shard

    def __exit__(self, *_: object) -> None:
        self._file.close()


def with_index(change) -> bytes:
    index = np.frombuffer(GOOD[BODY:-4], "<u8").reshape(7, 2).copy()
    change(index)
    return GOOD[:BODY] + sealed(index)


@given(st.permutations(range(7)), st.sets(st.integers(0, 6)))
@settings(max_examples=30, deadline=None)
def test_frames_in_any_order_and_black_ones_are_taken_and_decoded_exactly(order, black):
    frames = FRAMES.copy()
    frames[list(black)] = 0
    with Opened(shard_of(frames, order=order)) as shard:
        for number, frame in enumerate(frames):
            assert shard.decoded(number, NBYTES) == frame.tobytes()


@given(st.integers(BODY, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_any_changed_byte_of_the_index_is_noticed(at, change):
    damaged = bytearray(GOOD)
    damaged[at] ^= change
    with pytest.raises(Refusal), Opened(bytes(damaged)):
        pass


@given(st.binary(max_size=400), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_and_nothing_else_happens(noise, count):
    with pytest.raises(Refusal) as refused, Opened(noise, count):
        pass
    assert refused.value.status == 422


WORDS = st.one_of(st.integers(0, 400), st.integers(0, ABSENT))


@given(st.binary(max_size=300), st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_an_index_that_was_made_up_reads_nothing_outside_of_the_shard(body, entries):
    index = np.array(entries, "<u8")
    data = body + sealed(index)
    try:
        with Opened(data, len(entries)) as shard:
            parts = [shard.encoded(number) for number in range(len(entries))]
    except Refusal:
        return
    for part, (offset, size) in zip(parts, entries, strict=True):
        assert part is None if offset == ABSENT else part == body[offset : offset + size]
    assert sum(len(part) for part in parts if part is not None) <= len(body)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (with_index(lambda i: i.__setitem__((1, 0), BODY)), "frame 1 of the shard lies outside"),
        (with_index(lambda i: i.__setitem__((1, 1), 2**63)), "frame 1 of the shard lies outside"),
        (with_index(lambda i: i.__setitem__((1, 0), 2**64 - 20)), "frame 1 of the shard lies outside"),
        (with_index(lambda i: i.__setitem__(1, i[0])), "frames 0 and 1 of the shard overlap"),
        (with_index(lambda i: i.__setitem__((1, 1), ABSENT)), "frame 1 of the shard has half an entry"),
        (with_index(lambda i: i.__setitem__((1, 0), i[1, 0] + 1)), "overlap|no Zstandard frame"),
        (shard_of(np.concatenate([movie(6), movie(1)])[:, :-1]), "frame 0 of the shard has 220 bytes of pixels"),
        (GOOD[:50], "came with 50 bytes, its index alone has 116"),
        (GOOD[:-1], "checksum of the shard's index is wrong"),
        (shard_of(FRAMES[:6]), "checksum of the shard's index is wrong"),
    ],
)
def test_what_is_wrong_is_said(data, words):
    with pytest.raises(Refusal, match=words), Opened(data):
        pass


def test_a_shard_that_is_packed_differently_holds_the_same_frames():
    other = FRAMES.copy()
    other[4, 3, 3] ^= 1
    with Opened(GOOD) as one, Opened(shard_of(FRAMES, order=[6, 5, 4, 3, 1, 0], level=9)) as same:
        assert same_frames(one, same, 7, NBYTES)
        with Opened(shard_of(other)) as different:
            assert not same_frames(one, different, 7, NBYTES)


def test_a_frame_that_is_cut_off_is_refused():
    packed = imagecodecs.zstd_encode(FRAMES[0].tobytes(), 3)[:30]
    index = np.array([[0, len(packed)]], "<u8")
    with pytest.raises(Refusal, match="ends within"), Opened(packed + sealed(index), 1):
        pass


def test_a_frame_that_only_looks_like_one_is_refused_when_it_is_decoded():
    packed = bytearray(imagecodecs.zstd_encode(FRAMES[0].tobytes(), 3))
    packed[12:24] = b"\xff" * 12
    index = np.array([[0, len(packed)]], "<u8")
    with Opened(bytes(packed) + sealed(index), 1) as shard, pytest.raises(Refusal, match="cannot be decoded"):
        shard.decoded(0, NBYTES)


@pytest.mark.parametrize("size", [7, 8, 20])
def test_a_short_chunk_becomes_one_that_zarr_reads(tmp_path, size):
    chunk = Chunk("x", 0, 7, 12, 20, size, 5.0, 1000, 2400)
    files = StreamFiles(tmp_path / "stream")
    files.make(chunk, {})
    part = tmp_path / "part"
    part.write_bytes(GOOD)
    fd = os.open(part, os.O_RDWR)
    longer = open_shard(fd, 7).lengthen(size)
    os.close(fd)
    assert len(longer.index) == size
    assert part.read_bytes() == GOOD[:BODY] + encode_index(longer.index)
    files.put(part, chunk)
    files.publish(chunk, 7)
    assert np.array_equal(zarr.open_array(files.frames, mode="r")[:], FRAMES)
    times = zarr.open_array(files.timestamp, mode="r")[:]
    assert np.array_equal(times, 1.0 + np.arange(7) / 5.0)
