"""End every run with the account of its detectors, in documents."""

from collections.abc import Hashable
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.preprocessors import contingency_wrapper, plan_mutator
from bluesky.utils import Msg, MsgGenerator, RequestAbort, RequestStop

from plans.open_runs import STREAM, OpenRuns


def ledger_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Add an event in the stream ``ledger`` to each run, just before it closes.

    It carries what was received, recorded and lost of each detector of the run that has a `ledger`. A detector is of
    the run in which it is first declared, triggered, read or kicked off after it was staged. One that was not used
    yet is of the run with the key under which it was staged, or of the only one that is open. Where a detector was
    staged several times in a run, the numbers of all its files are added up. Runs that have such an
    event already are left alone, so that wrapping twice does no harm. Runs that a plan leaves open when it fails have
    one as well. To have it in every plan: ``RE.preprocessors.append(ledger_wrapper)``.

    A detector that is staged once for two runs is refused in the second: its file, and bluesky's documents of it, are
    those of the first.
    """
    runs = OpenRuns()

    def close(msg: Msg, ledgers: list[Any]) -> MsgGenerator[Any]:
        written: list[bool] = []
        try:
            yield from _account(msg.run, ledgers, runs.is_bundling(msg.run), written)
        except (RequestAbort, RequestStop) as end:  # after it the plan cannot close its run
            if not written:
                yield from _account(msg.run, ledgers, runs.is_bundling(msg.run), written)
            yield Msg("close_run", run=msg.run, exit_status=end.exit_status, reason=None)
            raise
        return (yield msg)

    def left_open(_error: Exception) -> MsgGenerator[None]:
        for run in runs.youngest_first():
            for detector, stream in runs.streams(run):
                yield from _as_far_as_possible(_collect_rest(run, detector, stream))
            bundling, ledgers = runs.is_bundling(run), runs.close(run)
            if ledgers:
                yield from _as_far_as_possible(_account(run, ledgers, bundling, []))

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if msg.command == "close_run":
            ledgers = runs.close(msg.run)
            return (close(msg, ledgers) if ledgers else None), None
        runs.see(msg)
        if not runs.belongs(msg):
            return _refused(msg.obj), None
        return None, None

    return (yield from contingency_wrapper(plan_mutator(plan, mutate), except_plan=left_open, auto_raise=True))


def _account(run: Hashable, ledgers: list[Any], bundling: bool, written: list[bool]) -> MsgGenerator[None]:
    """Make the event; `written` is no longer empty when it need not be repeated."""
    if bundling:  # an event was left half made
        yield Msg("drop", run=run)
    yield Msg("create", None, name=STREAM, run=run)
    for ledger in ledgers:
        yield Msg("read", ledger, run=run)
    written.append(True)
    yield Msg("save", run=run)


def _collect_rest(run: Hashable, detector: Any, stream: str) -> MsgGenerator[None]:
    """Stop a flight that a failed plan has left, and collect what it recorded."""
    yield Msg("stop", detector)
    yield Msg("collect", detector, name=stream, run=run)


def _as_far_as_possible(plan: MsgGenerator[None]) -> MsgGenerator[None]:
    """Run a plan after another one has failed: its own errors would hide the first."""
    yield from contingency_wrapper(plan, except_plan=lambda _: bps.null(), auto_raise=False)


def _refused(detector: Any) -> MsgGenerator[None]:
    raise RuntimeError(
        f"{detector.name}: frames for a second run asked for, its file is that of another one; "
        "stage it anew for each run, inside the run"
    )
    yield  # in the plan's place, so that the plan can clean up
