"""Which runs of a plan are open, and which detectors are of them."""

import json
from collections.abc import Hashable
from itertools import count
from typing import Any, TypeAlias

from bluesky.utils import Msg

STREAM = "ledger"
Reading: TypeAlias = dict[str, dict[str, Any]]


class OpenRuns:
    """Which runs are open, by key, and which detectors are of them, as the messages of a plan say."""

    def __init__(self) -> None:
        self._serials = count()
        self._open: dict[Hashable, int] = {}  # a serial number, by key
        self._staged: dict[int, tuple[Any, Hashable]] = {}  # detector, and the key that it was staged under
        self._homes: dict[int, tuple[Any, int]] = {}  # detector, and the run that its file is of
        self._flights: dict[int, tuple[Any, str, int]] = {}  # detector, stream, run
        self._earlier: dict[tuple[int, int], tuple[Any, list[Reading]]] = {}  # detector and accounts, by run, detector
        self._accounted: set[Hashable] = set()
        self._bundling: set[Hashable] = set()

    def see(self, msg: Msg) -> None:
        """Note what a message is about to do."""
        match msg.command:
            case "stage" if hasattr(msg.obj, "ledger"):
                self._keep_account(msg.obj)
                self._staged[id(msg.obj)] = msg.obj, msg.run
            case "unstage":  # an open run keeps it until it closes
                self._staged.pop(id(msg.obj), None)
                self._flights.pop(id(msg.obj), None)
            case "open_run":
                self._open[msg.run] = next(self._serials)
                self._accounted.discard(msg.run)
            case "create":
                self._bundling.add(msg.run)
                if msg.kwargs.get("name") == STREAM:
                    self._accounted.add(msg.run)
            case "save" | "drop":
                self._bundling.discard(msg.run)
            case "declare_stream":
                for detector in msg.args:
                    self._use(detector, msg.run)
                    if msg.kwargs.get("collect") and msg.run in self._open:
                        self._flights[id(detector)] = detector, msg.kwargs["name"], self._open[msg.run]
            case "trigger" | "kickoff":
                self._use(msg.obj, msg.run)
            case "read" if msg.run in self._bundling:
                self._use(msg.obj, msg.run)

    def _keep_account(self, detector: Any) -> None:
        """Keep the account of the file before, where it is of a run that is still open."""
        _, home = self._homes.pop(id(detector), (None, -1))
        if home in self._open.values():
            _, readings = self._earlier.setdefault((home, id(detector)), (detector, []))
            readings.append(detector.ledger.read())

    def _use(self, detector: Any, run: Hashable) -> None:
        if id(detector) in self._staged and run in self._open:
            self._homes.setdefault(id(detector), (detector, self._open[run]))

    def belongs(self, msg: Msg) -> bool:
        """Return whether what a detector gives now is of the run that its file is of."""
        if msg.command != "kickoff" and not (msg.command == "read" and msg.run in self._bundling):
            return True
        home = self._homes.get(id(msg.obj))
        return id(msg.obj) not in self._staged or home is None or home[1] == self._open.get(msg.run)

    def is_bundling(self, run: Hashable) -> bool:
        """Return whether an event of a run is half made."""
        return run in self._bundling

    def youngest_first(self) -> list[Hashable]:
        """Return the keys of the open runs."""
        return list(self._open)[::-1]

    def streams(self, run: Hashable) -> list[tuple[Any, str]]:
        """Return the detectors that may still fly in a run, and their streams."""
        return [(detector, stream) for detector, stream, home in self._flights.values() if home == self._open[run]]

    def close(self, run: Hashable) -> list[Any]:
        """Forget a run; return the ledgers of its detectors, none if it is not open or has its account."""
        serial = self._open.pop(run, None)
        if serial is None:
            return []
        found = {key: detector.ledger for key, (detector, home) in self._homes.items() if home == serial}
        for key, (detector, staged_for) in self._staged.items():
            if key not in self._homes and (staged_for == run or not self._open):
                found[key] = detector.ledger
        for home, key in [place for place in self._earlier if place[0] == serial]:
            detector, readings = self._earlier.pop((home, key))
            found[key] = _Sum(detector.ledger, readings, found.get(key))
        return [] if run in self._accounted else list(found.values())


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
