"""Recorded frames by row: from the ring, from the file, bit-exact either way."""

import os
import random
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from beamstream import codecs
from beamstream.errors import CodecError, SinkError
from beamstream.frames import ColorMode, Geometry
from beamstream.recorded import RecordedFrames
from beamstream.ring import Ring
from beamstream.sim.encode import encode
from beamstream.sinks.contract import made_frame, made_frames
from beamstream.sinks.dxchange import DxchangeSink
from beamstream.sinks.hdf5 import Hdf5Sink

PLAIN = Geometry((60, 80), "<u2")
RING = f"recorded-{os.getpid()}"


@pytest.fixture
def ring():
    ring = Ring(RING, memory=16 * 8192 * 2)
    yield ring
    ring.close()


def recorded_from(ring, frames):
    """Put frames into a ring, and return them as the recorder gets them to write."""
    return [replace(frame, ring_index=ring.put(frame)) for frame in frames]


def sink_of(ring, path, geometry=PLAIN):
    """Return a sink for frames of a ring, as the recorder makes it."""
    sink = Hdf5Sink(path, geometry)
    sink.ring = ring.token
    return sink


def images(recorded, start, stop):
    return [frame.image.copy() for batch in recorded.read(start, stop) for frame in batch]


def test_frames_come_from_the_ring_while_they_are_there_and_from_the_file_afterwards(tmp_path, ring):
    frames = made_frames(PLAIN, 0, 100)
    with sink_of(ring, tmp_path / "run.h5") as sink:
        sink.write(recorded_from(ring, frames))
        low, high = ring.bounds()
        assert 0 < low < high == 100
        with RecordedFrames(sink.path, ring=RING) as recorded:
            read = images(recorded, 0, 100)
            assert (recorded.origins.ring, recorded.origins.file) == (high - low, low)
    assert all(np.array_equal(a, frame.image) for a, frame in zip(read, frames, strict=True))


def test_rows_are_found_between_frames_that_were_not_recorded(tmp_path, ring):
    with sink_of(ring, tmp_path / "run.h5") as sink:
        kept = recorded_from(ring, made_frames(PLAIN, 0, 20))[3:18:5]
        sink.write(kept)
        with RecordedFrames(sink.path, ring=RING) as recorded:
            (batch,) = recorded.read(0, 3)
            assert [(f.unique_id, f.ring_index) for f in batch] == [(f.unique_id, f.ring_index) for f in kept]
            assert all(np.array_equal(a.image, b.image) for a, b in zip(batch, kept, strict=True))
            assert recorded.origins.ring == 3


def test_frames_that_a_detector_gives_the_same_numbers_in_each_run_stay_those_of_their_run(tmp_path, ring):
    first, second = made_frames(PLAIN, 0, 5), made_frames(PLAIN, 5, 10)
    second = [replace(b, unique_id=a.unique_id, timestamp=a.timestamp) for a, b in zip(first, second, strict=True)]
    for path, frames in ((tmp_path / "first.h5", first), (tmp_path / "second.h5", second)):
        with sink_of(ring, path) as sink:
            sink.write(recorded_from(ring, frames))
    for path, frames in ((tmp_path / "first.h5", first), (tmp_path / "second.h5", second)):
        with RecordedFrames(path, ring=RING) as recorded:
            assert all(map(np.array_equal, images(recorded, 0, 5), [frame.image for frame in frames]))
            assert recorded.origins.ring == 5


