"""Compressed frames: bit for bit what went in comes out; of bad bytes nothing comes but CodecError."""

import resource
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import h5py
import hdf5plugin
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream import codecs
from beamstream.errors import CodecError
from beamstream.sim.encode import encode

PIXELS = ["|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"]
SHAPES = [(1,), (7,), (9,), (64, 64), (13, 17), (201, 311), (3, 40, 50)]


def picture(shape, dtype) -> np.ndarray:
    """Make pixels that compress, but not to nothing."""
    counts = np.random.default_rng(7).poisson(20, shape)
    return (counts + np.arange(shape[-1]) // 4).astype(dtype)


def hdf5_chunk(image, **options) -> bytes:
    """Return the chunk that HDF5's own filter writes: the reference for lz4 and bitshuffle."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("data", data=image, chunks=image.shape, **options)
        return dataset.id.read_direct_chunk((0,) * image.ndim)[1]


def blosc(compressor, shuffle) -> Callable[[np.ndarray], bytes]:
    return lambda image: imagecodecs.blosc_encode(
        image.tobytes(), typesize=image.itemsize, compressor=compressor, shuffle=shuffle
    )


ENCODERS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "bslz4": ("bslz4", lambda image: hdf5_chunk(image, **hdf5plugin.Bitshuffle(cname="lz4"))[12:]),
    "bslz4 of HDF5": ("bslz4", lambda image: hdf5_chunk(image, **hdf5plugin.Bitshuffle(cname="lz4"))),
    "bslz4 of HDF5, small blocks": (
        "bslz4",
        lambda image: hdf5_chunk(image, **hdf5plugin.Bitshuffle(nelems=64, cname="lz4")),
    ),
    "lz4": ("lz4", lambda image: imagecodecs.lz4_encode(image.tobytes())),
    "lz4 of HDF5": ("lz4", lambda image: hdf5_chunk(image, **hdf5plugin.LZ4())),
    "lz4 of HDF5, small blocks": ("lz4", lambda image: hdf5_chunk(image, **hdf5plugin.LZ4(nbytes=1024))),
    "lz4hdf5": ("lz4hdf5", lambda image: hdf5_chunk(image, **hdf5plugin.LZ4())),
    "lz4hdf5, small blocks": ("lz4hdf5", lambda image: hdf5_chunk(image, **hdf5plugin.LZ4(nbytes=512))),
    "lz4hdf5, simulated": ("lz4hdf5", lambda image: encode(image, "lz4hdf5").tobytes()),
    "zlib": ("zlib", lambda image: zlib.compress(image.tobytes())),
    "blosc lz4, no shuffle": ("blosc", blosc("lz4", 0)),
    "blosc lz4, bytes shuffled": ("blosc", blosc("lz4", 1)),
    "blosc blosclz, bits shuffled": ("blosc", blosc("blosclz", 2)),
    "blosc zstd, bits shuffled": ("blosc", blosc("zstd", 2)),
    "blosc zlib, bytes shuffled": ("blosc", blosc("zlib", 1)),
    "blosc lz4hc, bytes shuffled": ("blosc", blosc("lz4hc", 1)),
    "blosc snappy, bytes shuffled": ("blosc", blosc("snappy", 1)),
    "blosc version 2": (
        "blosc",
        lambda image: imagecodecs.blosc2_encode(image.tobytes(), typesize=image.itemsize, compressor="zstd"),
    ),
}


def encoded(how: str, image: np.ndarray) -> np.ndarray:
    return np.frombuffer(ENCODERS[how][1](image), np.uint8)


@pytest.mark.parametrize("how", ENCODERS)
def test_every_type_and_shape_comes_back_bit_for_bit(how):
    codec = ENCODERS[how][0]
    for dtype in PIXELS:
        for shape in SHAPES:
            image = picture(shape, dtype)
            decoded = codecs.decode(codec, encoded(how, image), np.dtype(dtype), shape)
            assert decoded.dtype.str == dtype
            assert decoded.shape == shape
            assert not decoded.flags.writeable
            assert decoded.tobytes() == image.tobytes(), f"{dtype} {shape}"


@pytest.mark.parametrize("how", ENCODERS)
def test_whole_frames_pass_the_check_with_and_without_a_pixel_type(how):
    codec = ENCODERS[how][0]
    for dtype in PIXELS:
        for shape in SHAPES:
            image = picture(shape, dtype)
            payload = encoded(how, image)
            codecs.check(payload, codec, image.nbytes, itemsize=image.itemsize, shape=shape)
            codecs.check(payload.tobytes(), codec, image.nbytes)


@pytest.mark.parametrize("codec", sorted(codecs.NAMES))
def test_random_bytes_do_not_pass_the_check(codec):
    rng = np.random.default_rng(3)
    for size in [*range(120), 4000, 70000]:
        with pytest.raises(CodecError, match=rf"codec {codec}: 46080000 bytes asked for, the {size} compressed bytes"):
            codecs.check(rng.integers(0, 256, size, np.uint8), codec, 4800 * 4800 * 2)


def test_a_few_bytes_cannot_claim_a_large_frame():
    """Each is well formed but for its size: what decodes to it would be longer."""
    header = struct.pack(">QI", 23000 * 23000, 1 << 30)
    claims = {
        "lz4": [imagecodecs.lz4_encode(bytes(20000)), header + struct.pack(">I", 40) + bytes(40)],
        "lz4hdf5": [header + struct.pack(">I", 40) + bytes(40), header],
        "bslz4": [header + struct.pack(">I", 40) + bytes(40)],
        "zlib": [zlib.compress(bytes(2000))],
        "blosc": [struct.pack("<BBBBIIII", 2, 1, 0x11, 1, 23000 * 23000, 23000 * 23000, 100, 20) + bytes(80)],
        "jpeg": [large_jpeg(23000, 23000)],
    }
    says = r"can decode to .* at most|end after 20000 bytes|at a distance of 0|cut off"
    for codec, payloads in claims.items():
        for payload in payloads:
            with pytest.raises(CodecError, match=says):
                codecs.check(payload, codec, 23000 * 23000)


def large_jpeg(n_rows: int, n_cols: int) -> bytes:
    """Return a JPEG of 8 × 8 pixels that claims to be a large one."""
    jpeg = imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8))
    return jpeg.replace(b"\x08\x00\x08\x00\x08", b"\x08" + struct.pack(">HH", n_rows, n_cols))


def test_names_are_what_decode_knows():
    assert frozenset({"blosc", "lz4", "lz4hdf5", "bslz4", "zlib", "jpeg"}) == codecs.NAMES


def test_fewer_than_eight_elements_are_not_taken_for_an_hdf5_header():
    """Bitshuffle leaves them as they are: these 56 bytes begin like a header that claims 56 bytes."""
    image = np.array([56, 0, 1, 2, 3, 4, 5], ">u8").view("<u8")
    decoded = codecs.decode("bslz4", image.view(np.uint8), np.dtype("<u8"), (7,))
    assert decoded.tobytes() == image.tobytes()


def colours(n_rows=48, n_cols=64) -> np.ndarray:
    """Make a smooth colour picture, rows × columns × 3, every colour different."""
    y, x = np.mgrid[:n_rows, :n_cols]
    return np.stack([4 * y, 3 * x, 255 - 2 * y - x], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (2, 0, 1)], ids=["RGB1", "RGB2", "RGB3"])
def test_a_colour_jpeg_takes_the_memory_order_of_the_shape(axes):
    image = colours()
    payload = np.frombuffer(imagecodecs.jpeg8_encode(image, level=98, subsampling="444"), np.uint8)
    expected = image.transpose(axes)
    decoded = codecs.decode("jpeg", payload, np.dtype("u1"), expected.shape)
    assert decoded.shape == expected.shape
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - expected).max() <= 6


def test_a_grey_jpeg_comes_back_within_its_tolerance():
    image = np.ascontiguousarray(colours()[..., 0])
    payload = np.frombuffer(imagecodecs.jpeg8_encode(image, level=98), np.uint8)
    decoded = codecs.decode("jpeg", payload, np.dtype("u1"), image.shape)
    assert np.abs(decoded.astype(int) - image).max() <= 3
    signed = codecs.decode("jpeg", payload, np.dtype("i1"), image.shape)
    assert signed.dtype == np.int8
    assert signed.tobytes() == decoded.tobytes()


@pytest.mark.parametrize(
    ("dtype", "shape", "cut", "says"),
    [
        ("<u2", (48, 64), None, "8 bits"),
        ("|u1", (64, 48), None, "48 × 64"),
        ("|u1", (48, 64, 3), None, "48 × 64"),
        ("|u1", (48, 64), 600, "cut off"),
        ("|u1", (48, 64), 1, "start marker"),
    ],
)
def test_a_jpeg_of_another_size_or_cut_off_is_refused(dtype, shape, cut, says):
    payload = np.frombuffer(imagecodecs.jpeg8_encode(picture((48, 64), "|u1"), level=98), np.uint8)[:cut]
    with pytest.raises(CodecError, match=says):
        codecs.decode("jpeg", payload, np.dtype(dtype), shape)


def test_an_unknown_codec_is_named_with_those_that_are_known():
    with pytest.raises(CodecError, match=r"'zstd'.*blosc, bslz4, jpeg, lz4, lz4hdf5, zlib"):
        codecs.decode("zstd", np.zeros(10, np.uint8), np.dtype("u1"), (10,))


@pytest.mark.parametrize("how", ENCODERS)
@pytest.mark.parametrize("shape", [(40, 50), (40, 52), (39, 51)])
def test_bytes_of_another_size_are_refused_with_both_sizes(how, shape):
    image = picture((40, 51), "<u2")
    with pytest.raises(CodecError, match=rf"{shape[0]} × {shape[1]} uint16 \({2 * shape[0] * shape[1]} bytes\)"):
        codecs.decode(ENCODERS[how][0], encoded(how, image), np.dtype("<u2"), shape)


@pytest.mark.parametrize("how", ENCODERS)
def test_bytes_that_are_cut_off_or_too_many_are_refused(how):
    image = picture((40, 51), "<u2")
    whole = encoded(how, image)
    for size in (0, 1, 3, 11, 15, 31, whole.size // 2, whole.size - 1):
        with pytest.raises(CodecError):
            codecs.decode(ENCODERS[how][0], whole[:size], image.dtype, image.shape)
    if how != "zlib":  # it knows its own end
        with pytest.raises(CodecError):
            codecs.decode(ENCODERS[how][0], np.append(whole, np.zeros(9, np.uint8)), image.dtype, image.shape)


def test_lz4hdf5_without_its_header_or_with_that_of_another_frame_is_refused():
    image = picture((40, 51), "<u2")
    for payload in (imagecodecs.lz4_encode(image.tobytes()), hdf5_chunk(image[:39], **hdf5plugin.LZ4())):
        with pytest.raises(CodecError, match=r"codec lz4hdf5: .*their header claims \d+ bytes"):
            codecs.decode("lz4hdf5", np.frombuffer(payload, np.uint8), image.dtype, image.shape)


@pytest.mark.parametrize("codec", ["lz4hdf5", "bslz4"])
def test_a_chain_of_many_blocks_is_walked_to_its_end_wherever_it_is_wrong(codec):
    """Compiled code walks it: every block of a chain may lie about where the next one begins."""
    image = picture((512, 512), "<u2")
    how = {"lz4hdf5": hdf5plugin.LZ4(nbytes=1024), "bslz4": hdf5plugin.Bitshuffle(nelems=512, cname="lz4")}[codec]
    whole = hdf5_chunk(image, **how)
    places, at = [], 12
    for _ in range(image.nbytes // 1024):
        places.append(at)
        at += 4 + int.from_bytes(whole[at : at + 4], "big")
    assert at == len(whole)
    for wrong in (0, 1, 255, 256, 300, len(places) - 1):
        for size in (0x7FFFFFFF, 0xFFFFFFFF, len(whole), 0xFFFFFF00):
            lying = bytearray(whole)
            lying[places[wrong] : places[wrong] + 4] = size.to_bytes(4, "big")
            with pytest.raises(CodecError, match=r"cut off|would end at|can decode"):
                codecs.check(bytes(lying), codec, image.nbytes, itemsize=2, shape=image.shape)
    for cut in (places[200] + 2, places[-1], places[-1] + 3, len(whole) - 1):
        with pytest.raises(CodecError, match=r"cut off|would end at"):
            codecs.check(whole[:cut], codec, image.nbytes, itemsize=2, shape=image.shape)
    codecs.check(whole, codec, image.nbytes, itemsize=2, shape=image.shape)


def test_a_damaged_zlib_checksum_is_refused():
    payload = encoded("zlib", picture((40, 51), "<u2")).copy()
    payload[-1] ^= 1
    with pytest.raises(CodecError):
        codecs.decode("zlib", payload, np.dtype("<u2"), (40, 51))


def test_a_bomb_takes_no_more_memory_than_the_frame():
    """256 MiB of zeros are 256 KiB of zlib; a blosc header may claim 2 GiB."""
    packer = zlib.compressobj()
    bomb = b"".join([packer.compress(bytes(1 << 20)) for _ in range(256)]) + packer.flush()
    chunk = bytearray(blosc("lz4", 1)(picture((32, 32), "<u2")))
    chunk[4:8] = struct.pack("<I", (1 << 31) - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        for codec, payload in (("zlib", bomb), ("blosc", bytes(chunk))):
            with pytest.raises(CodecError):
                codecs.decode(codec, np.frombuffer(payload, np.uint8), np.dtype("<u2"), (32, 32))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


def test_a_blosc2_chunk_that_needs_more_than_itself_is_refused():
    image = picture((40, 51), "<u2")
    for where, value in ((16, 200), (31, 0x08), (31, 0x01), (31, 0x40), (2, 0xC5)):
        chunk = encoded("blosc version 2", image).copy()
        chunk[where] = value
        with pytest.raises(CodecError, match="Blosc2"):
            codecs.decode("blosc", chunk, image.dtype, image.shape)


@settings(max_examples=300, deadline=None)
@given(codec=st.sampled_from(sorted(codecs.NAMES)), payload=st.binary(max_size=400))
def test_random_bytes_give_pixels_of_the_size_asked_for_or_codec_error(codec, payload):
    try:
        decoded = codecs.decode(codec, np.frombuffer(payload, np.uint8), np.dtype("<u2"), (5, 7))
    except CodecError as error:
        assert str(error).startswith(f"codec {codec}: ")  # noqa: PT017 - most examples are refused
    else:
        assert (decoded.shape, decoded.dtype) == ((5, 7), np.dtype("<u2"))


IMAGE = picture((33, 47), "<u2")
VALID = {how: encoded(how, IMAGE) for how in ENCODERS}


@settings(max_examples=600, deadline=None)
@given(
    how=st.sampled_from(sorted(VALID)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    head=st.booleans(),
)
def test_damaged_bytes_give_pixels_of_the_size_asked_for_or_codec_error(how, changes, head):
    payload = VALID[how].copy()
    for place, value in changes:
        payload[int(place * (40 if head else payload.size))] = value
    try:
        decoded = codecs.decode(ENCODERS[how][0], payload, IMAGE.dtype, IMAGE.shape)
    except CodecError:
        return
    assert (decoded.shape, decoded.dtype) == (IMAGE.shape, IMAGE.dtype)
