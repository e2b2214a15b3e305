"""A pipeline's file that is damaged, or written by somebody who means harm, is named with its line and nothing else."""

import functools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing import damaged, failing_with

from beamstream.errors import PipelineError
from beamstream.pipeline import Pipeline, known
from beamstream.pipeline.document import parsed
from beamstream.pipeline.entries import entries_of
from beamstream.pipeline.files import check

GOOD: dict[str, Any] = {
    "processors": [
        {"name": "smooth", "module": "median", "kwargs": {"kernel_size": 3}},
        {"name": "cut", "module": "crop", "kwargs": {"row": 1, "column": 2}, "enabled": False},
    ]
}
FUNCTIONS: dict[str, Any] = {
    "processors_dir": "processors",
    "hot_reload": True,
    "pipeline": [{"name": "a", "module": "gaussian", "params": {"sigma": 1.5}, "enabled": True}],
}
TEXTS = (
    "", "median", "no_such", "../x", "/etc/passwd", "a\0b", "\x1b]0;x\x07", "[/x]", "x" * 5000, "é", "a.b.c", "..",
    ".", "\ud800",
)  # fmt: skip
NUMBERS = (0, -1, 1, 3, 2**31, 2**63, 10**400, 1.5, 1e308, -0.0, float("nan"), float("inf"), True, False, None)
KEYS = (
    "name", "module", "class", "kwargs", "params", "enabled", "processors", "pipeline", "hot_reload",
    "processors_dir", "_x",
)  # fmt: skip
RAW = (
    "", "[", "{", "null", "nul", '"', "[" * 2000, '{"a":' * 500, "[" * 700 + "]" * 700, "9" * 5000, "// x", "{'a': 1}",
    "[1,]", "\ufeff{}", '{"processors": ' + "[" * 450 + "]" * 450 + "}", '{"processors": [], "processors": []}', "NaN",
    '{"pipeline": [NaN, -Infinity]}',
)  # fmt: skip
PIECES = (*map(str.encode, RAW), *map(str.encode, '\0\t\n\x1b",[]{}\u2028é'), b"\xff")


def _value(rng: random.Random, depth: int = 0) -> Any:
    match rng.randrange(6 if depth < 4 else 3):
        case 0:
            return rng.choice(TEXTS)
        case 1 | 2:
            return rng.choice(NUMBERS)
        case 3:
            return [_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
        case _:
            return {rng.choice((*KEYS, *TEXTS)): _value(rng, depth + 1) for _ in range(rng.randint(0, 4))}


def _entry(rng: random.Random, options: dict[str, list[str]]) -> Any:
    if rng.random() < 0.1:
        return _value(rng)
    module = rng.choice((*options, *TEXTS))
    keys = [*options.get(module, ()), *TEXTS[:3], "kernel_size", "sigma", "path", "row"]
    entry: dict[str, Any] = {"name": rng.choice(TEXTS), "module": module}
    entry[rng.choice(("kwargs", "params"))] = {rng.choice(keys): _value(rng) for _ in range(rng.randint(0, 3))}
    for _ in range(rng.randint(0, 2)):
        entry[rng.choice(KEYS)] = _value(rng)
    return entry


def cases(number: int) -> Iterator[bytes]:
    """Yield the same cases each time."""
    rng = random.Random(13)
    ours = {name: one.load() for name, one in sorted(known.known().items()) if name != "publish"}  # which would listen
    options = {name: [option.name for option in known.options(made)] for name, made in ours.items()}
    for index in range(number):
        if index < len(RAW):
            yield RAW[index].encode()
        elif index % 2:
            yield damaged(rng, json.dumps(rng.choice((GOOD, FUNCTIONS)), indent=1).encode(), PIECES)
        else:
            schema = rng.choice(("processors", "pipeline"))
            entries = [_entry(rng, options) for _ in range(rng.randint(0, 3))]
            yield json.dumps(
                {schema: entries, **({rng.choice(KEYS): _value(rng)} if rng.random() < 0.3 else {})}
            ).encode()


def test_ten_thousand_damaged_pipelines_are_read_or_complained_of(tmp_path, little_memory):
    file, seen = tmp_path / "pipeline.json", {True: 0, False: 0}
    for data in cases(10_000):
        with failing_with(data):
            document = parsed(file, data)
            entries_of(document)
        seen[bool(document.complaints)] += 1
        assert all(one.message and len(one.at(Path("f"))) < 2000 for one in document.complaints)
    assert seen[True] > 5000
    assert seen[False] > 200


def test_processors_are_made_of_what_is_asked_for_or_complained_of(tmp_path, monkeypatch):
    monkeypatch.setattr(known, "entry_points", functools.cache(known.entry_points))  # 35 ms each time
    file, built = tmp_path / "pipeline.json", 0
    for data in cases(600):
        file.write_bytes(data)
        with failing_with(data):
            built += len(check(file).built)
    assert built > 10


def test_what_is_wrong_with_a_hostile_pipeline_is_plain_text_in_the_error(tmp_path):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps({"processors": [{"name": "\x1b]0;x\x07", "module": "no\x9bsuch"}]}))
    with pytest.raises(PipelineError) as raised:
        Pipeline.load(file)
    assert str(raised.value).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("piece", "times"),
    [(b"[", 50_000_000), (b"0,", 120_000), (b"[", 120_000), (b'"x":0,\n', 30_000)],
    ids=["huge", "wide", "deep", "keys"],
)
def test_a_large_pipeline_takes_neither_long_nor_memory_to_speak_of(tmp_path, little_memory, piece, times):
    file = tmp_path / "pipeline.json"
    inside = piece * times
    begin, end = (b'[{"name": "a", "kwargs": {', b'"x":0}}]') if piece[:1] == b'"' else (b"[", b"0]")
    file.write_bytes(b'{"processors": ' + begin + inside + end + b"}")
    assert check(file).document.complaints
