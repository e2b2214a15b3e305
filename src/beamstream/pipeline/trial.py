"""Try processors on one frame: what goes in, what comes out, how long it takes."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import ProcessorFailed
from beamstream.pipeline.processor import Processor

_ROUNDS = 3
"""The first loads libraries and compiles; an op with a memory needs two."""


@dataclass
class Step:
    """What one processor did.

    Parameters
    ----------
    taken, made : tuple
        Shape and dtype that went in and came out; None where it was not reached, or failed.
    ms : float or None
        Milliseconds, the fastest of three frames.
    error : str or None
    """

    name: str
    taken: tuple[tuple[int, ...], str] | None = None
    made: tuple[tuple[int, ...], str] | None = None
    ms: float | None = None
    error: str | None = None


def gradient(shape: Sequence[int], dtype: str) -> NDArray[Any]:
    """Return an image that rises pixel by pixel, up to half of what its integer type holds; floats up to 1."""
    top = np.iinfo(dtype).max // 2 if np.dtype(dtype).kind in "ui" else 1
    return np.linspace(0, top, math.prod(shape)).reshape(shape).astype(dtype)


def try_out(processors: Iterable[Processor], image: NDArray[Any]) -> list[Step]:
    """Send the same image through the processors a few times; return what each did, up to the first failure."""
    processors = list(processors)
    steps = [Step(processor.name) for processor in processors]
    for uid in range(1, _ROUNDS + 1):
        meta = {"uid": uid, "timestamp": time.time(), "received": time.time(), "source": "trial", "attributes": {}}
        taken = image
        for processor, step in zip(processors, steps, strict=True):
            step.taken = taken.shape, str(taken.dtype)
            start = time.perf_counter()
            try:
                taken = processor.apply(taken, meta)
            except ProcessorFailed as error:
                step.error, step.made = str(error), None
                return steps
            ms = 1000 * (time.perf_counter() - start)
            step.made = taken.shape, str(taken.dtype)
            step.ms = ms if step.ms is None else min(step.ms, ms)
    return steps
