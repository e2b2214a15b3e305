"""Which runs are open, and which detectors and streams are of them, as the messages of a plan say."""

import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from bluesky.utils import Msg

Reading: TypeAlias = dict[str, dict[str, Any]]


@dataclass(slots=True)
class OpenRun:
    """One run: its key, its detectors, and the streams that are collected into it."""

    key: Hashable
    serial: int
    events: set[str] = field(default_factory=set)
    """Streams that it has an event in."""
    bundling: bool = False
    """Whether an event is half made."""
    detectors: list[Any] = field(default_factory=list)
    """Those whose newest file is of this run; filled when it closes, as `ledgers`."""
    ledgers: list[Any] = field(default_factory=list)
    """What their account is read of, and that of detectors whose earlier files are of this run."""
    streams: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Detectors that are collected together, by the stream's name."""


class OpenRuns:
    """Follow the messages of a plan.

    A detector is of the run in which it is first declared, triggered, read or kicked off after it was staged. One
    that was not used yet is of the run with the key under which it was staged, or of the only one that is open. Where
    a detector was staged several times in a run, the numbers of all its files are added up.
    """

    def __init__(self) -> None:
        self._serials = count()
        self._runs: dict[Hashable, OpenRun] = {}
        self._staged: dict[int, tuple[Any, Hashable]] = {}  # detector, and the key that it was staged under
        self._homes: dict[int, tuple[Any, int]] = {}  # detector, and the serial of the run that its file is of
        self._earlier: dict[tuple[int, int], tuple[Any, list[Reading]]] = {}  # detector and accounts, by run, detector

    def follow(self, msg: Msg) -> None:
        """Take note of what a message is about to do."""
        run = self._runs.get(msg.run)
        match msg.command:
            case "stage" if hasattr(msg.obj, "ledger"):
                self._keep_account(msg.obj)
                self._staged[id(msg.obj)] = msg.obj, msg.run
            case "unstage":  # an open run keeps it until it closes
                self._staged.pop(id(msg.obj), None)
            case "open_run":
                self._runs[msg.run] = OpenRun(msg.run, next(self._serials))
            case "create" if run is not None:
                run.bundling = True
                run.events.add(msg.kwargs.get("name", "primary"))
            case "save" | "drop" if run is not None:
                run.bundling = False
            case "declare_stream" if run is not None:
                for detector in msg.args:
                    self._use(detector, run)
                if msg.kwargs.get("collect"):
                    run.streams[msg.kwargs["name"]] = msg.args
            case "trigger" | "kickoff" if run is not None:
                self._use(msg.obj, run)
            case "read" if run is not None and run.bundling:
                self._use(msg.obj, run)

    def _keep_account(self, detector: Any) -> None:
        """Keep the account of the file before, where it is of a run that is still open."""
        _, home = self._homes.pop(id(detector), (None, -1))
        if any(run.serial == home for run in self._runs.values()):
            _, readings = self._earlier.setdefault((home, id(detector)), (detector, []))
            readings.append(detector.ledger.read())

    def _use(self, detector: Any, run: OpenRun) -> None:
        if id(detector) in self._staged:
            self._homes.setdefault(id(detector), (detector, run.serial))

    def belongs(self, msg: Msg) -> bool:
        """Return whether what a detector gives now is of the run that its file is of."""
        run = self._runs.get(msg.run)
        if msg.command != "kickoff" and not (msg.command == "read" and run is not None and run.bundling):
            return True
        home = self._homes.get(id(msg.obj))
        return id(msg.obj) not in self._staged or home is None or (run is not None and home[1] == run.serial)

    def open(self) -> list[Hashable]:
        """Return the keys of the open runs, the youngest first."""
        return list(self._runs)[::-1]

    def run(self, key: Hashable) -> OpenRun | None:
        """Return an open run; None if there is none with this key."""
        return self._runs.get(key)

    def staged(self) -> list[Any]:
        """Return the detectors that are staged."""
        return [detector for detector, _ in self._staged.values()]

    def close(self, key: Hashable) -> OpenRun | None:
        """Forget a run and return it with its detectors; None if it is not open."""
        run = self._runs.pop(key, None)
        if run is not None:
            own = {one: detector for one, (detector, home) in self._homes.items() if home == run.serial}
            for one, (detector, staged_for) in self._staged.items():
                if one not in self._homes and (staged_for == key or not self._runs):
                    own[one] = detector
            run.detectors = list(own.values())
            ledgers = {one: detector.ledger for one, detector in own.items()}
            for place in [place for place in self._earlier if place[0] == run.serial]:
                detector, readings = self._earlier.pop(place)
                ledgers[place[1]] = _Sum(detector.ledger, readings, ledgers.get(place[1]))
            run.ledgers = list(ledgers.values())
        return run


class _Sum:
    """Read the accounts of several files of a detector as one: numbers are added, lists are joined.

    Parameters
    ----------
    ledger : device
        Says how the account is described.
    earlier : list of readings
    last : device, optional
        Whose reading comes last, if it is of the same run.
    """

    parent = None

    def __init__(self, ledger: Any, earlier: list[Reading], last: Any) -> None:
        self.name: str = ledger.name
        self.hints = ledger.hints
        self.describe = ledger.describe
        self.read_configuration = ledger.read_configuration
        self.describe_configuration = ledger.describe_configuration
        self._earlier, self._last = earlier, last

    def read(self) -> Reading:
        """Return the sum."""
        readings = self._earlier + ([] if self._last is None else [self._last.read()])
        return {
            key: {
                "value": _added([reading[key]["value"] for reading in readings]),
                "timestamp": readings[-1][key]["timestamp"],
            }
            for key in readings[-1]
        }


def _added(values: list[Any]) -> Any:
    if isinstance(values[0], str):  # JSON
        return json.dumps([item for value in values for item in json.loads(value)])
    return sum(values)
