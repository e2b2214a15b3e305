"""Compressed frames in HDF5: stored as they came, read by stock h5py with hdf5plugin."""

import struct
import subprocess
import sys
import zlib

import blosc2
import h5py
import hdf5plugin  # noqa: F401  readers need it
import imagecodecs
import numpy as np
import pytest

from beamstream.errors import CodecError
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.sim.encode import encode
from beamstream.sinks.hdf5 import Hdf5Sink

SHAPES = {"whole blocks": (128, 256), "odd": (61, 67), "tiny": (3, 5), "with a colour axis": (48, 64, 3)}


def _pixels(shape, dtype, number):
    ramp = np.arange(np.prod(shape)).reshape(shape) // 9 + number
    return ramp.astype(dtype)


def _bitshuffled(image):
    """Compress as bitshuffle's C library does by default (bitshuffle_core.c, bshuf_compress_lz4)."""
    flat = image.reshape(-1)
    block = max(8192 // image.itemsize // 8 * 8, 128)
    whole = flat.size // 8 * 8
    parts = []
    for start in range(0, whole, block):
        some = flat[start : min(start + block, whole)]
        shuffled = imagecodecs.bitshuffle_encode(some.tobytes(), itemsize=image.itemsize, blocksize=some.size)
        packed = imagecodecs.lz4_encode(shuffled, header=False)
        parts.append(struct.pack(">I", len(packed)) + packed)
    return b"".join(parts) + flat[whole:].tobytes()


def _encode(codec, image):
    match codec:
        case "blosc":
            return imagecodecs.blosc_encode(image.tobytes(), typesize=image.itemsize, shuffle=1, compressor="lz4")
        case "lz4":
            return imagecodecs.lz4_encode(image.tobytes(), header=False)
        case "bslz4":
            return _bitshuffled(image)
        case "zlib":
            return zlib.compress(image.tobytes(), 1)
    raise AssertionError(codec)


def _frame(payload, geometry, number=0):
    return Frame(np.frombuffer(bytes(payload), np.uint8), geometry, number, 1e9, 1e9)


@pytest.mark.parametrize("dtype", ["|u1", "<u2", "<f4", "<f8"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("codec", ["blosc", "lz4", "bslz4", "zlib"])
def test_compressed_frames_are_stored_as_they_came_and_decoded_by_stock_readers(tmp_path, codec, shape, dtype):
    mode = ColorMode.RGB1 if len(shape) == 3 else ColorMode.MONO
    geometry = Geometry(shape, dtype, mode, codec)
    images = [_pixels(shape, dtype, number) for number in range(5)]
    frames = [_frame(_encode(codec, image), geometry, number) for number, image in enumerate(images)]
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        assert sink.write(frames[:2]) == 2
        assert sink.write(frames[2:]) == 5
    header = {"lz4": 16, "bslz4": 12}.get(codec, 0)
    with h5py.File(tmp_path / "run.h5") as file:
        dataset = file["entry/data/data"]
        for number, image in enumerate(images):
            assert np.array_equal(dataset[number], image)
            mask, chunk = dataset.id.read_direct_chunk((number, *(0 for _ in shape)))
            assert mask == 0
            assert chunk[header:] == frames[number].payload.tobytes()


def test_a_reader_that_knows_nothing_of_us_decodes_while_the_file_grows(tmp_path):
    geometry = Geometry((64, 64), "<u2", codec="bslz4")
    image = _pixels((64, 64), "<u2", 3)
    program = (
        "import h5py, hdf5plugin, sys\n"
        "with h5py.File(sys.argv[1], swmr=True) as f: sys.stdout.buffer.write(f['entry/data/data'][0].tobytes())"
    )
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(_encode("bslz4", image), geometry)])
        done = subprocess.run([sys.executable, "-c", program, sink.path], capture_output=True, timeout=60, check=True)
    assert done.stdout == image.tobytes()


@pytest.mark.parametrize("codec", ["lz4", "bslz4"])
def test_payloads_that_carry_the_header_of_hdf5_are_stored_as_they_are(tmp_path, codec):
    geometry = Geometry((64, 64), "<u2", codec=codec)
    image = _pixels((64, 64), "<u2", 0)
    wire = _encode(codec, image)
    size = struct.pack(">QI", image.nbytes, image.nbytes if codec == "lz4" else 8192)
    chunk = size + (struct.pack(">I", len(wire)) if codec == "lz4" else b"") + wire
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(chunk, geometry)])
    with h5py.File(tmp_path / "run.h5") as file:
        assert np.array_equal(file["entry/data/data"][0], image)
        assert file["entry/data/data"].id.read_direct_chunk((0, 0, 0))[1] == chunk


