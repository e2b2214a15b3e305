"""Whatever a publisher sends is counted and named, nothing of it ends the stream, and the good messages arrive."""

import ctypes
import json
import logging
from random import Random
from typing import Any

import orjson
import psutil
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from spectra_peers import SHAPE, a_message, values

EXAMPLES, MESSAGES = 25, 420  # and as many good ones between them
DATA = values(0)
OURS = 424242  # the time_tag of the good ones
KINDS = {"parts", "topic", "header", "shape", "dtype", "size", "time_tag", "timestamp", "last_block_time", "sequence"}
LITTLE = 10e6  # bytes
RETURN_FREE_MEMORY = ctypes.CDLL(None).malloc_trim

TOPIC, HEADER, VALUES = a_message()
SAID: dict[str, Any] = orjson.loads(HEADER) | {"data_type": "<f4"}

WRONG = [orjson.dumps(SAID | {key: {}}) for key in SAID]  # each key once at least

numbers = (
    st.integers(-(2**80), 2**80) | st.floats() | st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0])
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
times = st.sampled_from(
    ["", "0000-00-00", "9999-12-31 23:59:59.999999", "0001-01-01 00:00:00+23:59", "2025-01-01", "٢٠٢٥"]
)
dtypes = st.sampled_from(
    [">f4", ">f8", "float32", "f4", "<c8", "O", "|V8", "<M8[s]", "<U1", "i4,f4", "(2,)f4", "<f16", "\0"]
)
shapes = st.lists(st.sampled_from([0, 1, 2, 4, 32, 128, -1, 1.0, True, None, "1", 2**31, 2**62, 10**30]), max_size=5)


def some(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.lists(strategy, min_size=10, max_size=30)


def deep(key: str, depth: int) -> bytes:
    """Return a header with one value that is very deep."""
    return HEADER[:-1] + b',"' + key.encode() + b'":' + b"[" * depth + b"]" * depth + b"}"


headers = st.one_of(
    st.integers(0, len(HEADER) - 1).map(lambda n: HEADER[:n]),
    st.integers(1, 40_000).map(lambda n: HEADER[:-1] + b" " * n + b"}"),
    st.builds(deep, st.sampled_from([*SAID, "other"]), st.sampled_from([10, 500, 990, 1010, 1023, 1030, 8000])),
    st.builds(lambda key, value: json.dumps(SAID | {key: value}).encode(), st.sampled_from(list(SAID)), json_values),
    st.builds(lambda value: json.dumps(SAID | {"data_shape": value}).encode(), shapes),
    st.builds(lambda value: json.dumps(SAID | {"data_type": value}).encode(), dtypes),
    st.builds(lambda value: json.dumps(SAID | {"last_block_time": value}).encode(), times),
    st.sampled_from(list(SAID)).map(lambda key: orjson.dumps({k: v for k, v in SAID.items() if k != key})),
    st.builds(lambda key, value: orjson.dumps(SAID | {key: value}), st.text(max_size=5), st.text(max_size=5)),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=50),
)
topics = st.binary(max_size=5).map(TOPIC.__add__)
payloads = st.integers(0, 2 * len(VALUES)).map(bytes) | st.sampled_from([2**16, 2**20]).map(bytes)


def mutated(random: Random, topics: list[bytes], headers: list[bytes], payloads: list[bytes]) -> list[bytes]:
    """Return a message with something wrong, mostly, out of what hypothesis thought of."""
    parts = [TOPIC, HEADER, VALUES]
    match random.randrange(10):
        case 0:
            parts[0] = random.choice(topics)
        case 1:
            parts[2] = random.choice(payloads)
        case 2:
            return (parts * 3)[: random.choice([1, 2, 4, 5, 9])]
        case 3:
            return [*parts, *[b""] * random.randrange(300)]
        case 4:
            return [TOPIC, *random.choices(payloads + headers, k=random.randrange(5))]
        case 5:
            at = random.randrange(len(HEADER))
            parts[1] = HEADER[:at] + random.randbytes(random.randrange(3)) + HEADER[at + random.randrange(4) :]
        case 6:
            parts[1:] = random.choice(headers), random.choice(payloads)
        case _:
            parts[1] = random.choice(headers)
    return parts


def test_ten_thousand_messages_of_every_kind_are_counted_and_named_and_do_no_harm(
    publisher, subscribe, listener, wait_for, caplog
):
    source = subscribe(publisher)
    sent = good = 0
    last: list[list[bytes]] = []

    def exchange(wrong: list[list[bytes]]) -> None:
        """Send them with a good one after each, and see that all are accounted for."""
        nonlocal sent, good
        first = good
        for parts in wrong:
            publisher.send_parts(parts)
            publisher.send(good, DATA, time_tag=OURS)
            good += 1
        sent += 2 * len(wrong)
        counters = source.counters
        wait_for(lambda: counters.messages == sent, what=f"{sent} messages, {counters}")
        arrived = [frame for frame in listener.frames if frame.attributes["time_tag"] == OURS]
        assert [frame.unique_id for frame in arrived] == list(range(first, good))
        assert {frame.geometry.shape for frame in arrived} == {SHAPE}
        assert listener.failures == []
        assert counters.frames + counters.repeated + counters.malformed == sent
        assert sum(counters.malformed_kinds.values()) == counters.malformed
        del listener.frames[:], listener.errors[:], listener.missing[:]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(some(topics), some(headers), some(payloads), st.integers(0, 2**32))
    def batch(topics: list[bytes], headers: list[bytes], payloads: list[bytes], seed: int) -> None:
        random = Random(seed)
        last[:] = [mutated(random, topics, headers + WRONG, payloads) for _ in range(MESSAGES)]
        exchange(last)

    with caplog.at_level(logging.WARNING):
        batch()
    assert good >= 10_000
    assert set(source.counters.malformed_kinds) == KINDS
    named = [record.getMessage() for record in caplog.records if record.name == "beamstream.sources.spectra"]
    assert len(named) == len(KINDS)  # each kind once
    assert max(len(text) for text in named) < 500
    assert listener.connections == []

    sizes = []
    for _ in range(12):
        exchange(last)
        RETURN_FREE_MEMORY(0)  # how much lies between the threads that send and receive is another amount each time
        sizes.append(psutil.Process().memory_info().rss)
    assert min(sizes[-3:]) < max(sizes[:4]) + LITTLE
