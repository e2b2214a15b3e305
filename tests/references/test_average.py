"""The average of frames: what float64 numpy says of the whole stack, without the stack."""

import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beamstream.errors import CalibrationError, WrongGeometry
from beamstream.frames import Geometry
from beamstream.references import Average

INTEGERS = ["|u1", "|i1", "<u2", "<i2", ">u2", "<u4", "<i4", ">i4", "<u8", "<i8"]
FLOATS = ["<f2", "<f4", "<f8", ">f4"]


def averaged(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    average = Average(Geometry(stack.shape[1:], stack.dtype.str))
    for image in stack:
        average.add(image)
    assert average.number == len(stack)
    return average.result()


def stacks(dtypes: list[str]) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 4))
    return st.sampled_from(dtypes).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            shapes,
            elements=(
                hnp.from_dtype(np.dtype(dtype))
                if dtype in INTEGERS
                else st.floats(-16384, 16384, width=16)  # the range of float16
            ),
        )
    )


@settings(deadline=None, max_examples=150)
@given(stacks(INTEGERS + FLOATS))
def test_mean_and_standard_deviation_are_those_of_the_whole_stack(stack):
    mean, std = averaged(stack)
    exact = stack.astype(np.longdouble)
    size = float(np.abs(exact).max())
    np.testing.assert_allclose(mean, exact.mean(axis=0).astype(float), rtol=1e-13, atol=4e-16 * len(stack) * size)
    spread = exact.std(axis=0, ddof=1).astype(float) if len(stack) > 1 else np.zeros(mean.shape)
    np.testing.assert_allclose(std, spread, rtol=1e-10, atol=4e-16 * len(stack) * size)
    assert mean.dtype == std.dtype == np.float64


@settings(deadline=None, max_examples=100)
@given(stacks(["|u1", "<u2", "<i2", ">u2"]))
def test_small_integers_are_averaged_without_any_error(stack):
    mean, std = averaged(stack)
    total = stack.astype(object).sum(axis=0)
    number = len(stack)
    np.testing.assert_array_equal(mean, (total / number).astype(float))
    if number > 1:
        deviations = number * (stack.astype(object) ** 2).sum(axis=0) - total**2  # times number, an integer
        expected = np.sqrt((deviations / (number * (number - 1))).astype(float))
        np.testing.assert_allclose(std, expected, rtol=1e-14)


def test_saturated_frames_are_65535_and_without_noise():
    average = Average(Geometry((3, 5), "<u2"))
    for _ in range(1000):
        average.add(np.full((3, 5), 65535, np.uint16))
    mean, std = average.result()
    assert np.unique(mean).tolist() == [65535.0]
    assert np.unique(std).tolist() == [0.0]


@pytest.mark.parametrize("dtype", ["<f8", "<i4", "<u8"])
def test_one_count_of_noise_on_a_billion_counts_is_seen(dtype):
    noise = np.random.default_rng(7).integers(0, 3, (500, 4, 6))
    mean, std = averaged((noise + 1_000_000_000).astype(dtype))
    np.testing.assert_allclose(mean - 1e9, noise.mean(axis=0), atol=5e-6)
    np.testing.assert_allclose(std, noise.std(axis=0, ddof=1), rtol=1e-7)


def test_the_noise_of_bright_16_bit_frames_is_exact():
    noise = np.random.default_rng(3).integers(0, 2, (2000, 4, 6))
    _, std = averaged((noise + 65534).astype(np.uint16))
    np.testing.assert_allclose(std, noise.std(axis=0, ddof=1), rtol=1e-12)


def test_a_nan_spoils_its_own_pixel_only():
    stack = np.ones((4, 2, 3), np.float32)
    stack[2, 1, 2] = np.nan
    mean, std = averaged(stack)
    assert np.argwhere(np.isnan(mean)).tolist() == np.argwhere(np.isnan(std)).tolist() == [[1, 2]]


def test_one_frame_has_no_noise():
    mean, std = averaged(np.array([[[1.5, 2.5]]]))
    np.testing.assert_array_equal(mean, [[1.5, 2.5]])
    np.testing.assert_array_equal(std, [[0.0, 0.0]])


def test_a_result_is_the_callers_and_more_frames_may_follow():
    for dtype in ("<u2", "<f4"):
        average = Average(Geometry((2, 2), dtype))
        average.add(np.full((2, 2), 10, dtype))
        first, spread = average.result()
        average.add(np.full((2, 2), 20, dtype))
        average.result()[0][:] = -1
        np.testing.assert_array_equal(first, np.full((2, 2), 10.0))
        np.testing.assert_array_equal(spread, np.zeros((2, 2)))
        np.testing.assert_array_equal(average.result()[0], np.full((2, 2), 15.0))


def test_read_only_and_strided_frames_are_taken_as_they_are():
    whole = np.arange(48, dtype=np.uint16).reshape(6, 8)
    strided = whole[::2, ::-2]
    strided.flags.writeable = False
    average = Average(Geometry((3, 4), "<u2"))
    average.add(strided)
    np.testing.assert_array_equal(average.result()[0], strided.astype(float))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 3), np.uint16), "frame 2 is 4 × 3 uint16, the ones before are 3 × 4 uint16"),
        (np.zeros((3, 4), np.float32), "frame 2 is 3 × 4 float32"),  # would be truncated
        (np.zeros(12, np.uint16), "frame 2 is 12 uint16"),
    ],
)
def test_a_frame_of_another_geometry_is_refused_and_not_counted(image, words):
    average = Average(Geometry((3, 4), "<u2"))
    average.add(np.full((3, 4), 8, np.uint16))
    with pytest.raises(WrongGeometry, match=words):
        average.add(image)
    assert average.number == 1
    np.testing.assert_array_equal(average.result()[0], np.full((3, 4), 8.0))


def test_no_frames_have_no_mean():
    with pytest.raises(CalibrationError, match="0 frames"):
        Average(Geometry((3, 4), "<u2")).result()


@pytest.mark.parametrize("dtype", ["|b1", "<c8", "<U4"])
def test_pixels_that_have_no_mean_are_refused_before_the_first_frame(dtype):
    with pytest.raises(ValueError, match="no mean"):
        Average(Geometry((3, 4), dtype))


@pytest.fixture
def no_forced_switches():
    """Let a thread keep the GIL until it gives it away by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    yield
    sys.setswitchinterval(before)


def test_other_threads_run_while_a_frame_is_added(no_forced_switches):
    average = Average(Geometry((2048, 2048), "<u2"))
    image = np.full((2048, 2048), 3, np.uint16)

    def add():
        for _ in range(20):
            average.add(image)

    seen = set()
    thread = threading.Thread(target=add)
    thread.start()
    while thread.is_alive():
        seen.add(average.number)
        time.sleep(0)
    assert average.number == 20
    assert len(seen) > 5  # else at the beginning and at the end