def test_a_blosc2_chunk_that_the_filter_does_not_know_is_stored_as_pixels(tmp_path):
    geometry = Geometry((64, 64), "<u2", codec="blosc")
    image = _pixels((64, 64), "<u2", 0)
    newer = blosc2.compress2(image.tobytes(), typesize=2)
    older = _encode("blosc", image)
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(newer, geometry), _frame(older, geometry)])
    with h5py.File(tmp_path / "run.h5") as file:
        dataset = file["entry/data/data"]
        assert all(np.array_equal(dataset[i], image) for i in (0, 1))
        assert [dataset.id.read_direct_chunk((i, 0, 0))[0] for i in (0, 1)] == [1, 0]


def test_an_lz4_frame_of_just_its_decoded_size_is_not_mistaken_for_pixels(tmp_path):
    found = None
    for ones in range(200):  # some mixture of noise and zeros packs to just as many bytes
        noise = np.random.default_rng(5).integers(0, 256, 1024, np.uint8)
        noise[: ones // 4] = 0
        if len(imagecodecs.lz4_encode(noise.tobytes(), header=False)) == noise.size:
            found = noise.reshape(32, 32)
            break
    assert found is not None
    geometry = Geometry((32, 32), "|u1", codec="lz4")
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(_encode("lz4", found), geometry)])
    with h5py.File(tmp_path / "run.h5") as file:
        assert np.array_equal(file["entry/data/data"][0], found)


def test_jpeg_frames_are_stored_as_pixels_and_the_dataset_says_so(tmp_path):
    geometry = Geometry((64, 80), "|u1", codec="jpeg")
    packed = imagecodecs.jpeg8_encode(_pixels((64, 80), "|u1", 0), level=90)
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(packed, geometry)])
    with h5py.File(tmp_path / "run.h5") as file:
        dataset = file["entry/data/data"]
        assert np.array_equal(dataset[0], imagecodecs.jpeg8_decode(packed))
        assert "jpeg" in dataset.attrs["note"]
        assert (dataset.attrs["received_codec"], dataset.attrs["stored_codec"]) == ("jpeg", "")


def test_lz4hdf5_frames_are_read_by_a_stock_h5py_that_has_no_plug_in(tmp_path):
    geometry = Geometry((64, 80), "<u2", codec="lz4hdf5")
    images = [_pixels((64, 80), "<u2", number) for number in range(3)]
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(encode(image, "lz4hdf5"), geometry, n) for n, image in enumerate(images)])
    program = (
        "import h5py, sys\nwith h5py.File(sys.argv[1]) as f: sys.stdout.buffer.write(f['entry/data/data'][:].tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", program, sink.path], capture_output=True, timeout=60, check=True)
    assert done.stdout == np.stack(images).tobytes()
    with h5py.File(sink.path) as file:
        attributes = file["entry/data/data"].attrs
        assert "lz4hdf5" in attributes["note"]
        assert (attributes["received_codec"], attributes["stored_codec"]) == ("lz4hdf5", "")


def test_a_frame_that_cannot_be_decoded_leaves_the_others_readable(tmp_path):
    geometry = Geometry((64, 80), "|u1", codec="jpeg")
    image = _pixels((64, 80), "|u1", 0)
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write([_frame(imagecodecs.jpeg8_encode(image, level=90), geometry)])
        whole = _frame(imagecodecs.jpeg8_encode(image, level=90), geometry)
        assert sink.write([whole, _frame(b"no picture", geometry), whole]) == 3
        assert [(frame.unique_id, type(frame.error)) for frame in sink.undecoded] == [(whole.unique_id, CodecError)]
        assert sink.write([whole]) == 4
        assert not sink.undecoded
    with h5py.File(tmp_path / "run.h5") as file:
        assert {len(file["entry/data"][key]) for key in sink.arrays} == {4}


def test_a_damaged_frame_that_its_filter_would_misread_is_left_out(tmp_path):
    geometry = Geometry((64, 64), "<u2", codec="blosc")
    whole = _frame(_encode("blosc", _pixels((64, 64), "<u2", 0)), geometry)
    damaged = _frame(b"\xff" * 40, geometry)
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        assert sink.write([whole, damaged, whole]) == 2
        assert len(sink.undecoded) == 1