def test_a_ring_of_the_same_name_in_another_process_is_not_read(tmp_path, ring):
    code = (
        "import sys; from beamstream.ring import Ring; from beamstream.sinks.contract import made_frames\n"
        "from beamstream.frames import Geometry\n"
        "ring = Ring(sys.argv[1], memory=16 * 8192 * 2)\n"
        "for frame in made_frames(Geometry((60, 80), '<u2'), 50, 55): ring.put(frame)\n"
        "print('there', flush=True); sys.stdin.read(); ring.close()"
    )
    frames = made_frames(PLAIN, 0, 5)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with sink_of(ring, tmp_path / "run.h5") as sink:
        sink.write(recorded_from(ring, frames))
        with subprocess.Popen([sys.executable, "-c", code, RING], **pipes) as other:  # the youngest of that name
            assert other.stdout.readline() == "there\n"
            with RecordedFrames(sink.path, ring=RING) as recorded:
                assert all(map(np.array_equal, images(recorded, 0, 5), [frame.image for frame in frames]))
                assert recorded.origins.ring == 5
            other.stdin.close()


def test_a_ring_that_was_made_anew_is_not_read(tmp_path, ring):
    frames = made_frames(PLAIN, 0, 5)
    with sink_of(ring, tmp_path / "run.h5") as sink:
        sink.write(recorded_from(ring, frames))
        ring.close()
        again = Ring(RING, memory=16 * 8192 * 2)
        recorded_from(again, made_frames(PLAIN, 50, 55))
        with RecordedFrames(sink.path, ring=RING) as recorded:
            assert all(map(np.array_equal, images(recorded, 0, 5), [frame.image for frame in frames]))
            assert recorded.origins.file == 5
        again.close()


def test_a_recording_without_ring_indices_is_read_from_the_file(tmp_path, ring):
    frames = made_frames(PLAIN, 0, 5)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write(recorded_from(ring, frames))
        with RecordedFrames(sink.path, ring=RING) as recorded:
            read = [frame for batch in recorded.read(0, 5) for frame in batch]
            assert {frame.ring_index for frame in read} == {-1}
            assert recorded.origins.file == 5


def test_the_index_in_the_ring_is_a_column_of_the_file_and_of_nothing_else(tmp_path, ring):
    with sink_of(ring, tmp_path / "run.h5") as sink:
        recorded_from(ring, made_frames(PLAIN, 0, 3))
        sink.write(recorded_from(ring, made_frames(PLAIN, 3, 6)))
        assert set(sink.arrays) == {"data", "unique_id", "timestamp", "received"}
    with h5py.File(sink.path) as file:
        assert file["entry/data/ring_index"][:].tolist() == [3, 4, 5]
        assert file["entry/data/ring_index"].dtype == np.int64
        assert file["entry/data"].attrs["ring"] == ring.token
    with RecordedFrames(sink.path) as recorded:
        ((frame, *_),) = recorded.read(0, 3)
        assert frame.attributes == {}
    with DxchangeSink(tmp_path / "dx.h5", PLAIN) as dxchange:
        dxchange.ring = ring.token
        dxchange.write(made_frames(PLAIN, 0, 1))
    with h5py.File(dxchange.path) as file:
        assert "ring_index" not in file["measurement/frames"]


def test_attributes_that_the_ring_has_no_room_for_come_from_the_file(tmp_path, ring):
    frames = [replace(f, attributes={"n": f.unique_id, "long": "x" * 2000}) for f in made_frames(PLAIN, 0, 9)]
    sink = Hdf5Sink(tmp_path / "run.h5", PLAIN, frame_attributes=frames[0].attributes)
    sink.ring = ring.token
    with sink:
        sink.write(recorded_from(ring, frames))
        with RecordedFrames(sink.path, ring=RING) as recorded:
            found = [frame.attributes for batch in recorded.read(2, 9) for frame in batch]
            assert recorded.origins.ring == 7
    assert found == [frame.attributes for frame in frames[2:]]


