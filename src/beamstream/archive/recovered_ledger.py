"""The account of a run whose session was killed, as far as its files know it."""

import bisect
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import numpy as np

from beamstream.ledger import COLUMNS, Ledger, Place

STREAM = "ledger"
NOTE = "counted from the file by beamstream recover: discarded, repeated, malformed are unknown, a pause counts as lost"
NOTE_STEPS = "counted from the file by beamstream recover: what was lost or discarded between the points is unknown"


class StoredIds:
    """Find the gaps in the ``unique_id`` of recorded frames; a late frame takes its gap back."""

    def __init__(self) -> None:
        self.restarts = 0
        self._last: int | None = None
        self._gaps: list[list[int]] = []  # first missing, number; in order since `_epoch`
        self._epoch = 0  # index of the first gap since the count began anew

    def see(self, ids: Any) -> None:
        """Take the next rows: ndarray of int64."""
        breaks = np.flatnonzero(np.diff(ids) != 1) + 1
        for first, last in zip([0, *breaks], [*breaks, len(ids)], strict=True):
            if last > first:
                self._see_run(int(ids[first]), int(last - first))

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield after which number how many are missing."""
        return ((first - 1, missing) for first, missing in self._gaps)

    def _see_run(self, first: int, number: int) -> None:
        """Take numbers that follow each other."""
        if self._last is not None and first <= self._last and self._fill(first):
            for late in range(first + 1, first + number):
                self._see_run(late, 1)
            return
        if self._last is not None and first <= self._last:
            self.restarts += 1
            self._epoch = len(self._gaps)
        elif self._last is not None and first > self._last + 1:
            self._gaps.append([self._last + 1, first - self._last - 1])
        self._last = first + number - 1

    def _fill(self, late: int) -> bool:
        """Take a number out of the gap that it is in; return whether it is in one."""
        place = bisect.bisect_right(self._gaps, [late, 1 << 63], self._epoch) - 1
        if place < self._epoch:
            return False
        first, missing = self._gaps[place]
        if late >= first + missing:
            return False
        parts = [[first, late - first], [late + 1, first + missing - late - 1]]
        self._gaps[place : place + 1] = [part for part in parts if part[1]]
        return True


def ledger_of(detector: str, rows: int, pieces: Iterable[Any], *, steps: bool) -> dict[str, Any]:
    """Return the columns of a detector's account.

    Parameters
    ----------
    detector : str
    rows : int
        Frames in its files.
    pieces : iterable of ndarray
        Their ``unique_id``.
    steps : bool
        Whether there are points with frames between them that nobody asked for: then gaps are no losses.
    """
    ledger = Ledger(detector, received=rows, recorded=rows)
    if not steps:
        ids = StoredIds()
        for piece in pieces:
            ids.see(piece)
        ledger.restarts = ids.restarts
        for after, missing in ids.gaps():
            ledger.lose(after, missing, Place.TRANSPORT)
    numbers = {column: getattr(ledger, column) for column in COLUMNS}
    return numbers | {"gaps": ledger.gaps_json(), "note": NOTE_STEPS if steps else NOTE}


def ledger_documents(
    run: str, accounts: Mapping[str, Mapping[str, Any]], ended: float, known: Mapping[str, Any] | None
) -> list[tuple[str, dict[str, Any]]]:
    """Return descriptor and event of the stream ``ledger``.

    Parameters
    ----------
    run : str
        Its uid.
    accounts : dict
        Columns, by detector.
    ended : float
        When, s since 1970-01-01 UTC.
    known : dict, optional
        The descriptor that the session made before it died; then the event has just its data keys.
    """
    data = {f"{d}_ledger_{column}": value for d, account in accounts.items() for column, value in account.items()}
    if known is not None:
        data = {key: data.get(key, _nothing(about)) for key, about in known["data_keys"].items()}
    descriptor = known or {
        "uid": str(uuid4()),
        "run_start": run,
        "time": time.time(),
        "name": STREAM,
        "data_keys": {key: _data_key(key, value) for key, value in data.items()},
        "object_keys": {f"{d}_ledger": [key for key in data if _object(key) == f"{d}_ledger"] for d in accounts},
        "configuration": {},
        "hints": {},
    }
    event = {
        "uid": str(uuid4()),
        "descriptor": descriptor["uid"],
        "time": ended,
        "seq_num": 1,
        "data": data,
        "timestamps": dict.fromkeys(data, ended),
        "filled": {},
    }
    return [*([] if known else [("descriptor", dict(descriptor))]), ("event", event)]


def _object(key: str) -> str:
    return key.rpartition("_")[0]


def _data_key(key: str, value: Any) -> dict[str, Any]:
    kind = "string" if isinstance(value, str) else "integer"
    return {"source": "beamstream recover", "dtype": kind, "shape": [], "object_name": _object(key)}


def _nothing(about: Mapping[str, Any]) -> Any:
    return "" if about.get("dtype") == "string" else 0
