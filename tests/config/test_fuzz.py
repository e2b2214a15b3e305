"""A configuration that is damaged, or written by somebody who means harm, is an error in words and nothing else."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from fuzzing import damaged, failing_with
from pydantic import BaseModel

from beamstream.config import Config, load
from beamstream.config.devices import KINDS
from beamstream.config.reading import parsed
from beamstream.errors import ConfigurationError

PROFILE = Path(__file__).resolve().parents[2] / "profile" / "beamstream.toml"
VALUES = (
    '""', '"x"', '"~nobody/x"', '"~"', '"a\\u0000b"', '"\\u001b]0;x\\u0007"', '"[/x]"', '"' + "x" * 5000 + '"',
    "'''\n'''", '"zmq://"', '"zmq://h:99999999999"', '"http://[::1"', '"http://a:b@c/"', '"tcp://*:*"', '"pva://"',
    '"/proc/self/mem"', '"."', "0", "-1", "1", "65536", "1e308", "-1e-320", "nan", "inf", "-inf", "9" * 4000,
    "9" * 5000, "0x" + "f" * 999, "1_000", "true", "false", "1979-05-27T07:32:00Z", "1979-05-27", "07:32:00", "[]",
    "[1, 'a', nan]", "[[[[1]]]]", "{}", "{a = 1}", "{kind = 1}", "{kind = []}", "[{}]", "[" * 90 + "]" * 90,
    "[" * 5000, "[" * 3000 + "]" * 3000, "{a.b.c.d = {e = []}}",
)  # fmt: skip
KEYS = (
    "x", '""', '"a b"', '"\\u001b[2J"', "api_key", "a.b.c", '"["', "'é'", "__class__", "__proto__", "file",
    "model_fields",
)  # fmt: skip
PIECES = (
    b"\x00", b"\xff", b"\x1b", b"\r", b"\n", b'"', b"'''", b"[", b"]", b"{", b"=", b".", b"#", b"\xf0\x9f",
    b"\xed\xa0\x80", b"= = ",
    *map(str.encode, VALUES),
)  # fmt: skip


def _models(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield every section of the configuration with its keys."""
    yield path, list(model.model_fields)
    for name, field in model.model_fields.items():
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield from _models(each, (*path, name))


SECTIONS = [*_models(Config), *((("devices", f"d{kind}"), ["kind", *m.model_fields]) for kind, m in KINDS.items())]


def _structured(rng: random.Random) -> bytes:
    lines: list[str] = []
    for path, keys in rng.sample(SECTIONS, rng.randint(1, 3)):
        header = ".".join(path if rng.random() < 0.9 else (*path, rng.choice(KEYS)))
        lines += [rng.choice(("[{}]", "[{}]", "[[{}]]")).format(header)] if header else []
        if path[:1] == ("devices",) and rng.random() < 0.8:
            lines.append(f'kind = "{path[1][1:]}"')
        lines += [f"{rng.choice((*keys, rng.choice(KEYS)))} = {rng.choice(VALUES)}" for _ in range(rng.randint(0, 4))]
    return "\n".join(lines).encode()


def cases(number: int) -> Iterator[bytes]:
    """Yield the same cases each time."""
    rng, good = random.Random(13), PROFILE.read_bytes()
    for index in range(number):
        yield _structured(rng) if index % 2 else damaged(rng, good, PIECES)


def outcome(file: Path, data: bytes) -> str:
    """Return what came of a file: its options, or a sentence that begins with its name."""
    try:
        assert isinstance(parsed(file, data), Config)
    except ConfigurationError as error:
        words = str(error)
    else:
        return "read"
    assert words.startswith(f"{file}:"), words
    assert len(words) > len(f"{file}") + 10
    assert words.replace("\n", "").replace("\t", "").isprintable()
    return "refused"


def test_ten_thousand_damaged_configurations_are_read_or_refused_in_a_sentence(tmp_path, little_memory):
    seen: dict[str, int] = {}
    for data in cases(10_000):
        with failing_with(data):
            what = outcome(tmp_path / "beamstream.toml", data)
        seen[what] = seen.get(what, 0) + 1
    assert seen["refused"] > 5000
    assert seen["read"] > 200


@pytest.mark.parametrize(
    ("piece", "times"),
    [
        (b"x = 1\n", 1_000_000),
        (b"#", 50_000_000),
        (b"a = [" + b"[", 500_000),
        (b"a.", 100_000),
        (b"[b\n", 100_000),
        (b"a = 'x'", 150_000),
    ],
    ids=["long", "huge", "deep", "dotted", "headers", "text"],
)
def test_a_large_configuration_takes_neither_long_nor_memory_to_speak_of(tmp_path, little_memory, piece, times):
    file = tmp_path / "beamstream.toml"
    file.write_bytes(piece * times)
    with pytest.raises(ConfigurationError):
        load(file)
