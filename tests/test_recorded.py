"""Recorded frames by row: from the ring, from the file, bit-exact either way."""

import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from beamstream.errors import SinkError
from beamstream.frames import ColorMode, Geometry
from beamstream.recorded import RecordedFrames
from beamstream.ring import Ring
from beamstream.sim.encode import encode
from beamstream.sinks.contract import made_frame, made_frames
from beamstream.sinks.hdf5 import Hdf5Sink

PLAIN = Geometry((60, 80), "<u2")
RING = f"recorded-{os.getpid()}"


@pytest.fixture
def ring():
    ring = Ring(RING, memory=16 * 8192 * 2)
    yield ring
    ring.close()


def images(recorded, start, stop):
    return [frame.image.copy() for batch in recorded.read(start, stop) for frame in batch]


def test_frames_come_from_the_ring_while_they_are_there_and_from_the_file_afterwards(tmp_path, ring):
    frames = made_frames(PLAIN, 0, 100)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        for frame in frames:
            ring.put(frame)
        sink.write(frames)
        low, high = ring.bounds()
        assert 0 < low < high == 100
        with RecordedFrames(sink.path, ring=RING) as recorded:
            read = images(recorded, 0, 100)
            assert (recorded.origins.ring, recorded.origins.file) == (high - low, low)
    assert all(np.array_equal(a, frame.image) for a, frame in zip(read, frames, strict=True))


def test_rows_are_found_between_frames_that_were_not_recorded(tmp_path, ring):
    frames = made_frames(PLAIN, 0, 20)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        for frame in frames:
            ring.put(frame)
        kept = frames[3:18:5]
        sink.write(kept)
        with RecordedFrames(sink.path, ring=RING) as recorded:
            (batch,) = recorded.read(0, 3)
            assert [f.unique_id for f in batch] == [f.unique_id for f in kept]
            assert all(np.array_equal(a.image, b.image) for a, b in zip(batch, kept, strict=True))
            assert recorded.origins.ring == 3


def test_a_frame_of_the_same_id_from_another_time_is_not_taken_for_ours(tmp_path, ring):
    frame = made_frame(PLAIN, 1)
    with Hdf5Sink(tmp_path / "run.h5", PLAIN) as sink:
        sink.write([frame])
        ring.put(replace(made_frame(PLAIN, 2), unique_id=frame.unique_id))
        with RecordedFrames(sink.path, ring=RING) as recorded:
            assert np.array_equal(images(recorded, 0, 1)[0], frame.image)
            assert recorded.origins.file == 1


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
    with Hdf5Sink(tmp_path / "run.h5", geometry) as sink:
        sink.write(packed)
        ring.put(packed[5])
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
