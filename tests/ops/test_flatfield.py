"""The flat field against its formula in float64: every pixel type, every extreme, and nothing on the way."""

import json
import os
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beamstream.errors import CalibrationError, WrongGeometry
from beamstream.frames import ColorMode
from beamstream.ops.base import described
from beamstream.ops.flatfield import FlatField

INTEGERS = ["u1", "i1", "<u2", ">u2", "<i2", "<u4", ">i4", "<u8", "<i8"]
FLOATS = ["<f4", ">f4", "<f8"]
COLOUR_AXIS = {ColorMode.RGB1: 2, ColorMode.RGB2: 1, ColorMode.RGB3: 0}
FLAT = np.array([[100.0, 200.0], [400.0, 100.0]])  # mean 200
UNUSABLE = [0.0, -5.0, np.nan, np.inf, -np.inf]


def level_and_live(flat, dark):
    """Return the illumination above the dark, in float64, and where it can be divided by."""
    if dark is None:
        level = flat
    elif flat is None:
        level = np.where(np.isfinite(dark), 1.0, np.nan)
    else:
        level = flat - dark
    return level, np.isfinite(level) & (level > 0)


def means(level, live, color_mode):
    keep = COLOUR_AXIS.get(color_mode)
    axes = tuple(a for a in range(level.ndim) if a != keep)
    return np.sum(level, axis=axes, where=live, keepdims=True) / live.sum(axis=axes, keepdims=True)


def formula(raw, flat, dark, color_mode):
    """Evaluate the formula in float64; return it and which pixels are dead."""
    with np.errstate(all="ignore"):
        level, live = level_and_live(flat, dark)
        signal = raw.astype(np.float64) - (0.0 if dark is None else dark.astype(np.float64))
        return signal / level * means(level, live, color_mode), ~live


@st.composite
def cases(draw, dtypes):
    """Draw raw, flat, dark (one of the two may be missing) and the colour mode; every colour has a live pixel."""
    mode = draw(st.sampled_from(list(ColorMode)))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 40))
    shape = [rows, columns]
    if mode in COLOUR_AXIS:
        shape.insert(COLOUR_AXIS[mode], 3)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = pixels(rng, np.dtype(draw(st.sampled_from(dtypes))), shape)
    has_flat, darkness = draw(st.sampled_from([(True, ""), (True, "whole"), (True, "broken"), (False, "broken")]))
    flat = 10.0 ** rng.uniform(-2, 5, shape) if has_flat else None
    dark = {"": None, "whole": rng.integers(0, 2000, shape), "broken": rng.uniform(0, 2000, shape)}[darkness]
    if flat is not None and dark is not None:
        flat += dark
    for reference in (flat, dark):
        if reference is not None and reference.dtype.kind == "f" and draw(st.booleans()):
            reference[rng.random(shape) < 0.2] = draw(st.sampled_from(UNUSABLE))
    with np.errstate(all="ignore"):
        assume(np.isfinite(means(*level_and_live(flat, dark), mode)).all())
    return raw, flat, dark, mode


