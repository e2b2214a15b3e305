"""End every run with the account of its detectors, in documents."""

from itertools import count
from typing import Any

from bluesky.preprocessors import plan_mutator
from bluesky.utils import Msg, MsgGenerator, RequestAbort, RequestStop

from plans.recordings import recordings_wrapper

STREAM = "ledger"


def ledger_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Add an event in the stream ``ledger`` to each run, just before it closes.

    It carries, for every detector that was staged and has a `ledger`, what was received, recorded and lost. Runs
    that have such an event already are left alone, so that wrapping twice does no harm. To have it in every
    plan: ``RE.preprocessors.append(ledger_wrapper)``.

    A detector that is staged once for two runs is refused in the second: its file, and bluesky's documents of it, are
    those of the first. Its file is named before its first frame, see `plans.recordings.recordings_wrapper`.
    """
    detectors: dict[int, Any] = {}
    serials = count()
    opened: dict[Any, int] = {}  # which run that is now, by its key
    homes: dict[int, int | None] = {}  # the run that a detector's file is of
    told: set[Any] = set()
    bundling: set[Any] = set()

    def close(msg: Msg) -> MsgGenerator[Any]:
        saved = False

        def tell() -> MsgGenerator[None]:
            nonlocal saved
            if msg.run in bundling:  # an event was left half made
                yield Msg("drop", run=msg.run)
            yield Msg("create", None, name=STREAM, run=msg.run)
            for detector in detectors.values():
                yield Msg("read", detector.ledger, run=msg.run)
            saved = True
            yield Msg("save", run=msg.run)

        try:
            yield from tell()
        except (RequestAbort, RequestStop) as end:  # after it the plan cannot close its run
            if not saved:
                yield from tell()
            yield Msg("close_run", run=msg.run, exit_status=end.exit_status, reason=None)
            raise
        return (yield msg)

    def belongs(msg: Msg) -> bool:
        """Return whether what a detector gives now is of the run that its file is of."""
        run = opened.get(msg.run)
        return id(msg.obj) not in detectors or homes.setdefault(id(msg.obj), run) == run

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        match msg.command:
            case "stage" if hasattr(msg.obj, "ledger"):
                detectors[id(msg.obj)] = msg.obj
            case "unstage":
                detectors.pop(id(msg.obj), None)
                homes.pop(id(msg.obj), None)
            case "open_run":
                told.discard(msg.run)
                opened[msg.run] = next(serials)
            case "read" if msg.run in bundling and not belongs(msg):
                return _refused(msg.obj), None
            case "kickoff" if not belongs(msg):
                return _refused(msg.obj), None
            case "create":
                bundling.add(msg.run)
                if msg.kwargs.get("name") == STREAM:
                    told.add(msg.run)
            case "save" | "drop":
                bundling.discard(msg.run)
            case "close_run" if detectors and msg.run not in told:
                told.add(msg.run)
                return close(msg), None
        return None, None

    return (yield from plan_mutator(recordings_wrapper(plan), mutate))


def _refused(detector: Any) -> MsgGenerator[None]:
    raise RuntimeError(
        f"{detector.name}: frames for a second run asked for, its file is that of another one; "
        "stage it anew for each run, inside the run"
    )
    yield  # in the plan's place, so that the plan can clean up
