"""What ops are told when they are made: checked there, said again in their description."""

import inspect
import math
import numbers
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from beamstream.errors import PipelineError


class Described:
    """Describe an op by its options: each is kept in an attribute of its name."""

    PATHS: tuple[str, ...] = ()
    """Options that are files; a pipeline's file starts them at its own directory."""

    def describe(self) -> dict[str, Any]:
        """Return the options in values that JSON can carry; an array by its shape and type."""
        return {name: _plain(getattr(self, name)) for name in inspect.signature(type(self)).parameters}


def whole(op: str, option: str, value: object, *, least: int) -> int:
    """Return `value` as an int of at least `least`.

    Raises
    ------
    PipelineError
        It is none; the text names op and option. So do all functions here.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise wrong(op, option, value, f"give a whole number, {least} or more")
    return int(value)


def number(op: str, option: str, value: Any, *, above: float = -math.inf) -> int | float:
    """Return `value` as a finite int or float greater than `above`."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value <= above:
        raise wrong(op, option, value, "give a finite number" + (f" above {above:g}" if math.isfinite(above) else ""))
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def one_of(op: str, option: str, value: object, known: Iterable[str]) -> str:
    """Return `value`, one of the words in `known`."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise wrong(op, option, value, f"give one of {', '.join(known)}")
    return value


def wrong(op: str, option: str, value: object, advice: str) -> PipelineError:
    """Return the error for an option that cannot be."""
    return PipelineError(f"{op}: {option} = {value!r} asked for; {advice}")


def named(value: object) -> str:
    """Return what a file or an array is called."""
    if isinstance(value, np.ndarray):
        return f"array of {' × '.join(map(str, value.shape))} {value.dtype}"
    return str(value)


def _plain(value: object) -> Any:
    return named(value) if isinstance(value, np.ndarray | Path) else value
