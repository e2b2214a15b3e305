"""Ops with a memory: exact for integers, never wrapping around, and forgetting what they should forget."""

import numpy as np
import pytest

from beamstream.errors import PipelineError
from beamstream.ops.temporal import BackgroundSubtract, Difference, RunningAverage, RunningSum


def frames(number, dtype="u2", shape=(5, 7), seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1, (number, *shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, (number, *shape), np.dtype(dtype), endpoint=True)


def apply_all(op, images):
    return [op.apply(image, {}) for image in images]


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4", "f8"])
def test_a_rolling_background_is_the_mean_of_the_frames_before(dtype):
    images = frames(9, dtype)
    made = apply_all(BackgroundSubtract("rolling", window=3), images)
    wide = images.astype("f8")
    assert not made[0].any()
    for n in range(1, 9):
        expected = wide[n] - wide[max(0, n - 3) : n].mean(axis=0)
        np.testing.assert_allclose(made[n], expected, rtol=1e-6, atol=1e-7 * abs(wide).max())


def test_a_darker_frame_is_negative_and_does_not_wrap_around():
    bright, dark = np.full((2, 2), 60_000, "u2"), np.full((2, 2), 10, "u2")
    for op in (BackgroundSubtract(), BackgroundSubtract("first"), Difference()):
        assert apply_all(op, [bright, dark])[1].tolist() == [[-59_990, -59_990]] * 2


def test_the_first_frame_stays_the_background():
    images = frames(5)
    made = apply_all(BackgroundSubtract("first", window=2), images)
    for n in range(5):
        np.testing.assert_array_equal(made[n], images[n].astype("f4") - images[0].astype("f4"))
    assert made[4].dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "made"), [("u1", "i2"), ("u2", "i4"), ("i2", "i4"), ("u4", "i8"), ("u8", "f8"), ("f4", "f4"), ("?", "i2")]
)
def test_differences_are_of_a_signed_type_that_holds_them(dtype, made):
    kind = np.dtype(dtype)
    top = np.iinfo(kind).max if kind.kind in "ui" else 1
    first, second = np.full((2, 2), top, dtype), np.zeros((2, 2), dtype)
    zeros, change = apply_all(Difference(), [first, second])
    assert (zeros.dtype, change.dtype) == (made, made)
    assert not zeros.any()
    assert change.min() == -float(top)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i4", "f4"])
@pytest.mark.parametrize("window", [1, 3, None])
def test_running_sum_and_average_cover_the_last_frames_and_no_other(dtype, window):
    images = frames(11, dtype)
    sums, means = apply_all(RunningSum(window), images), apply_all(RunningAverage(window), images)
    for n in range(11):
        covered = images[0 if window is None else max(0, n - window + 1) : n + 1]
        exact = covered.astype("f8").sum(axis=0)
        np.testing.assert_allclose(sums[n], exact, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(means[n], exact / len(covered), rtol=1e-6, atol=1e-6)
    if images.dtype.kind in "ui":
        np.testing.assert_array_equal(sums[10], covered.astype("i8").sum(axis=0))


@pytest.mark.parametrize(
    ("dtype", "window", "made"),
    [("u2", 10, "u4"), ("u2", 65_538, "u8"), ("u2", None, "u8"), ("i2", 10, "i4"), ("u8", 2, "f8"), ("f4", 10, "f4")],
)
def test_a_sum_is_of_a_type_that_holds_as_many_saturated_frames(dtype, window, made):
    assert RunningSum(window).apply(np.zeros((1, 1), dtype), {}).dtype == made


def test_integers_do_not_drift_over_many_frames():
    op = RunningSum(3)
    images = frames(1000, shape=(2, 2))
    made = apply_all(op, images)
    np.testing.assert_array_equal(made[-1], images[-3:].astype("u4").sum(axis=0))


def test_a_nan_is_gone_when_its_frame_is():
    images = frames(8, "f4")
    images[2, 1, 1] = np.nan
    images[2, 1, 2] = np.inf
    made = apply_all(RunningAverage(3), images)
    assert [bool(np.isnan(one[1, 1])) for one in made] == [False, False, True, True, True, False, False, False]
    np.testing.assert_allclose(made[5], images[3:6].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_huge_pixel_leaves_no_rounding_behind_longer_than_a_round():
    images = np.ones((8, 2, 2), "f8")
    images[1, 0, 0] = 1e30
    assert apply_all(RunningAverage(3), images)[-1].tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("make", [BackgroundSubtract, RunningAverage, RunningSum, Difference])
def test_another_geometry_begins_anew(make):
    op, fresh = make(), make()
    apply_all(op, frames(3, shape=(4, 4)))
    smaller = frames(2, shape=(2, 2), seed=1)
    for one, other in zip(apply_all(op, smaller), apply_all(fresh, smaller), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [BackgroundSubtract, RunningAverage, RunningSum, Difference])
def test_an_image_whose_memory_is_used_again_does_not_change_what_is_remembered(make):
    images, slot = frames(5), np.empty((5, 7), "u2")
    op, fresh = make(), make()
    for image in images:
        slot[:] = image
        np.testing.assert_array_equal(op.apply(slot, {}), fresh.apply(image.copy(), {}))


@pytest.mark.parametrize("make", [BackgroundSubtract, RunningAverage, RunningSum, Difference])
def test_results_are_not_touched_by_later_frames(make):
    op = make()
    made = apply_all(op, frames(4))
    kept = [one.copy() for one in made]
    apply_all(op, frames(4, seed=9))
    for one, copy in zip(made, kept, strict=True):
        np.testing.assert_array_equal(one, copy)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BackgroundSubtract("frist"), "background: method = 'frist' asked for; give one of rolling, first"),
        (lambda: BackgroundSubtract(window=0), "background: window = 0 asked for"),
        (lambda: RunningAverage(2.5), "average: window = 2.5 asked for"),  # pyright: ignore
        (lambda: RunningSum(0), "sum: window = 0 asked for"),
    ],
)
def test_a_wrong_option_is_refused_by_name(make, words):
    with pytest.raises(PipelineError, match=words):
        make()
