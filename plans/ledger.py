"""End every run with the account of its detectors, in documents."""

from collections.abc import Hashable
from itertools import count
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.preprocessors import contingency_wrapper, plan_mutator
from bluesky.utils import Msg, MsgGenerator, RequestAbort, RequestStop

STREAM = "ledger"


def ledger_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Add an event in the stream ``ledger`` to each run, just before it closes.

    It carries what was received, recorded and lost of each detector of the run that has a `ledger`. A detector is of
    the run in which it is first declared, triggered, read or kicked off after it was staged. One that was not used
    yet is of the run with the key under which it was staged, or of the only one that is open. Runs that have such an
    event already are left alone, so that wrapping twice does no harm. Runs that a plan leaves open when it fails have
    one as well. To have it in every plan: ``RE.preprocessors.append(ledger_wrapper)``.

    A detector that is staged once for two runs is refused in the second: its file, and bluesky's documents of it, are
    those of the first.
    """
    runs = _OpenRuns()

    def close(msg: Msg, detectors: list[Any]) -> MsgGenerator[Any]:
        written: list[bool] = []
        try:
            yield from _account(msg.run, detectors, runs.is_bundling(msg.run), written)
        except (RequestAbort, RequestStop) as end:  # after it the plan cannot close its run
            if not written:
                yield from _account(msg.run, detectors, runs.is_bundling(msg.run), written)
            yield Msg("close_run", run=msg.run, exit_status=end.exit_status, reason=None)
            raise
        return (yield msg)

    def left_open(_error: Exception) -> MsgGenerator[None]:
        for run in runs.youngest_first():
            bundling, streams, detectors = runs.is_bundling(run), runs.streams(run), runs.close(run)
            for detector, stream in streams:
                yield from _as_far_as_possible(_collect_rest(run, detector, stream))
            if detectors:
                yield from _as_far_as_possible(_account(run, detectors, bundling, []))

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if msg.command == "close_run":
            detectors = runs.close(msg.run)
            return (close(msg, detectors) if detectors else None), None
        runs.see(msg)
        if not runs.belongs(msg):
            return _refused(msg.obj), None
        return None, None

    return (yield from contingency_wrapper(plan_mutator(plan, mutate), except_plan=left_open, auto_raise=True))


def _account(run: Hashable, detectors: list[Any], bundling: bool, written: list[bool]) -> MsgGenerator[None]:
    """Make the event; `written` is no longer empty when it need not be repeated."""
    if bundling:  # an event was left half made
        yield Msg("drop", run=run)
    yield Msg("create", None, name=STREAM, run=run)
    for detector in detectors:
        yield Msg("read", detector.ledger, run=run)
    written.append(True)
    yield Msg("save", run=run)


def _collect_rest(run: Hashable, detector: Any, stream: str) -> MsgGenerator[None]:
    """Stop a flight that a failed plan has left, and collect what it recorded."""
    yield Msg("stop", detector)
    yield Msg("collect", detector, name=stream, run=run)


def _as_far_as_possible(plan: MsgGenerator[None]) -> MsgGenerator[None]:
    """Run a plan after another one has failed: its own errors would hide the first."""
    yield from contingency_wrapper(plan, except_plan=lambda _: bps.null(), auto_raise=False)


class _OpenRuns:
    """Which runs are open, by key, and which detectors are of them, as the messages of a plan say."""

    def __init__(self) -> None:
        self._serials = count()
        self._open: dict[Hashable, int] = {}  # a serial number, by key
        self._staged: dict[int, tuple[Any, Hashable]] = {}  # detector, and the key that it was staged under
        self._homes: dict[int, tuple[Any, int]] = {}  # detector, and the run that its file is of
        self._flights: dict[int, tuple[Any, str, int]] = {}  # detector, stream, run
        self._accounted: set[Hashable] = set()
        self._bundling: set[Hashable] = set()

    def see(self, msg: Msg) -> None:
        """Note what a message is about to do."""
        match msg.command:
            case "stage" if hasattr(msg.obj, "ledger"):
                self._staged[id(msg.obj)] = msg.obj, msg.run
                self._homes.pop(id(msg.obj), None)
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
        """Forget a run; return its detectors, none if it is not open or has its account."""
        serial = self._open.pop(run, None)
        if serial is None:
            return []
        own = {key: detector for key, (detector, home) in self._homes.items() if home == serial}
        for key, (detector, staged_for) in self._staged.items():
            if key not in self._homes and (staged_for == run or not self._open):
                own[key] = detector
        return [] if run in self._accounted else list(own.values())


def _refused(detector: Any) -> MsgGenerator[None]:
    raise RuntimeError(
        f"{detector.name}: frames for a second run asked for, its file is that of another one; "
        "stage it anew for each run, inside the run"
    )
    yield  # in the plan's place, so that the plan can clean up
