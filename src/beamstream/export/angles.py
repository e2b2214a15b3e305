"""Which of the numbers beside the frames of a run is the angle that the sample was turned to."""

from collections.abc import Mapping, Sequence
from typing import Any

from beamstream.errors import ArchiveError
from beamstream.sinks.hdf5_layout import Column
from beamstream.sinks.units import degrees, length

_WORDS = ("theta", "rot", "omega", "angle", "phi")


def scanned(start: Mapping[str, Any], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the columns of what a run scanned, slowest first."""
    known = {column.name for column in columns}
    hints = start.get("hints")
    dimensions = hints.get("dimensions") if isinstance(hints, Mapping) else None
    if not isinstance(dimensions, Sequence) or isinstance(dimensions, str):
        return ()
    fields = (fields for dimension in dimensions for fields in _first(dimension))
    return tuple(dict.fromkeys(field for field in fields if isinstance(field, str) and field in known))


def _first(dimension: Any) -> Sequence[Any]:
    """Return the fields of a dimension, which is a pair of them and a stream."""
    fields = dimension[0] if isinstance(dimension, Sequence) and dimension else ()
    return fields if isinstance(fields, Sequence) and not isinstance(fields, str) else ()


def theta(start: Mapping[str, Any], columns: Sequence[Column], asked: str | None = None) -> Column | None:
    """Return the column that is the angle; None where there is none, or where it is not clear which one.

    The one that is asked for; otherwise of what the run scanned, or of all numbers where it scanned nothing, the only
    one in a unit of angles, or without a unit and called like one; otherwise the only one that was scanned.

    Raises
    ------
    ArchiveError
        There is no column that is asked for.
    """
    by_name = {column.name: column for column in columns if not column.name.endswith("_setpoint")}
    if asked is not None:
        every = {column.name: column for column in columns}
        if asked not in every:
            there = f"there are {', '.join(every)}" if every else "there are none"
            raise ArchiveError(f"export: angles in {asked!r} asked for, {there} beside the frames; choose one of them")
        return every[asked]
    moved = [by_name[name] for name in scanned(start, columns) if name in by_name]
    angular = [column for column in moved or by_name.values() if _is_angle(column)]
    if len(angular) == 1:
        return angular[0]
    return moved[0] if len(moved) == 1 else None


def _is_angle(column: Column) -> bool:
    if degrees(column.units) is not None:
        return True
    return length(column.units) is None and any(word in column.name.lower() for word in _WORDS)
