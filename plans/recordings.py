"""Name the files of detectors in documents before their first frame: frames are found after any kill."""

import json
from collections.abc import Hashable
from itertools import count
from typing import Any

from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, MsgGenerator

KEY = "beamstream_recordings"
"""Of the start document: which file each detector records to, with its arrays."""


def recordings_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Name the file of each staged detector in the run that opens then; `beamstream recover` reads it.

    It is named in the start document. A detector that is staged when its run is open already, or that is used in
    another run than the first to open, gets an event in the stream ``<detector>_recording`` before its first frame.
    Detectors without a signal `recorded_to` are left alone; wrapping twice does no harm.
    """
    serials = count()
    runs: dict[Hashable, int] = {}  # that are open, by key
    bundling: set[Hashable] = set()
    staged: dict[int, Any] = {}
    named: dict[int, int] = {}  # the run that names a detector's file

    def unnamed() -> list[dict[str, Any]]:
        texts = (d.recorded_to.get() for key, d in staged.items() if key not in named)
        return [json.loads(text) for text in texts if text]

    def event(msg: Msg) -> MsgGenerator[Any]:
        yield Msg("create", None, name=f"{msg.obj.name}_recording", run=msg.run)
        yield Msg("read", msg.obj.recorded_to, run=msg.run)
        yield Msg("save", run=msg.run)
        return (yield msg)

    def open_run(msg: Msg) -> MsgGenerator[Any] | None:
        if KEY not in msg.kwargs and (recordings := unnamed()):
            return _replaced(msg._replace(kwargs={**msg.kwargs, KEY: recordings}))
        runs[msg.run] = next(serials)
        there = {recording["detector"] for recording in msg.kwargs.get(KEY, ())}
        named.update({key: runs[msg.run] for key, d in staged.items() if key not in named and d.name in there})
        return None

    def use(msg: Msg) -> MsgGenerator[Any] | None:
        key, run = id(msg.obj), runs.get(msg.run)
        if key not in staged or run is None or named.get(key) == run or msg.run in bundling:
            return None
        named[key] = run
        return event(msg) if msg.obj.recorded_to.get() else None

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        match msg.command:
            case "stage" if hasattr(msg.obj, "recorded_to"):
                staged[id(msg.obj)] = msg.obj
                named.pop(id(msg.obj), None)
            case "unstage":
                staged.pop(id(msg.obj), None)
            case "open_run":
                return open_run(msg), None
            case "close_run":
                runs.pop(msg.run, None)
            case "trigger" | "kickoff":
                return use(msg), None
            case "create":
                bundling.add(msg.run)
            case "save" | "drop":
                bundling.discard(msg.run)
            case "read" if msg.run in runs:  # another wrapper may have named it
                named.update({key: runs[msg.run] for key, d in staged.items() if d.recorded_to is msg.obj})
        return None, None

    return (yield from plan_mutator(plan, mutate))


def _replaced(msg: Msg) -> MsgGenerator[Any]:
    return (yield msg)
