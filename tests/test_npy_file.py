"""Arrays of files that may lie: their headers decide nothing, and nothing in them is executed."""

import os
import resource
import struct

import numpy as np
import pytest

from beamstream import npy_file
from beamstream.errors import CalibrationError, PipelineError
from beamstream.ops.calibrate import SubtractDark
from beamstream.references import import_npy

TEN_TB = 10 * 2**40


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def claiming(shape: str, descr: str = "'<f8'") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n", bytes(100))


CLAIMS = [
    claiming(f"({TEN_TB // 8},)"),
    claiming("(1000000000, 1000000000)"),
    claiming("(9223372036854775807, 9223372036854775807, 3)"),
    claiming("(-1, 5)"),
    claiming("(2, 40)"),
    claiming("(5, 20)", "'|u1'")[:-1],
    claiming("()", "'|V9223372036854775807'"),
    claiming("(3,)", "'|O'"),
    claiming("(3,)", "'<U2147483647'"),
    npy("("),
    npy("{'descr': " + "(" * 3000),
    b"",
]


@pytest.mark.parametrize("data", CLAIMS, ids=range(len(CLAIMS)))
def test_a_header_that_claims_more_than_the_file_holds_is_refused_and_takes_no_memory(tmp_path, data):
    path = tmp_path / "claims.npy"
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (npy_file.mapped, npy_file.load):
        with pytest.raises(ValueError, match=r"not a whole \.npy file|pickled"):
            read(path)
    with pytest.raises(PipelineError, match="cannot be read"):
        SubtractDark(path)
    with pytest.raises(CalibrationError, match="flat to be imported"):
        import_npy(path, "flat", "cam")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_thousands_of_damaged_files_are_arrays_of_their_size_or_refused(tmp_path):
    path = tmp_path / "damaged.npy"
    np.save(path, np.arange(96, dtype="<u2").reshape(8, 12))
    whole, kept = path.read_bytes(), 0
    for case in range(3000):
        random = np.random.default_rng(case)
        data = bytearray(whole[: random.integers(1, len(whole))] if case % 4 == 0 else whole)
        for _ in range(random.integers(1, 4)):
            data[random.integers(min(len(data), 90))] = random.integers(256)
        path.write_bytes(data)
        try:
            array = npy_file.load(path)
        except ValueError:
            continue
        assert array.nbytes <= len(data), f"case {case}"
        kept += 1
    assert 0 < kept < 3000


def test_a_whole_file_is_loaded_into_memory_of_its_own(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    array = npy_file.load(tmp_path / "a.npy")
    os.truncate(tmp_path / "a.npy", 0)  # a mapped one would end the process
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(FileNotFoundError):
        npy_file.load(tmp_path / "none.npy")