def test_a_frame_that_is_overwritten_while_it_is_decoded_is_read_from_the_file(tmp_path, ring, monkeypatch):
    plain = made_frames(PLAIN, 0, 2)
    packed = [replace(f, payload=encode(f.image, "zlib"), geometry=replace(PLAIN, codec="zlib")) for f in plain]
    with sink_of(ring, tmp_path / "run.h5", packed[0].geometry) as sink:
        sink.write(recorded_from(ring, packed))
        decode, capacity = codecs.decode, ring.statistics().capacity

        def overtaken(codec, payload, dtype, shape):
            for _ in range(capacity):
                ring.put(replace(packed[1], payload=packed[1].payload[::-1].copy()))
            return decode(codec, payload, dtype, shape)  # of bytes that are half of it, half of another

        with RecordedFrames(sink.path, ring=RING) as recorded:
            monkeypatch.setattr(codecs, "decode", overtaken)
            read = images(recorded, 0, 2)
            assert recorded.origins.file == 2
    assert all(map(np.array_equal, read, [frame.image for frame in plain]))


def test_a_frame_that_cannot_be_decoded_is_an_error_while_it_is_there(tmp_path, ring):
    broken = replace(made_frame(PLAIN, 0), payload=np.ones(100, "u1"), geometry=replace(PLAIN, codec="zlib"))
    with sink_of(ring, tmp_path / "run.h5", broken.geometry) as sink:
        sink.write(recorded_from(ring, [broken]))
        with RecordedFrames(sink.path, ring=RING) as recorded, pytest.raises(CodecError):
            images(recorded, 0, 1)


LYING = """
import struct, sys
from dataclasses import replace
import numpy as np
from beamstream.errors import CodecError
from beamstream.frames import Geometry
from beamstream.recorded import RecordedFrames
from beamstream.sinks.contract import made_frame
from beamstream.sinks.hdf5 import Hdf5Sink

plain, path = Geometry((60, 80), "<u2"), sys.argv[1]
start = struct.pack(">Q", 9600)
lies = {
    "bslz4": [start + struct.pack(">I", 8192), start + struct.pack(">II", 8192, 2**31 - 1), start + bytes(4)],
    "lz4": [start + struct.pack(">II", 9600, 9600), start + struct.pack(">II", 9600, 2**31 - 1), start + bytes(8)],
    "blosc": [struct.pack("<BBBBIII", 2, 1, 3, 2, 9600, 9600, 9616) + bytes(4)],
}
for codec, payloads in lies.items():
    geometry = replace(plain, codec=codec)
    with Hdf5Sink(f"{path}/{codec}.h5", geometry) as sink:
        frames = [np.frombuffer(payload, "u1") for payload in payloads]
        sink.write([replace(made_frame(plain, 0), payload=payload, geometry=geometry) for payload in frames])
        with RecordedFrames(sink.path) as recorded:
            for row in range(len(payloads)):
                try:
                    list(recorded.read(row, row + 1))
                except CodecError as error:
                    print(codec, str(error).startswith(f"{sink.path}: frame {row} does not decode"))
"""


