"""How pixels become 8 bit: by the rule, to the nearest, and never around the corner."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamstream.errors import PipelineError
from beamstream.ops.eight_bit import EightBit


@pytest.mark.parametrize("text", ["as-is", "shift:8", "window:0:4095", "window:-10:10.5"])
def test_a_rule_is_read_as_it_is_written(text):
    assert EightBit.parse(text).text == text
    assert EightBit.parse(text).describe() == {"rule": text}


@pytest.mark.parametrize(
    "text", ["", "raw", "shift", "shift:-1", "shift:x", "window:5", "window:5:5", "window:9:1", "window:0:nan"]
)
def test_what_is_no_rule_is_refused_with_those_there_are(text):
    with pytest.raises(PipelineError, match=r"give as-is .* shift:BITS, or window:LOW:HIGH"):
        EightBit.parse(text)


@pytest.mark.parametrize(
    ("rule", "dtype", "advice"),
    [
        ("as-is", "<u2", "shift:8 or window"),
        ("as-is", "<f4", "give window"),
        ("as-is", "|i1", "give window"),
        ("shift:4", "<u2", "12 bits of them remain; give shift:8"),
        ("shift:17", "<u2", "0 bits of them remain"),
        ("shift:8", "<i2", "give window"),
        ("window:0:1", "<c8", "give integers or floats"),
    ],
)
def test_pixels_that_a_rule_would_spoil_are_refused(rule, dtype, advice):
    with pytest.raises(PipelineError, match=advice):
        EightBit.parse(rule).apply(np.zeros((2, 3), dtype))


def test_as_is_copies_nothing():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert EightBit.parse("as-is").apply(images) is images


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<u4", "|u1"])
def test_shift_drops_the_lowest_bits(dtype):
    bits = 8 * np.dtype(dtype).itemsize - 8
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (3, 400, 500), np.dtype(dtype).newbyteorder("="))
    mapped = EightBit.parse(f"shift:{bits}").apply(values.astype(dtype))
    assert mapped.dtype == np.uint8
    assert np.array_equal(mapped, values // (1 << bits))


@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">u2", "<i2", "<u4", "<i8", "<f4", ">f8"])
@settings(max_examples=20)
@given(low=st.integers(-1000, 1000), width=st.integers(1, 5000))
def test_a_window_is_linear_rounded_and_clipped(dtype, low, width):
    span = np.linspace(-1500, 7000, 300)
    if np.dtype(dtype).kind in "ui":
        span = np.clip(np.rint(span), np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = span.astype(dtype)
    mapped = EightBit.parse(f"window:{low}:{low + width}").apply(values)
    exact = np.clip((values.astype(float) - low) * 255 / width, 0, 255)
    assert np.all(np.abs(mapped.astype(float) - exact) <= 0.5 + 1e-9)
    assert np.all(np.diff(mapped.astype(int)) >= 0)


def test_what_is_no_number_is_black():
    values = np.array([np.nan, np.inf, -np.inf, 1.0], np.float32)
    assert EightBit.parse("window:0:2").apply(values).tolist() == [0, 255, 0, 128]


def test_images_that_are_not_contiguous_keep_their_shape():
    values = np.random.default_rng(1).integers(0, 4096, (4, 6, 8), np.uint16)
    rule = EightBit.parse("window:0:4095")
    assert np.array_equal(rule.apply(values[:, ::2, ::-1]), rule.apply(values)[:, ::2, ::-1])
