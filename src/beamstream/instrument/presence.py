"""Tell others what this session does, without a run ever noticing."""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.watching.presence import PresenceFile

if TYPE_CHECKING:
    from bluesky import RunEngine

    from beamstream.callbacks.chain import Chain

log = logging.getLogger(__name__)

_LOOK = 0.5  # s between two words while a run is on
_IDLE = 1.0  # s between two looks whether something began
_RATE = 6  # words that a rate is taken over


class Presence:
    """Keep a session's `PresenceFile`: state, run, how far, the account of each detector so far.

    Documents are only taken note of, in the RunEngine's thread; a thread of its own looks at the devices' accounts
    and writes, twice a second while a run is on. What goes wrong here is said once and costs the run nothing.

    Parameters
    ----------
    engine : RunEngine
    chain : Chain
    devices : Mapping
        By name; those with a `ledger` tell what they received and recorded.
    archive : Path
    """

    def __init__(self, engine: "RunEngine", chain: "Chain", devices: Mapping[str, Any], archive: Path) -> None:
        self._engine, self._chain, self._devices = engine, chain, devices
        self._file = PresenceFile(archive)
        self._runs: dict[str, _Run] = {}
        self._changed = threading.Event()
        self._closing = False
        self._warned = False
        self._said: tuple[str, str] | None = None
        self._token = engine.subscribe(self._note)
        self._thread = threading.Thread(target=self._tell, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be gone; the file as well."""
        self._closing = True
        self._changed.set()
        self._thread.join(5.0)
        with contextlib.suppress(KeyError):
            self._engine.unsubscribe(self._token)

    # in the RunEngine's thread

    def _note(self, name: str, doc: Mapping[str, Any]) -> None:
        try:
            self._take(name, doc)
        except Exception as error:  # must not fail the run
            self._warn(error)

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self._runs[doc["uid"]] = _Run(doc)
        elif name == "stop":
            self._runs.pop(doc["run_start"], None)
        else:
            for run in tuple(self._runs.values()):
                run.take(name, doc)
            return
        self._changed.set()

    # in our own

    def _tell(self) -> None:
        while not self._closing:
            self._changed.clear()
            busy = True
            try:
                busy = self._say()
            except Exception as error:  # a full disk, a device that is taken away meanwhile
                self._warn(error)
            self._changed.wait(_LOOK if busy else _IDLE)
        self._file.remove()

    def _say(self) -> bool:
        """Write what there is to say, if it is anything new; return whether something goes on."""
        state = str(self._engine.state)
        state = state if state in ("idle", "paused") else "running"
        run = next(reversed(tuple(self._runs.values())), None)
        if run is None and self._said == (state, ""):
            return state != "idle"
        self._file.write(state, None if run is None else run.report(self._devices, self._chain))
        self._said = state, "" if run is None else run.uid
        return run is not None or state != "idle"

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning("presence: others do not see what this session does: %s: %s", type(error).__name__, error)


class _Run:
    """What documents tell of one run."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.uid: str = start["uid"]
        self._start = start
        self._detectors = [str(name) for name in start.get("detectors", ())]
        self._names: dict[str, str] = {}  # of detectors, by uid of descriptors
        self._primary: set[str] = set()
        self._points = 0
        self._announced: dict[str, int] = {}
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def take(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take note of a document."""
        match name:
            case "descriptor" if doc["run_start"] == self.uid:
                if doc.get("name") == "primary":
                    self._primary.add(doc["uid"])
                for detector in doc.get("object_keys", {}):
                    if detector in self._detectors:
                        self._names[doc["uid"]] = detector
            case "event" if doc["descriptor"] in self._primary:
                self._points = max(self._points, int(doc["seq_num"]))
            case "event_page" if doc["descriptor"] in self._primary:
                self._points = max(self._points, *map(int, doc["seq_num"]))
            case "stream_datum" if doc["descriptor"] in self._names:
                self._announced[self._names[doc["descriptor"]]] = int(doc["indices"]["stop"])

    def report(self, devices: Mapping[str, Any], chain: "Chain") -> dict[str, Any]:
        """Return what `PresenceFile` says of a run."""
        start = self._start
        detectors = {name: self._detector(name, devices.get(name)) for name in self._detectors}
        detectors = {name: about for name, about in detectors.items() if about is not None}
        done, total, unit = self._progress(detectors)
        return {
            "uid": self.uid,
            "scan_id": start.get("scan_id"),
            "plan": str(start.get("plan_name", "")),
            "title": str(start.get("title") or start.get("sample") or ""),
            "started": start["time"],
            "done": done,
            "total": total,
            "unit": unit,
            "seconds": start.get("seconds"),
            "detectors": detectors,
            "callbacks": chain.report(self.uid),
        }

    def _progress(self, detectors: Mapping[str, dict[str, Any]]) -> tuple[int, int | None, str]:
        """Return how far the run is, of how much (None: nobody knows), and in what."""
        frames = sum(about["recorded"] for about in detectors.values())
        number, points = self._start.get("num"), self._start.get("num_points")
        if isinstance(points, int) and not isinstance(number, int):
            return self._points, points, "points"
        return frames, number * max(1, len(detectors)) if isinstance(number, int) else None, "frames"

    def _detector(self, name: str, device: Any) -> dict[str, Any] | None:
        """Return the account of a detector so far; None for a device that has none."""
        account = getattr(getattr(device, "ledger", None), "account", None)
        if account is None:  # made by hand, or no detector at all
            if name not in self._announced:
                return None
            received = recorded = self._announced[name]
            lost = 0
        else:
            received, recorded, lost = account.received, account.recorded, account.lost
        path = getattr(device, "path", None)
        return {
            "received": received,
            "recorded": recorded,
            "lost": lost,
            "rate": self._rate(name, recorded),
            "file": "" if path is None else str(path),
        }

    def _rate(self, name: str, recorded: int) -> float:
        samples = self._samples.setdefault(name, deque(maxlen=_RATE))
        now = time.monotonic()
        samples.append((now, recorded))
        then, before = samples[0]
        return round((recorded - before) / (now - then), 2) if now > then else 0.0
