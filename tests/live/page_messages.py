"""Messages that no page of ours sends: damaged ones, and those of somebody who means harm. The same each time."""

import json
import random
from collections.abc import Iterator
from typing import Any

NUMBERS = (
    0,
    1,
    -1,
    0.5,
    64,
    1e5,
    1e300,
    -1e300,
    1e-320,
    10**400,
    2**63,
    -(2**64),
    float("nan"),
    float("inf"),
    True,
    None,
)
TEXTS = ("", "1", "a", "\ud800", "\0", "\x1b]0;x\x07", "x" * 3000, "../../x", "line", "rectangle", "ellipse", "é\u202e")
RAW = (
    "", "null", "[]", "{}", "nul", '"', "[" * 3000, '{"a":' * 700, "9" * 4300, "9" * 3900, '{"ack": 1e999}', "\0",
    "é\u2028", '{"ack": 1, "ack": {}}', '{"view": {}, "rate": 1}', '{"do": {}}', '{"do": "stop", "id": [1]}',
    '{"interval": 1e999}', '{"interval": 1' + "0" * 400 + "}",
)  # fmt: skip
KEYS = ("ack", "drawing", "view", "rate", "correct", "cross", "rois", "pause", "do", "id", "interval", "beam", "kind",
        "frames", "directory", "prefix", "format", "row", "col", "rows", "cols", "width", "height", "row2", "col2",
        "shape", "flat", "dark", "pipeline")  # fmt: skip


def _value(rng: random.Random, depth: int = 0) -> Any:
    match rng.randrange(6 if depth < 3 else 3):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2:
            return rng.choice((*TEXTS, "capture", "record", "stop", "flat"))
        case 3:
            return [_value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
        case _:
            return {rng.choice((*KEYS, *TEXTS)): _value(rng, depth + 1) for _ in range(rng.randint(0, 4))}


def _like_ours(rng: random.Random) -> dict[str, Any]:
    """Return a message of the protocol with values that are none."""
    number = lambda: rng.choice((*NUMBERS[:5], rng.choice((*NUMBERS, *TEXTS))))  # noqa: E731
    match rng.randrange(8):
        case 0:
            return {"view": {key: number() for key in ("row", "col", "rows", "cols", "width", "height")}}
        case 1:
            shape = rng.choice(("line", "rectangle", "ellipse", _value(rng)))
            keys = ("row", "col", "rows", "cols", "row2", "col2")
            rois = [
                {"id": number(), "shape": shape, **{key: number() for key in keys}} for _ in range(rng.randint(0, 40))
            ]
            return {"rois": rois}
        case 2:
            return {"cross": [number() for _ in range(rng.randint(0, 3))]}
        case 3:
            return {"ack": number(), "drawing": number()}
        case 4:
            return {rng.choice(("rate", "pause", "interval", "beam", "correct")): number()}
        case 5:
            return {
                "do": "capture",
                "kind": rng.choice(("flat", "no")),
                "frames": rng.choice((0, -1, 10**9, "1")),
                "id": number(),
            }
        case 6:
            return {"do": rng.choice(TEXTS), "id": rng.choice(TEXTS), "directory": rng.choice(TEXTS)}
        case _:
            return {rng.choice(KEYS): _value(rng)}


def messages(number: int, longest: int) -> Iterator[str]:
    """Yield so many, of at most `longest` characters."""
    rng = random.Random(13)
    for index in range(number):
        if index < len(RAW):
            text = RAW[index]
        elif index % 4:
            text = json.dumps(_like_ours(rng))
        else:
            pieces = list(json.dumps(_value(rng)))
            for _ in range(rng.randint(0, 3)):
                at = rng.randrange(len(pieces) + 1)
                pieces[at : at + rng.randint(0, 5)] = rng.choice(("{", "]", '"', ",", "\x00", "9" * 30, "\\ud800"))
            text = "".join(pieces)
        yield text[:longest]
