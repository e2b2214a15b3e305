"""What a page of images is told about its stream: what comes, how it goes, and what is waited for."""

import time
from collections import deque
from math import isfinite
from typing import Any

from beamstream.live.feed import Feed
from beamstream.live.image_newest import Newest
from beamstream.live.image_seat import Seat
from beamstream.live.image_wish import Treated
from beamstream.watching.streams import StreamSpec

_RECENT = 10.0  # s for which frames that were lost are news
_LATE, _VERY_LATE = 2.0, 10.0  # s between detector and here
_LITTLE, _VERY_LITTLE = 10 * 2**30, 2**30  # bytes left on the disk
_EXPOSURES = ("exposure", "exposure_time", "AcquireTime", "ExposureTime")  # as cameras call it


class Health:
    """Judge one stream for all its pages; for one thread.

    Parameters
    ----------
    feed : Feed

    Attributes
    ----------
    state : dict
        What `/state` says, as far as it is known.
    """

    def __init__(self, feed: Feed) -> None:
        self.state: dict[str, Any] = {}
        self._feed = feed
        self._lost: deque[tuple[float, int]] = deque()

    def document(self, seat: Seat, recording: dict[str, Any] | None) -> dict[str, Any]:
        """Return the status for one page, but for what the page alone knows."""
        feed, status = self._feed, self._feed.status
        state, words = self._judged(seat, recording)
        newest = seat.kept or feed.newest
        used = {key: seat.used.get(key) for key in Treated._fields}
        return {
            "is": "status",
            "state": state,
            "words": words,
            "rate": status.get("rate"),
            "delay": status.get("delay"),
            "lost": status.get("lost"),
            "skipped": seat.skipped,
            "ring": {key: status.get(key) for key in ("start", "stop", "capacity")},
            "run": self._run(),
            "exposure": _exposure(newest),
            "correction": {**used, "note": seat.note, "failed": seat.note if seat.failed else ""},
            "recording": recording,
            "disk_free": self._free(),
            "clients": feed.clients,
            "limited_by": "link" if seat.link.limited else None,
        }

    def _judged(self, seat: Seat, recording: dict[str, Any] | None) -> tuple[str, str]:
        """Return live, waiting, paused, amber or red, and why."""
        feed, status = self._feed, self._feed.status
        lost, free, delay = self._lately_lost(status.get("lost") or 0), self._free(), status.get("delay") or 0.0
        room = f"{(free or 0) / 2**30:.1f} GiB left on the disk"
        if feed.trouble:
            return "red", feed.trouble
        if recording is not None and recording["state"] == "failed":
            return "red", f"recording: {recording['words']}"
        if free is not None and free < _VERY_LITTLE:
            return "red", room
        if seat.wish.paused:
            return "paused", "the paused frame is kept no longer" if seat.gone else "paused"
        if feed.newest is None or status.get("words"):
            return "waiting", status.get("words") or f"{feed.name}: waiting for a frame"
        if delay > _LATE:
            return "red" if delay > _VERY_LATE else "amber", f"frames come {delay:.1f} s after they were taken"
        if lost:
            return "amber", f"{lost} frame{'s' * (lost > 1)} lost in the last {_RECENT:.0f} s"
        if free is not None and free < _LITTLE:
            return "amber", room
        if seat.failed:
            return "amber", seat.note
        return "live", "live"

    def _lately_lost(self, lost: int) -> int:
        """Return how many frames were lost lately."""
        now = time.monotonic()
        if self._lost and lost < self._lost[-1][1]:  # another ring
            self._lost.clear()
        if not self._lost or lost > self._lost[-1][1]:
            self._lost.append((now, lost))
        while len(self._lost) > 1 and now - self._lost[1][0] > _RECENT:
            self._lost.popleft()
        return lost - self._lost[0][1]

    def _free(self) -> int | None:
        return (self.state.get("disk") or {}).get("free")

    def _run(self) -> dict[str, Any] | None:
        """Return the run that this stream is part of; where no session says so, any that is on."""
        runs = [run for session in self.state.get("sessions", []) if (run := session.get("run"))]
        ours = [run for run in runs if self._feed.name in (run.get("detectors") or {})] or runs
        return {key: ours[0].get(key) for key in ("scan_id", "uid", "plan")} if ours else None


def scene(spec: StreamSpec, newest: Newest) -> dict[str, Any]:
    """Return what comes from now on."""
    geometry, about = newest.frame.geometry, spec.about
    rows, cols = newest.shape
    return {
        "is": "scene",
        "stream": spec.name,
        "epoch": newest.epoch,
        "rows": rows,
        "cols": cols,
        "dtype": geometry.dtype,
        "color_mode": str(geometry.color_mode),
        "pixel_size": about.get("pixel_size"),
        "pixel_units": about.get("pixel_units"),
        "full_scale": about.get("full_scale"),
    }


def _exposure(newest: Newest | None) -> float | None:
    """Return how long a frame was exposed, s, where it says so."""
    said = newest.frame.attributes if newest is not None else {}
    found = (said.get(name) for name in _EXPOSURES)
    return next((float(value) for value in found if isinstance(value, int | float) and isfinite(value)), None)