def pixels(rng, dtype, shape):
    """Make random pixels, extremes among them."""
    if dtype.kind == "f":
        raw = (rng.uniform(-1, 1, shape) * 10.0 ** rng.integers(-3, 9, shape)).astype(dtype)
        raw[rng.random(shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
        return raw
    limits = np.iinfo(dtype)
    raw = rng.integers(limits.min, limits.max, shape, dtype.newbyteorder("="), endpoint=True)
    raw >>= rng.integers(0, 8 * dtype.itemsize, shape, raw.dtype)  # all orders of magnitude
    raw[rng.random(shape) < 0.1] = limits.max
    raw[rng.random(shape) < 0.1] = limits.min
    return raw.astype(dtype)


@given(cases(INTEGERS + FLOATS))
@settings(deadline=None, max_examples=200)
def test_float32_is_within_3e_7_of_the_formula(case):
    raw, flat, dark, mode = case
    op = FlatField(flat, dark, color_mode=mode, dead_value=-7.0)
    exact, dead = formula(*case)
    got = op.apply(raw, {})
    assert got.dtype == np.float32
    assert op.dead == dead.sum()
    assert (got[dead] == -7.0).all()
    lost = ~np.isfinite(raw) & ~dead
    assert np.isnan(got[lost]).all()
    kept = ~dead & ~lost
    np.testing.assert_allclose(got[kept], exact[kept], rtol=3e-7, atol=1e-37)


@given(cases(INTEGERS))
@settings(deadline=None, max_examples=200)
def test_raw_integers_are_the_formula_rounded_and_clipped(case):
    """Exactly, except where the value lies within 1e-6 (1e-14 beyond 16 bit) of itself from a tie."""
    raw, flat, dark, mode = case
    op = FlatField(flat, dark, color_mode=mode, output="raw", dead_value=3.0)
    exact, dead = formula(*case)
    got = op.apply(raw, {})
    assert got.dtype == raw.dtype
    assert (got[dead] == 3).all()
    limits = np.iinfo(got.dtype)
    near = 1e-6 if got.dtype.itemsize < 4 else 1e-14
    for value, pixel in zip(exact[~dead], got[~dead], strict=True):
        least, most = (round(value + sign * near * abs(value)) for sign in (-1, 1))
        assert max(limits.min, min(least, limits.max)) <= pixel <= max(limits.min, min(most, limits.max))


@given(cases(FLOATS))
@settings(deadline=None, max_examples=100)
def test_raw_floats_keep_their_type_and_what_is_not_finite(case):
    raw, flat, dark, mode = case
    exact, dead = formula(*case)
    got = FlatField(flat, dark, color_mode=mode, output="raw").apply(raw, {})
    lost = ~np.isfinite(raw) & ~dead
    assert got.dtype == raw.dtype
    assert (got[dead] == 0).all()
    np.testing.assert_array_equal(got[lost], raw[lost])
    kept = ~dead & ~lost
    np.testing.assert_allclose(got[kept], exact[kept], rtol=3e-7 if got.itemsize == 4 else 1e-14, atol=1e-37)


def test_ties_go_to_the_even_number():
    op = FlatField(np.array([[2.0, 2.0, 2.0, 0.5, 1.0, 1.5]]), output="raw")  # mean 1.5
    raw = np.array([[2, 6, 10, 0, 3, 7]], "u2")  # 1.5 4.5 7.5 0 4.5 7
    np.testing.assert_array_equal(op.apply(raw, {}), [[2, 4, 8, 0, 4, 7]])


def test_uint16_saturates_at_both_ends():
    dark = np.full((2, 2), 50.0)
    op = FlatField(FLAT + dark, dark, output="raw")
    np.testing.assert_array_equal(op.apply(np.full((2, 2), 65535, "u2"), {}), [[65535, 65485], [32742, 65535]])
    np.testing.assert_array_equal(op.apply(np.zeros((2, 2), "u2"), {}), np.zeros((2, 2)))


@pytest.mark.parametrize("dtype", ["u4", "i4", "u8", "i8"])
def test_wide_integers_saturate_at_their_own_limits(dtype):
    limits = np.iinfo(dtype)
    op = FlatField(np.array([[1.0, 1.0, 4.0]]), output="raw")  # gains 2, 2, 0.5
    raw = np.array([[limits.max, limits.min, 4]], dtype)
    np.testing.assert_array_equal(op.apply(raw, {}), np.array([[limits.max, limits.min, 2]], dtype))


def test_one_nan_in_the_flat_leaves_the_mean_of_the_others():
    flat = FLAT.copy()
    flat[0, 0] = np.nan
    op = FlatField(flat, dead_value=np.nan)
    assert op.means == [pytest.approx(700 / 3)]
    assert op.dead == 1
    result = op.apply(np.full((2, 2), 100, "u2"), {})
    assert np.isnan(result[0, 0])
    assert np.isfinite(result.ravel()[1:]).all()


def test_pixels_of_nearly_no_light_are_dead_instead_of_infinite():
    op = FlatField(np.array([[1e-300, 1.0]]))
    assert op.dead == 1
    np.testing.assert_array_equal(op.apply(np.full((1, 2), 2**64 - 1, "u8"), {}), [[0, 2.0**63]])


def test_what_float32_cannot_hold_is_nan_and_float64_is_clipped():
    raw = np.array([[1e300, 1.7e308]])
    flat = np.array([[1.0, 0.5]])
    assert np.isnan(FlatField(flat).apply(raw, {})).all()
    np.testing.assert_allclose(FlatField(flat, output="raw").apply(raw, {}), [[0.75e300, np.finfo("f8").max]])


def test_each_colour_has_its_own_mean():
    flat = np.empty((2, 2, 3))
    flat[...] = [10.0, 20.0, 40.0]
    op = FlatField(flat, color_mode=ColorMode.RGB1)
    raw = np.random.default_rng(1).integers(0, 255, flat.shape, "u1")
    assert op.means == [10, 20, 40]
    np.testing.assert_array_equal(op.apply(raw, {}), raw)
    assert FlatField(flat).means == [pytest.approx(70 / 3)]


@pytest.mark.parametrize("cut", [np.s_[:, ::2], np.s_[::-1], np.s_[4:12]])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4"])
def test_views_with_gaps_and_read_only_frames_are_taken(cut, dtype):
    whole = np.random.default_rng(2).integers(0, 60000, (16, 16)).astype(dtype)
    whole.flags.writeable = False
    raw = whole[cut]
    flat = np.random.default_rng(3).uniform(50, 60, raw.shape)
    np.testing.assert_allclose(FlatField(flat).apply(raw, {}), raw / flat * flat.mean(), rtol=3e-7)


def test_frames_at_an_odd_address_are_taken():
    memory = np.zeros(2 * 4 + 1, "u1")
    raw = memory[1:].view("u2").reshape(2, 2)
    raw[...] = 200
    assert not raw.flags.aligned
    np.testing.assert_allclose(FlatField(FLAT).apply(raw, {}), [[400, 200], [100, 400]])


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4"])
def test_a_frame_can_be_corrected_in_place(dtype):
    raw = np.random.default_rng(4).integers(0, 5000, (32, 32)).astype(dtype)
    op = FlatField(np.random.default_rng(5).uniform(90, 110, raw.shape), output="raw")
    expected = op.apply(raw, {}).copy()
    op.apply_into(raw, raw)
    np.testing.assert_array_equal(raw, expected)


def test_an_image_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(WrongGeometry, match=r"\(4, 4\) came.*\(2, 2\)"):
        FlatField(FLAT).apply(np.zeros((4, 4), "u2"), {})
    with pytest.raises(WrongGeometry, match=r"flat of \(2, 2\).*dark of \(3, 2\)"):
        FlatField(FLAT, np.zeros((3, 2)))
    with pytest.raises(WrongGeometry, match="rgb1"):
        FlatField(FLAT, color_mode=ColorMode.RGB1)


@pytest.mark.parametrize(
    ("value", "why"), [(0, "all pixels are dead"), (np.nan, "all pixels are dead"), (1e308, "beyond float64")]
)
def test_a_flat_without_a_usable_mean_is_refused(value, why):
    with pytest.raises(CalibrationError, match=rf"{why}.*june\.npy"):
        FlatField(np.full((2, 2), value), flat_name="june.npy")


def test_a_colour_without_a_live_pixel_is_refused():
    flat = np.ones((3, 2, 2))
    flat[1] = 0
    with pytest.raises(CalibrationError, match=r"all pixels are dead \(live: \[4, 0, 4\]"):
        FlatField(flat, color_mode=ColorMode.RGB3)


@pytest.mark.parametrize(
    "options", [{"output": "int"}, {"output": "raw", "dead_value": np.nan}, {"dead_value": np.inf}, {"flat": None}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="flat field"):
        FlatField(**{"flat": FLAT, **options})


@pytest.mark.parametrize("dtype", ["f2", "c8", "?"])
def test_other_pixel_types_are_refused(dtype):
    with pytest.raises(TypeError, match=np.dtype(dtype).name):
        FlatField(FLAT).apply(np.zeros((2, 2), dtype), {})


@pytest.mark.parametrize(
    "out", [np.zeros((2, 2)), np.zeros((2, 3), "f4"), np.zeros((2, 4), "f4")[:, ::2], np.zeros((2, 2), ">f4")]
)
def test_memory_that_does_not_fit_is_refused(out):
    with pytest.raises(ValueError, match="write into"):
        FlatField(FLAT).apply_into(np.zeros((2, 2), "u2"), out)


def test_references_are_copied_and_results_reuse_their_memory():
    flat, raw = FLAT.copy(), np.full((2, 2), 200, "u2")
    op = FlatField(flat)
    flat[...] = 0
    first = op.apply(raw, {})
    np.testing.assert_array_equal(first, [[400, 200], [100, 400]])
    assert op.apply(raw + np.uint16(1), {}) is first
    assert first[0, 1] == 201


@pytest.mark.parametrize("output", ["float32", "raw"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_no_memory_is_allocated_per_frame(output, dtype):
    raw = np.random.default_rng(6).integers(0, 60000, (512, 512)).astype(dtype)
    op = FlatField(np.where(raw > 50000, 0.0, 100.0), np.full(raw.shape, 10.5), output=output)
    op.prepare(dtype)
    tracemalloc.start()
    try:
        for _ in range(5):
            op.apply(raw, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < raw.nbytes / 20


def test_other_threads_run_while_a_frame_is_corrected():
    """A thread that waits gets the GIL only where it is released: nothing else makes this one give it up for 10 s."""
    raw = np.ones((1500, 1500), "u2")
    op = FlatField(np.full(raw.shape, 2.0))
    op.prepare("u2")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10)
    try:
        assert any(seen_in_between(lambda: op.apply(raw, {})) for _ in range(100))
    finally:
        sys.setswitchinterval(interval)


def seen_in_between(work) -> bool:
    """Tell whether this thread ran after the other one had begun its work and before it had done it."""
    begun, done = threading.Lock(), []
    begun.acquire()

    def run():
        begun.release()
        work()
        done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    begun.acquire()
    between = not done
    thread.join()
    return between


def test_the_description_says_what_was_done_in_json():
    flat = np.array([[100.0, 300.0], [0.0, 200.0]])
    op = FlatField(flat, np.zeros((2, 2)), flat_name="flat 7", dark_name="dark 3", dead_value=np.nan)
    told = described(op)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told == {
        "name": "FlatField",
        "formula": "I_norm = (I_raw - I_dark) / (I_flat - I_dark) * mean(I_flat - I_dark)",
        "flat_name": "flat 7",
        "dark_name": "dark 3",
        "output": "float32",
        "color_mode": "mono",
        "dead_pixels": 1,
        "dead_value": "nan",
        "means": [200.0],
    }
    assert FlatField(flat).formula == "I_norm = (I_raw / I_flat) * mean(I_flat)"
    assert FlatField(None, flat).describe()["formula"] == "I_norm = I_raw - I_dark"


WITHOUT_CACHE = """
import sys
import numpy as np
from beamstream.ops.flatfield import FlatField
assert "numba" not in sys.modules, "importing the op must not import numba"
op = FlatField(np.full((4, 4), 2.0), output="raw")
op.prepare("u2")
assert (op.apply(np.full((4, 4), 7, "u2"), {}) == 7).all()
print(op._kernels.to_integers.stats.cache_path)
"""


def test_it_works_where_no_machine_code_can_be_kept(tmp_path):
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": "/proc/none",
    }
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_CACHE], env=os.environ | nowhere, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "None"
