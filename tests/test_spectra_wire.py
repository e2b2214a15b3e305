"""Messages of spectra: written as the recorder writes them, read back exactly, and anything else refused by name."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from beamstream.errors import MalformedFrame, MalformedMessage
from beamstream.spectra_wire import MOST_BYTES, TOPIC, block_time_text, decode, encode, time_of_tag

TAG, TAG_TIME = 344085352899674112, datetime(2025, 8, 18, 17, 18, 34, 794256, tzinfo=UTC).timestamp()
VALUES = np.arange(24, dtype="<f4").reshape(2, 3, 4)
HEADER: dict[str, Any] = {
    "time_tag": TAG,
    "nbeam": 2,
    "nchan": 3,
    "npol": 4,
    "timestamp": 1755537515.25,
    "last_block_time": "2025-08-18 17:18:34.794256",
    "data_shape": [2, 3, 4],
    "data_type": "<f4",
}
DTYPES = ("<f4", ">f4", "<f8", ">f8", "<f2", "<i2", "<u2", "<i4", "<u4", "|i1", "|u1")
microseconds = st.integers(-(10**15), 10**16)


def message(values: bytes = VALUES.tobytes(), **changes) -> list[bytes]:
    """Return the recorder's message with some keys changed; those that become `...` are left out."""
    header = {key: value for key, value in (HEADER | changes).items() if value is not ...}
    return [TOPIC, orjson.dumps(header), values]


def kind_of(parts: list[bytes]) -> str:
    with pytest.raises(MalformedMessage) as caught:
        decode(parts)
    return caught.value.kind


def test_the_recorders_message_is_understood():
    spectrum = decode(message())
    np.testing.assert_array_equal(spectrum.values, VALUES)
    assert not spectrum.values.flags.writeable
    assert (spectrum.time_tag, spectrum.timestamp, spectrum.sequence) == (TAG, 1755537515.25, None)
    assert spectrum.last_block_time == pytest.approx(TAG_TIME, abs=1e-6)


def test_what_is_written_without_a_count_is_the_recorders_message_to_the_letter():
    parts = encode(VALUES, time_tag=TAG, timestamp=1755537515.25, last_block_time=TAG_TIME)
    assert [bytes(part) for part in parts] == message()


def test_our_count_is_one_key_more():
    _, header, _ = encode(VALUES, time_tag=TAG, timestamp=1755537515.25, last_block_time=TAG_TIME, sequence=7)
    assert orjson.loads(header) == HEADER | {"sequence": 7}


def test_values_are_not_copied_into_the_message():
    values = np.zeros((1, 4, 1), "<f4")
    parts = encode(values, time_tag=0, timestamp=0.0, last_block_time=0.0)
    values[:] = 5
    np.testing.assert_array_equal(decode([bytes(part) for part in parts]).values, values)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(st.sampled_from(DTYPES).map(np.dtype), st.tuples(*[st.integers(1, 5)] * 3)),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-62_135_596_800, 253_402_300_799),  # the years 1 to 9999
    microseconds,
    st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_every_message_reads_back_as_it_was_written(values, tag, timestamp, block, sequence):
    block_time = block / 1e6
    parts = encode(values, time_tag=tag, timestamp=timestamp, last_block_time=block_time, sequence=sequence)
    spectrum = decode([bytes(part) for part in parts])
    assert spectrum.values.tobytes() == values.tobytes()  # NaN and all
    assert (spectrum.values.shape, spectrum.values.dtype) == (values.shape, values.dtype)
    assert (spectrum.time_tag, spectrum.timestamp, spectrum.sequence) == (tag, timestamp, sequence)
    assert spectrum.last_block_time == pytest.approx(block_time, abs=2e-6)


def test_a_time_tag_counts_ticks_of_196_mhz():
    assert time_of_tag(TAG) == pytest.approx(TAG_TIME, abs=1e-6)


@pytest.mark.parametrize(
    ("time", "text"),
    [(1755537514.0, "2025-08-18 17:18:34"), (1755537514.5, "2025-08-18 17:18:34.500000"), (0.0, "1970-01-01 00:00:00")],
)
def test_a_time_has_a_fraction_only_where_there_are_microseconds(time, text):
    assert block_time_text(time) == text
    assert decode(message(last_block_time=text)).last_block_time == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-08-18T17:18:34", 1755537514.0),
        ("2025-08-18 17:18:34+00:00", 1755537514.0),
        ("2025-08-18 19:18:34+02:00", 1755537514.0),
        (None, 1755537515.25),
        (..., 1755537515.25),
    ],
)
def test_other_spellings_of_the_time_are_read_and_none_is_the_messages_own(text, time):
    assert decode(message(last_block_time=text)).last_block_time == time


