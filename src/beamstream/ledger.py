"""Received, recorded, lost, and where: the account that every run ends with."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

OnLoss = Literal["mark", "fail"]
_MOST_GAPS = 1000
_OPEN_GAPS = 64  # the last ones: a late frame may still fill them
_LATE = 1024  # ids that a late frame may come behind the newest
_BEFORE = 4  # the same behind the first one seen
_LATE_IN_A_ROW = 64  # more of them: the count was set back
_COUNTERS = ((2**31, -(2**31)), (2**31, 0), (2**32, 0), (2**16, 0))  # where they end, and where they go on


class Place(StrEnum):
    """Where frames were lost."""

    TRANSPORT = "transport"  # the detector counted them, they never arrived: a gap in unique_id
    HEADER = "header"  # they arrived, and their header contradicts itself
    RING = "ring"  # they arrived and found the ring full
    DISK = "disk"  # they were in the ring and could not be written
    CODEC = "codec"  # they arrived compressed, and their bytes do not decode
    GEOMETRY = "geometry"  # they arrived with another shape or pixel type than the run began with
    END = "end"  # the detector reported that it has finished, and they never arrived
    COUNT = "count"  # unique_id jumped by more than can have been made meanwhile; `missing` is what can have been


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
    the run has ended; `lost` counts also what never arrived. A frame that arrives late is not lost any more.

    Parameters
    ----------
    detector : str
    received : int
        Frames that arrived while the run was open, repeated ones included.
    recorded : int
        Frames on disk.
    discarded : int
        Frames not asked for: between triggers, or more than the number wanted.
    repeated : int
        Updates that carried a ``unique_id`` or an image again.
    malformed : int
        Updates that were no frame, and frames whose bytes do not decode; the gap that they leave is counted as lost.
    restarts : int
        Times the server came back, or ``unique_id`` ran backwards, jumped or stood still: how many were lost then
        nobody knows.
    lost : int
    gaps : list of Gap
        The first thousand; `lost` counts all.
    trigger_rule : str
        How the first frame of the last request was found: ``"started"`` (the detector was), or the rule of
        `beamstream.frame_times.FirstFrame`.
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
    trigger_rule: str = "unknown"
    _open: deque[Gap] = field(default_factory=lambda: deque(maxlen=_OPEN_GAPS), repr=False)

    def lose(self, after: int, missing: int, place: Place) -> None:
        """Account for frames that will never be recorded."""
        self.lost += missing
        gap = Gap(after, missing, place)
        if place is Place.TRANSPORT:
            self._open.append(gap)
        if len(self.gaps) < _MOST_GAPS:
            self.gaps.append(gap)

    def fill(self, unique_id: int) -> bool:
        """Take a frame that has arrived late off the gap that it was counted in; False if it was in none."""
        for gap in reversed(self._open):
            if 0 < unique_id - gap.after <= gap.missing:
                break
        else:
            return False
        before, behind = unique_id - gap.after - 1, gap.missing - (unique_id - gap.after)
        left = [g for g in (Gap(gap.after, before, gap.place), Gap(unique_id, behind, gap.place)) if g.missing]
        self._open.remove(gap)
        self._open.extend(left)
        if gap in self.gaps:
            at = self.gaps.index(gap)
            self.gaps[at : at + 1] = left
            del self.gaps[_MOST_GAPS:]
        self.lost -= 1
        return True

    @property
    def whole(self) -> bool:
        """True when nothing is missing and nothing is doubtful."""
        return not (self.lost or self.restarts or self.malformed)

    def gaps_json(self) -> str:
        """Return the gaps as a JSON list of {after, missing, place}."""
        return json.dumps([asdict(g) for g in tuple(self.gaps)])

    def summary(self) -> str:
        """Return the account as half a sentence."""
        words = f"{self.recorded} recorded, {self.lost} lost"
        if self.lost and self.gaps:
            first = next((gap for gap in self.gaps if gap.missing), self.gaps[0])
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
    """Follow a detector's count: return what each new number means.

    Frames may change places on the way (areaDetector plug-ins with several threads do that): a number out of a
    gap is a late frame. A counter that is full goes on at its other end: an int32 at ``-2**31`` or at 0.

    Attributes
    ----------
    last : int or None
        The newest number.
    """

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self._gaps: deque[tuple[int, int, bool]] = deque(maxlen=_OPEN_GAPS)  # start, stop, whether counted as missing
        self._late: tuple[int, int] = (0, 0)  # how many came late since which newest number
        if last is not None:
            self._begin(last)

    def see(self, unique_id: int) -> int | None:
        """Take the next number.

        Returns
        -------
        int or None
            How many are missing before it; -1 when it is one of those that were missing before; None when that
            is not known: the count ran backwards, or stands still.
        """
        last = self.last
        if last is None:
            self._begin(unique_id)
            return 0
        missing = unique_id - last - 1
        if missing < 0:
            return None if missing == -1 else self._behind(unique_id, last)
        self.last = unique_id
        if missing:
            self._gaps.append((last + 1, unique_id, True))
        return missing

    def _begin(self, unique_id: int) -> None:
        self.last = unique_id
        self._gaps.clear()
        self._gaps.append((unique_id - _BEFORE, unique_id, False))

    def _behind(self, unique_id: int, last: int) -> int | None:
        for gap in reversed(self._gaps):
            start, stop, counted = gap
            in_reach = last - stop <= (_LATE if counted else _BEFORE)
            if start <= unique_id < stop and in_reach and not self._too_many_late(last):
                self._gaps.remove(gap)
                parts = (start, unique_id, counted), (unique_id + 1, stop, counted)
                self._gaps.extend(part for part in parts if part[0] < part[1])
                return -1 if counted else 0
        missing = _beyond_the_end(unique_id, last)
        self._begin(unique_id)
        return missing

    def _too_many_late(self, last: int) -> bool:
        newest, number = self._late
        self._late = last, number + 1 if newest == last else 1
        return self._late[1] > _LATE_IN_A_ROW


def _beyond_the_end(unique_id: int, last: int) -> int | None:
    """Return how many are missing between the end of a counter and its beginning; None if it was not at its end."""
    for end, beginning in _COUNTERS:
        near = min(_LATE, end >> 12)
        if 0 < end - last <= near and 0 <= unique_id - beginning < near:
            return end - 1 - last + unique_id - beginning
    return None
