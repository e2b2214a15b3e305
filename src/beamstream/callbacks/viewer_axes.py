"""What a start document holds about the dimensions of a run, and where in them an event is."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

TIME = "time"


class RunAxes:
    """Return which axes the images of a run have: the motors of a scan, or time.

    Parameters
    ----------
    start : Mapping
        The run's start document.
    """

    def __init__(self, start: Mapping[str, Any]) -> None:
        self._dimensions = _dimensions(start)
        shape = _whole_numbers(start.get("shape"))
        gridded = len(shape) == len(self._dimensions) and prod(shape) == start.get("num_points", prod(shape))
        self._shape = shape if gridded and len(shape) > 1 else ()
        snaking = start.get("snaking")
        self._snaking = snaking if isinstance(snaking, Sequence) and len(snaking) == len(self._shape) else ()

    def placed(self, descriptor: Mapping[str, Any]) -> bool:
        """Return whether events of a stream have the places of its images."""
        return bool(self._dimensions) and all(field in descriptor["data_keys"] for field in self.fields)

    @property
    def fields(self) -> list[str]:
        """The data keys that the dimensions are of."""
        return [field for fields in self._dimensions for field in fields]

    def axes(self, descriptor: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return name and size of each axis, slowest first; a size of 0: it grows."""
        if not self.placed(descriptor):
            return [{"name": TIME, "size": 0}]
        names = [", ".join(fields) for fields in self._dimensions]
        if self._shape:
            return [{"name": name, "size": size} for name, size in zip(names, self._shape, strict=True)]
        return [{"name": ", ".join(names), "size": 0}]

    def place(self, seq_num: int) -> list[int]:
        """Return where on the axes an event is."""
        if not self._shape:
            return [seq_num - 1]
        index = np.unravel_index((seq_num - 1) % prod(self._shape), self._shape)
        place = [int(i) for i in index]
        for axis, (size, snakes) in enumerate(zip(self._shape, self._snaking, strict=False)):
            sweep = (seq_num - 1) // prod(self._shape[axis:])  # how often this axis was gone along before
            if snakes and sweep % 2:
                place[axis] = size - 1 - int(index[axis])
        return place

    def units(self, descriptor: Mapping[str, Any]) -> dict[str, str]:
        """Return the units of the fields, of those that have some."""
        found = {field: descriptor["data_keys"].get(field, {}).get("units") for field in self.fields}
        return {field: str(unit)[:40] for field, unit in found.items() if unit}


def _dimensions(start: Mapping[str, Any]) -> list[list[str]]:
    """Return the data keys of each dimension, without those that are only time; what is no such hint is none."""
    try:
        hinted = start.get("hints", {}).get("dimensions", ())
        found = [[str(field) for field in fields] for fields, _stream in hinted]
    except (AttributeError, TypeError, ValueError):
        return []
    return [fields for fields in found if fields and fields != [TIME]]


def _whole_numbers(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, Sequence) or not all(isinstance(n, int) and n > 0 for n in shape):
        return ()
    return tuple(shape)
