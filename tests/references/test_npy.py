"""Darks and flats that other programs wrote as .npy files."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.errors import CalibrationError, DiskFull, SinkError, WrongGeometry
from beamstream.frames import ColorMode, Geometry
from beamstream.references import Reference, export_npy, import_npy


class Bomb:
    """What a pickle can do: unpickling makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def saved(tmp_path):
    def save(array):
        np.save(tmp_path / "flat.npy", array, allow_pickle=True)
        return tmp_path / "flat.npy"

    return save


@pytest.mark.parametrize("dtype", ["|u1", "<i2", ">u2", "<i8", "<f2", ">f4", "<f8", "<f16"])
def test_any_type_of_number_becomes_counts_in_float64(saved, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    flat = import_npy(saved(array), "flat", "cam")
    np.testing.assert_array_equal(flat.mean, np.arange(12.0).reshape(3, 4))
    assert flat.mean.dtype == np.float64
    assert flat.mean.dtype.isnative
    assert flat.geometry == Geometry((3, 4), dtype)
    np.testing.assert_array_equal(flat.std, np.zeros((3, 4)))


def test_it_says_where_it_is_from_and_when_that_was_written(saved):
    path = saved(np.ones((2, 2)))
    os.utime(path, (1e9, 1e9))
    dark = import_npy(path, "dark", "cam", exposure=0.25)
    assert (dark.kind, dark.origin, dark.taken, dark.exposure) == ("dark", str(path), 1e9, 0.25)
    assert (dark.number, dark.run, dark.path) == (1, "", None)
    assert dark.name == "dark cam 2001-09-09T01:46:40Z (1 frame)"


def test_the_fortran_order_of_a_file_is_not_the_order_of_the_pixels(saved):
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    mean = import_npy(saved(array), "flat", "cam").mean
    np.testing.assert_array_equal(mean, array)
    assert mean.flags.c_contiguous


def test_colour_is_recognised_or_told(saved):
    assert import_npy(saved(np.ones((4, 5, 3))), "flat", "cam").geometry.color_mode == ColorMode.RGB1
    planes = Geometry((3, 4, 5), "|u1", ColorMode.RGB3)
    path = saved(np.ones((3, 4, 5)))
    assert import_npy(path, "flat", "cam", geometry=planes).geometry == planes
    with pytest.raises(CalibrationError, match=r"\(3, 4, 5\)"):
        import_npy(path, "flat", "cam")


def test_dead_pixels_are_no_reason_to_refuse(saved):
    array = np.ones((2, 3))
    array[0, 1] = np.nan
    np.testing.assert_array_equal(import_npy(saved(array), "flat", "cam").mean, array)


def test_a_file_that_does_not_fit_the_frames_names_both(saved):
    with pytest.raises(WrongGeometry, match=r"\(2, 3\), the frames are 3 × 2 uint16"):
        import_npy(saved(np.ones((2, 3))), "flat", "cam", geometry=Geometry((3, 2), "<u2"))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((2, 2), complex), "complex128"),
        (np.array([["a", "b"]]), "<U1"),
        (np.ones((2, 2), bool), "bool"),
        (np.ones((2, 2), "M8[s]"), "datetime64"),
        (np.ones((2, 2), [("x", "f8")]), "'x'"),
        (np.ones(4), r"\(4,\)"),
        (np.float64(3), r"\(\)"),
        (np.ones((2, 2, 3, 1)), r"\(2, 2, 3, 1\)"),
        (np.full((2, 2), np.nan), "none of its 4 pixels is a number"),
        (np.full((2, 2), np.inf), "none of its 4 pixels is a number"),
        (np.ones((0, 5)), "none of its 0 pixels is a number"),
    ],
)
def test_what_cannot_be_an_image_is_refused_with_the_reason(saved, array, words):
    with pytest.raises(CalibrationError, match=f"cam: flat to be imported from .*flat.npy.*{words}"):
        import_npy(saved(array), "flat", "cam")


def test_pickled_objects_are_refused_and_not_run(saved, tmp_path):
    path = saved(np.array([[Bomb(tmp_path / "npy"), 1]], dtype=object))
    with pytest.raises(CalibrationError, match="pickled objects, which are never loaded"):
        import_npy(path, "flat", "cam")
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "plain")))
    with pytest.raises(CalibrationError, match=r"not a whole \.npy file"):
        import_npy(path, "flat", "cam")
    assert [p.name for p in tmp_path.iterdir()] == ["flat.npy"]


def test_what_is_no_npy_file_is_refused_with_the_reason(saved, tmp_path):
    with pytest.raises(CalibrationError, match="No such file"):
        import_npy(tmp_path / "nothing.npy", "flat", "cam")
    with pytest.raises(CalibrationError, match="directory"):
        import_npy(tmp_path, "flat", "cam")
    np.savez(tmp_path / "many.npz", a=np.ones((2, 2)))
    with pytest.raises(CalibrationError, match=r"not a whole \.npy file"):
        import_npy(tmp_path / "many.npz", "flat", "cam")


def test_a_header_that_promises_more_than_the_file_has_takes_no_memory(tmp_path):
    path = tmp_path / "huge.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        )
    with pytest.raises(CalibrationError, match=r"not a whole \.npy file"):
        import_npy(path, "flat", "cam")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_but_never_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "flat.npy"
    np.save(path, np.arange(6.0).reshape(2, 3))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        flat = import_npy(path, "flat", "cam")
    except CalibrationError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert flat.mean.shape == flat.geometry.shape


def _flat(mean: np.ndarray) -> Reference:
    return Reference("flat", mean, np.zeros_like(mean), 5, "cam", Geometry(mean.shape, "<u2"), None, 1e9)


def test_what_is_exported_has_every_digit_and_can_be_imported(tmp_path):
    mean = np.random.default_rng(1).normal(1000, 1, (5, 7))
    export_npy(_flat(mean), tmp_path / "out.npy")
    there = np.load(tmp_path / "out.npy", allow_pickle=False)
    assert there.dtype == np.float64
    np.testing.assert_array_equal(there, mean)
    np.testing.assert_array_equal(import_npy(tmp_path / "out.npy", "flat", "cam").mean, mean)


def test_an_export_goes_over_no_file(tmp_path):
    path = tmp_path / "mine.npy"
    path.write_text("precious")
    with pytest.raises(SinkError, match=r"cam: to export a flat to .*mine\.npy: the file exists"):
        export_npy(_flat(np.ones((2, 2))), path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_an_export_that_cannot_be_written_says_why(tmp_path):
    with pytest.raises(SinkError, match="there is no directory"):
        export_npy(_flat(np.ones((2, 2))), tmp_path / "no" / "where.npy")


def test_an_export_to_a_full_disk_leaves_nothing(tmp_path, small_files):
    with small_files(1000), pytest.raises(DiskFull, match=r"ulimit -f"):
        export_npy(_flat(np.ones((64, 64))), tmp_path / "out.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "flat.npy")
    with pytest.raises(CalibrationError, match="no regular file; check the path"):
        import_npy(tmp_path / "flat.npy", "flat", "cam")
