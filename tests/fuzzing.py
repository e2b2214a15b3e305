"""Damaged files: what several rooms give to their parsers, the same each time."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest


def damaged(rng: random.Random, good: bytes, pieces: Sequence[bytes]) -> bytes:
    """Return a file with up to six faults: pieces put in, parts cut out, changed or repeated."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice(pieces)
            case 1:
                del data[at : at + rng.randint(1, 40)]
            case 2:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case _:
                data[at:at] = data[rng.randrange(len(data)) :][: rng.randint(1, 200)] if data else pieces[0]
    return bytes(data)


@contextmanager
def failing_with(data: bytes) -> Iterator[None]:
    """Fail with the case that raised an error."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error} from {data[:2000]!r}")
