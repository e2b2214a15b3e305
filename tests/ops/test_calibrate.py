"""Dark and flat from a file: the right formula, and a file that does not fit is refused."""

import numpy as np
import pytest

from beamstream.errors import PipelineError, WrongGeometry
from beamstream.ops.calibrate import DivideFlat, SubtractDark


@pytest.fixture
def saved(tmp_path):
    def save(array, name="reference.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def test_a_dark_brighter_than_the_frame_gives_negative_counts(saved):
    made = SubtractDark(saved(np.full((2, 3), 100, "u2"))).apply(np.full((2, 3), 90, "u2"), {})
    assert made.dtype == np.float32
    assert (made == -10).all()


@pytest.mark.parametrize(("frame", "dark", "made"), [("u1", "u2", "f4"), ("u2", "f8", "f4"), ("u4", "u2", "f8")])
def test_the_result_of_a_dark_depends_on_the_frames_type_only(saved, frame, dark, made):
    assert SubtractDark(saved(np.ones((2, 2), dark))).apply(np.zeros((2, 2), frame), {}).dtype == made


def test_a_flat_follows_the_formula(saved):
    flat, dark = np.array([[20, 40], [60, 80]], "u2"), np.full((2, 2), 10, "u2")
    op = DivideFlat(saved(flat), dark=saved(dark, "dark.npy"))
    raw = np.array([[100, 200], [300, 400]], "u2")
    expected = (raw - 10.0) / (flat - 10.0) * np.mean(flat - 10.0)
    np.testing.assert_allclose(op.apply(raw, {}), expected, rtol=1e-6)
    said = op.describe()
    assert said["flat_name"].endswith("reference.npy")
    assert said["dark_name"].endswith("dark.npy")


def test_raw_output_keeps_the_pixel_type(saved):
    flat = saved(np.full((2, 2), 7, "u2"))
    made = DivideFlat(flat, output="raw").apply(np.full((2, 2), 300, "u2"), {})
    assert (made.dtype, made.tolist()) == (np.uint16, [[300, 300]] * 2)


def test_a_dark_of_another_shape_is_refused(saved):
    with pytest.raises(WrongGeometry, match=r"dark: frames of \(4, 4\) came, .*reference.npy has \(2, 2\)"):
        SubtractDark(saved(np.zeros((2, 2)))).apply(np.zeros((4, 4)), {})


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), "is no image"),
        (np.array([["a"]]), "is no image"),
        (np.array([[np.nan, 1]]), "not finite"),
    ],
)
@pytest.mark.parametrize("op", [SubtractDark, DivideFlat])
def test_a_reference_that_is_no_image_is_refused(saved, op, array, words):
    with pytest.raises(PipelineError, match=rf"(dark|flat): file .*{words}"):
        op(saved(array))


def test_a_pickle_and_a_missing_file_are_refused(saved, tmp_path):
    with pytest.raises(PipelineError, match=r"dark: file = .*cannot be read: .*; give a \.npy file"):
        SubtractDark(saved(np.array([[{}]], dtype=object)))
    with pytest.raises(PipelineError, match=r"flat: file = .*nope.npy' cannot be read"):
        DivideFlat(tmp_path / "nope.npy")