def test_chunks_that_lie_about_their_lengths_neither_crash_a_reader_nor_show_its_memory(tmp_path):
    """HDF5's filters for them read beyond the end of a chunk; files recorded before they were checked may have some."""
    done = subprocess.run(
        [sys.executable, "-c", LYING, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["bslz4 True"] * 3 + ["lz4 True"] * 3 + ["blosc True"]


def test_a_file_that_grows_is_followed(tmp_path):
    frames = made_frames(PLAIN, 0, 30)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink, RecordedFrames(sink.path) as recorded:
        assert len(recorded) == 0
        for start in range(0, 30, 10):
            sink.write(frames[start : start + 10])
            assert len(recorded) == start + 10
            read = images(recorded, start, start + 10)
            assert all(np.array_equal(a, f.image) for a, f in zip(read, frames[start:], strict=False))


@pytest.mark.parametrize("geometry", [PLAIN, replace(PLAIN, codec="bslz4")], ids=str)
def test_a_file_that_another_process_writes_is_followed(tmp_path, geometry):
    code = (
        "import sys; from beamstream.recorded import RecordedFrames\n"
        "recorded = RecordedFrames(sys.argv[1])\n"
        "for line in sys.stdin:\n"
        "    stop = int(line)\n"
        "    print(len(recorded), sum(int(f.image.sum()) for b in recorded.read(0, stop) for f in b), flush=True)\n"
        "recorded.close()"
    )
    plain = made_frames(PLAIN, 0, 9)
    frames = (
        [replace(f, payload=encode(f.image, "bslz4"), geometry=geometry) for f in plain] if geometry.codec else plain
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write(frames[:1])
        with subprocess.Popen([sys.executable, "-c", code, str(sink.path)], **pipes) as reader:
            said = []
            for start, stop in ((1, 2), (2, 9)):
                sink.write(frames[start:stop])
                reader.stdin.write(f"{stop}\n")
                reader.stdin.flush()
                said.append(reader.stdout.readline().split())
            reader.stdin.close()
    sums = [sum(int(f.image.sum()) for f in plain[:stop]) for stop in (2, 9)]
    assert said == [["2", str(sums[0])], ["9", str(sums[1])]]


@pytest.mark.parametrize("shape", [(60, 80), (8, 8), (33, 65)], ids=str)  # pages and some, less than a page
def test_rows_are_found_wherever_batches_of_any_size_put_them(tmp_path, shape):
    chance = random.Random(3)
    geometry = Geometry(shape, "<u2")
    frames = made_frames(geometry, 0, 6000)
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        kept = 0
        while kept < len(frames):  # further than one chunk of the numbers beside them
            kept = sink.write(frames[kept : kept + chance.randint(1, 64)])
        with RecordedFrames(sink.path) as recorded:
            for _ in range(20):
                start = chance.randrange(len(frames))
                stop = min(start + chance.choice((1, 2, 3, 50, 2000)), len(frames))
                for image, frame in zip(images(recorded, start, stop), frames[start:stop], strict=True):
                    assert np.array_equal(image, frame.image)


def test_rows_beyond_the_end_are_named(tmp_path):
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink, RecordedFrames(sink.path) as recorded:
        sink.write(made_frames(PLAIN, 0, 3))
        with pytest.raises(SinkError, match="frames 2:5 asked for, it holds 3"):
            images(recorded, 2, 5)


@pytest.mark.parametrize("codec", ["bslz4", "lz4", "blosc", "zlib"])
def test_compressed_frames_come_back_decoded_from_ring_and_file(tmp_path, ring, codec):
    geometry = replace(PLAIN, codec=codec)
    plain = made_frames(PLAIN, 0, 6)
    packed = [replace(f, payload=encode(f.image, codec), geometry=geometry) for f in plain]
    with sink_of(ring, tmp_path / "run.h5", geometry) as sink:
        sink.write([*packed[:5], *recorded_from(ring, packed[5:])])
        with RecordedFrames(sink.path, ring=RING) as recorded:
            read = images(recorded, 0, 6)
            assert (recorded.origins.ring, recorded.origins.file) == (1, 5)
            assert recorded.geometry == PLAIN
    assert all(np.array_equal(a, f.image) for a, f in zip(read, plain, strict=True))


def test_colour_and_pixel_type_are_known_from_the_file(tmp_path):
    geometry = Geometry((6, 8, 3), ">u2", ColorMode.RGB1)
    with Hdf5Sink(tmp_path / "run.h5", geometry, attributes={"source": "pva://x"}) as sink:
        sink.write(made_frames(geometry, 0, 2))
    with RecordedFrames(tmp_path / "run.h5") as recorded:
        ((first, _),) = recorded.read(0, 2)
        assert (recorded.geometry, first.source) == (geometry, "pva://x")
        with pytest.raises(ValueError, match="read-only"):
            first.image[0] = 0


def test_closing_twice_leaves_the_files_of_others_alone(tmp_path):
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write(made_frames(PLAIN, 0, 1))
    recorded = RecordedFrames(tmp_path / "run.h5")
    recorded.close()
    with (tmp_path / "other").open("wb", buffering=0) as other:
        recorded.close()
        assert other.write(b"still mine") == 10


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SinkError, match=r"nothing\.h5"):
        RecordedFrames(tmp_path / "nothing.h5")
