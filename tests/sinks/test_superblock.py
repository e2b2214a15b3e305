"""A killed writer's file opens plainly again; a living writer's is left alone."""

import random
import struct

import h5py
import numpy as np
import pytest

from beamstream.errors import SinkError
from beamstream.frames import Geometry
from beamstream.sinks.contract import SinkContract, made_frame, made_frames
from beamstream.sinks.hdf5 import Hdf5Sink, frames_kept
from beamstream.sinks.superblock import clear_consistency_flags, lookup3

GEOMETRY = Geometry((200, 300), "<u2")


class _Killed(SinkContract):
    factory = "beamstream.sinks.hdf5:Hdf5Sink"


@pytest.fixture
def killed(tmp_path):
    path = tmp_path / "killed.h5"
    _Killed().kill_a_writer(path, random.Random(1))
    return path


def test_a_killed_writers_file_opens_plainly_after_clearing(killed):
    with pytest.raises(OSError, match="h5clear"):
        h5py.File(killed)
    kept = frames_kept(killed)
    assert clear_consistency_flags(killed) is True
    with h5py.File(killed) as file:
        assert min(len(dataset) for dataset in file["entry/data"].values()) == kept > 0
        for number in range(kept):
            assert np.array_equal(file["entry/data/data"][number], made_frame(GEOMETRY, number).image)
    assert frames_kept(killed) == kept


def test_a_cleared_file_can_be_written_to_again(killed):
    clear_consistency_flags(killed)
    kept = frames_kept(killed)
    with h5py.File(killed, "r+") as file:
        file["entry"].attrs["note"] = "recovered"
        file["entry/data/data"].resize(kept + 1, axis=0)
        file["entry/data/data"][kept] = made_frame(GEOMETRY, kept).image
    with h5py.File(killed) as file:
        for number in range(kept + 1):
            assert np.array_equal(file["entry/data/data"][number], made_frame(GEOMETRY, number).image)


def test_a_file_without_the_mark_is_not_touched(tmp_path):
    with Hdf5Sink(tmp_path / "run.h5", GEOMETRY) as sink:
        sink.write(made_frames(GEOMETRY, 0, 2))
    before = sink.path.read_bytes()
    assert clear_consistency_flags(sink.path) is False
    assert sink.path.read_bytes() == before


def test_a_living_writers_file_is_refused_and_the_writer_goes_on(tmp_path):
    with Hdf5Sink(tmp_path / "run.h5", GEOMETRY) as sink:
        sink.write(made_frames(GEOMETRY, 0, 2))
        with pytest.raises(SinkError, match="a living process holds it open"):
            clear_consistency_flags(sink.path)
        assert sink.write(made_frames(GEOMETRY, 2, 3)) == 3
    assert frames_kept(sink.path) == 3


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"P5 640 480" * 20], ids=["empty", "cut off", "another format"])
def test_what_is_not_hdf5_is_refused_and_not_touched(tmp_path, content):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(SinkError, match="is it the right file"):
        clear_consistency_flags(path)
    assert path.read_bytes() == content


def test_a_damaged_superblock_is_refused_and_not_touched(killed):
    content = bytearray(killed.read_bytes())
    content[36] ^= 1
    killed.write_bytes(content)
    with pytest.raises(SinkError, match="checksum"):
        clear_consistency_flags(killed)
    assert killed.read_bytes() == content


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SinkError, match=r"none\.h5.*No such file"):
        clear_consistency_flags(tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("data", "seed", "checksum"),
    [
        (b"", 0, 0xDEADBEEF),
        (b"", 0xDEADBEEF, 0xBD5B7DDE),
        (b"Four score and seven years ago", 0, 0x17770551),
        (b"Four score and seven years ago", 1, 0xCD628161),
    ],
)
def test_the_checksum_agrees_with_its_inventors_vectors(data, seed, checksum):
    assert lookup3(data, seed) == checksum  # driver5() of lookup3.c


def test_the_checksum_agrees_with_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", libver="latest"):
        pass
    block = (tmp_path / "x.h5").read_bytes()[:48]
    assert struct.pack("<I", lookup3(block[:44])) == block[44:]