def test_sizes_that_only_the_shape_says_are_enough():
    assert decode(message(nbeam=..., nchan=..., npol=...)).values.shape == (2, 3, 4)


def test_names_of_dtypes_are_understood_like_their_codes():
    assert decode(message(data_type="float32")).values.dtype == np.dtype("<f4")


def test_keys_that_nobody_knows_do_no_harm():
    assert decode(message(pols=["XX", "YY", "XY_real", "XY_imag"], deep={"a": [1] * 10})).values.shape == (2, 3, 4)


WRONG_HEADERS: list[tuple[str, dict[str, Any]]] = [
    ("shape", {"data_shape": ...}),
    ("shape", {"data_shape": [2, 3]}),
    ("shape", {"data_shape": [2, 3, 0]}),
    ("shape", {"data_shape": [2, -3, -4]}),
    ("shape", {"data_shape": [2, 3.0, 4]}),
    ("shape", {"data_shape": [True, 6, 4]}),
    ("shape", {"data_shape": "[2, 3, 4]"}),
    ("shape", {"nchan": 4}),
    ("shape", {"npol": "4"}),
    ("dtype", {"data_type": ...}),
    ("dtype", {"data_type": "O"}),
    ("dtype", {"data_type": "<U3"}),
    ("dtype", {"data_type": "<c8"}),
    ("dtype", {"data_type": ["f4"]}),
    ("size", {"data_type": "<f8"}),
    ("size", {"data_shape": [2, 3, 5], "npol": 5}),
    ("size", {"data_shape": [2**30, 2**30, 2**30], "nbeam": ..., "nchan": ..., "npol": ...}),
    ("time_tag", {"time_tag": ...}),
    ("time_tag", {"time_tag": 1.5}),
    ("time_tag", {"time_tag": 2**64 - 1}),
    ("time_tag", {"time_tag": True}),
    ("timestamp", {"timestamp": ...}),
    ("timestamp", {"timestamp": "now"}),
    ("timestamp", {"timestamp": math.nan}),
    ("timestamp", {"timestamp": 1e308}),
    ("timestamp", {"timestamp": -(10**12)}),
    ("last_block_time", {"last_block_time": "yesterday"}),
    ("last_block_time", {"last_block_time": 1755537514.0}),
    ("last_block_time", {"last_block_time": "2025-02-30 00:00:00"}),
    ("last_block_time", {"last_block_time": "0001-01-01 00:00:00+23:59"}),
    ("last_block_time", {"last_block_time": "9999-12-31 23:59:59-23:59"}),
    ("sequence", {"sequence": "7"}),
    ("sequence", {"sequence": None}),
    ("sequence", {"sequence": 2**63}),
]
WRONG_MESSAGES: list[tuple[str, list[bytes]]] = [
    ("parts", []),
    ("parts", message()[:2]),
    ("parts", [*message(), b""]),
    ("topic", [b"Data", *message()[1:]]),
    ("topic", [b"data2", *message()[1:]]),
    ("header", [TOPIC, b"", b""]),
    ("header", [TOPIC, b"[1, 2]", b""]),
    ("header", [TOPIC, b'{"a": NaN}', b""]),
    ("header", [TOPIC, b'{"a": 1e999}', b""]),
    ("header", [TOPIC, b"\xff\xfe", b""]),
    ("header", [TOPIC, b'{"a": "\\ud800"}', b""]),
    ("header", [TOPIC, b"[" * 10_000, b""]),
    ("header", [TOPIC, message()[1] + b" " * 2**14, VALUES.tobytes()]),
    ("header", [TOPIC, message()[1][:-1], VALUES.tobytes()]),
    ("size", message(b"")),
    ("size", message(VALUES.tobytes()[:-1])),
    ("size", message(VALUES.tobytes() + b"\0")),
]


def test_a_header_that_is_wrong_is_refused_by_the_name_of_what_is_wrong():
    assert [(kind_of(message(**changes)), changes) for _, changes in WRONG_HEADERS] == WRONG_HEADERS


def test_a_message_that_is_none_is_refused_by_the_name_of_what_is_wrong():
    assert [(kind_of(parts), parts) for _, parts in WRONG_MESSAGES] == WRONG_MESSAGES


def test_a_header_does_not_make_us_allocate_what_it_announces():
    assert MOST_BYTES < 2**30
    with pytest.raises(MalformedMessage, match=r"announces \d+ bytes"):
        decode(message(data_shape=[1, 2**40, 4], nbeam=1, nchan=2**40))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=60) | st.sampled_from(message()), max_size=5))
def test_no_bytes_raise_anything_but_a_malformed_message(parts):
    refused = None
    try:
        decode(parts)
    except MalformedMessage as error:
        refused = error
    assert refused is None or (refused.kind and isinstance(refused, MalformedFrame) and len(str(refused)) < 500)
