"""Received, recorded, lost, and where: the account that every run ends with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

OnLoss = Literal["mark", "fail"]
_MOST_GAPS = 1000


class Place(StrEnum):
    """Where frames were lost."""

    TRANSPORT = "transport"  # the detector counted them, they never arrived: a gap in unique_id
    RING = "ring"  # they arrived and found the ring full
    DISK = "disk"  # they were in the ring and could not be written
    CODEC = "codec"  # they arrived compressed, and their bytes do not decode
    GEOMETRY = "geometry"  # they arrived with another shape or pixel type than the run began with
    END = "end"  # the detector says that it has finished, and they never arrived


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of missing frames: how many, after which ``unique_id``, where."""

    after: int
    missing: int
    place: Place


@dataclass(slots=True)
class Ledger:
    """The account of one detector in one run; every frame ends in exactly one of its columns.

    ``received == recorded + discarded + repeated + lost in ring, on disk, for their codec or geometry``, once
    the run has ended; `lost` counts also what never arrived.

    Parameters
    ----------
    detector : str
    received : int
        Frames that arrived whole while the run was open.
    recorded : int
        Frames on disk.
    discarded : int
        Frames not asked for: between triggers, or more than the number wanted.
    repeated : int
        Updates that carried a ``unique_id`` or an image again.
    malformed : int
        Updates that were no frame, and frames whose bytes do not decode; the gap that they leave is counted as lost.
    restarts : int
        Times the server came back or ``unique_id`` ran backwards: how many were lost then nobody knows.
    lost : int
    gaps : list of Gap
        The first thousand; `lost` counts all.
    """

    detector: str
    received: int = 0
    recorded: int = 0
    discarded: int = 0
    repeated: int = 0
    malformed: int = 0
    restarts: int = 0
    lost: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def lose(self, after: int, missing: int, place: Place) -> None:
        """Account for frames that will never be recorded."""
        self.lost += missing
        if len(self.gaps) < _MOST_GAPS:
            self.gaps.append(Gap(after, missing, place))

    @property
    def whole(self) -> bool:
        """True when nothing is missing and nothing is doubtful."""
        return not (self.lost or self.restarts or self.malformed)

    def gaps_json(self) -> str:
        """Return the gaps as a JSON list of {after, missing, place}."""
        return json.dumps([asdict(g) for g in self.gaps])

    def summary(self) -> str:
        """Return the account as half a sentence."""
        words = f"{self.recorded} recorded, {self.lost} lost"
        if self.gaps:
            first = self.gaps[0]
            words += f" (first {first.missing} after unique_id {first.after}, {first.place})"
        if self.restarts:
            words += f", {self.restarts} restarts with an unknown loss"
        if self.malformed:
            words += f", {self.malformed} malformed"
        return words


COLUMNS = ("received", "recorded", "lost", "discarded", "repeated", "malformed", "restarts")


def from_event(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the ledgers out of an event of the stream ``ledger``, by detector.

    Keys look like ``cam_ledger_lost``; others are passed over.
    """
    ledgers: dict[str, dict[str, Any]] = {}
    for key, value in data.items():
        detector, mark, column = key.rpartition("_ledger_")
        if mark:
            ledgers.setdefault(detector, {})[column] = value
    return ledgers


class UniqueIds:
    """Follow a detector's count and tell what each new number means."""

    def __init__(self) -> None:
        self.last: int | None = None

    def see(self, unique_id: int) -> int | None:
        """Take the next number; return how many are missing before it, or None when it ran backwards."""
        last, self.last = self.last, unique_id
        if last is None:
            return 0
        return unique_id - last - 1 if unique_id > last else None
