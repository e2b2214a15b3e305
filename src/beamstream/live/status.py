"""What `/status` says: counters of our own, and what the receiver tells."""

import time
from typing import Any

from beamstream.live.follower import Follower
from beamstream.live.history import History

_WINDOW = 10.0  # s over which rates are counted
_FEW = 8  # spectra over which they are counted where there are less in that time


class Status:
    """Know how it goes.

    Attributes
    ----------
    told : dict
        What the parent process said last; goes over what we know ourselves.
    clients : int
        Pages that are open.
    skipped : int
        Spectra that pages did not get because they were too slow; all pages together.
    """

    def __init__(self, follower: Follower) -> None:
        self.told: dict[str, Any] = {}
        self.clients = self.skipped = 0
        self._follower = follower
        self._started = time.time()

    def document(self) -> dict[str, Any]:
        """Return everything, as JSON can carry it."""
        follower, history, now = self._follower, self._follower.history, time.time()
        seen = history is not None and history.count > history.start
        received = float(history.received(history.count - 1, history.count)[0]) if history and seen else None
        return {
            "connected": follower.connected,
            "spectra": history.count if history else 0,
            "buffer_fill": history.count - history.start if history else 0,
            "buffer_length": history.rows if history else 0,
            "buffer_index": history.count % history.rows if history else 0,
            "n_beams": history.n_beams if history else 0,
            "n_channels": history.n_channels if history else 0,
            "rate": rate(history, now),
            "delay": follower.attributes.get("delay"),
            "last_block_time": follower.attributes.get("last_block_time"),
            "last_timestamp": follower.timestamp,
            "last_received": received,
            "age": max(0.0, now - received) if received is not None else None,
            "lost": follower.lost,
            "overruns": follower.overruns,
            "skipped": self.skipped,
            "clients": self.clients,
            "trouble": follower.trouble,
            "uptime": now - self._started,
            "time": now,
        } | self.told


def rate(history: History | None, now: float) -> float:
    """Return how many spectra come a second, s^-1; 0 when they have stopped coming."""
    if history is None or history.count - history.start < 2:
        return 0.0
    received = history.received(history.start, history.count)
    recent = received[received > now - _WINDOW]
    if len(recent) >= _FEW:
        return float(len(recent) / (now - recent[0]))
    few = received[-_FEW:]
    period = (few[-1] - few[0]) / (len(few) - 1)
    return 1 / period if period > 0 and now - few[-1] < 3 * period else 0.0
