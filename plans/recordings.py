"""Name the files of detectors in documents before their first frame: frames are found after any kill."""

import json
from typing import Any

from bluesky.utils import Msg, MsgGenerator

from plans.open_runs import OpenRuns

KEY = "beamstream_recordings"
"""Of the start document: which file each detector records to, with its arrays."""


class NamedFiles:
    """Name the file of each staged detector in the run that opens then; `beamstream recover` reads it.

    It is named in the start document. A detector that is staged when its run is open already, or that is used in
    another run than the first to open, gets an event in the stream ``<detector>_recording`` before its first frame.
    Detectors without a signal `recorded_to` are left alone.

    Parameters
    ----------
    runs : OpenRuns
        Follows the messages of the same plan.
    """

    def __init__(self, runs: OpenRuns) -> None:
        self._runs = runs
        self._named: dict[int, int] = {}  # detector, and the serial of the run that names its file

    def _detectors(self) -> list[Any]:
        return [detector for detector in self._runs.staged() if hasattr(detector, "recorded_to")]

    def instead_of(self, msg: Msg) -> MsgGenerator[Any] | None:
        """Return what is to be done in the place of a message, before the runs follow it; None for itself."""
        match msg.command:
            case "open_run" if KEY not in msg.kwargs:
                texts = (d.recorded_to.get() for d in self._detectors() if id(d) not in self._named)
                if recordings := [json.loads(text) for text in texts if text]:
                    return _replaced(msg._replace(kwargs={**msg.kwargs, KEY: recordings}))
            case "trigger" | "kickoff" if msg.obj in self._detectors():
                run = self._runs.run(msg.run)
                if run is None or run.bundling or self._named.get(id(msg.obj)) == run.serial:
                    return None
                self._named[id(msg.obj)] = run.serial
                return _after_event(msg) if msg.obj.recorded_to.get() else None
        return None

    def follow(self, msg: Msg) -> None:
        """Take note of what a message names, after the runs followed it."""
        match msg.command:
            case "stage":
                self._named.pop(id(msg.obj), None)
            case "open_run":
                there = {recording["detector"] for recording in msg.kwargs.get(KEY, ())}
                self._name(msg, [d for d in self._detectors() if d.name in there and id(d) not in self._named])
            case "read":  # wrapped twice: the inner one names it
                self._name(msg, [d for d in self._detectors() if d.recorded_to is msg.obj])

    def _name(self, msg: Msg, detectors: list[Any]) -> None:
        run = self._runs.run(msg.run)
        if run is not None:
            self._named.update({id(detector): run.serial for detector in detectors})


def _after_event(msg: Msg) -> MsgGenerator[Any]:
    yield Msg("create", None, name=f"{msg.obj.name}_recording", run=msg.run)
    yield Msg("read", msg.obj.recorded_to, run=msg.run)
    yield Msg("save", run=msg.run)
    return (yield msg)


def _replaced(msg: Msg) -> MsgGenerator[Any]:
    return (yield msg)
