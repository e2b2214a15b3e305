"""End every run with the account of its detectors, in documents."""

from collections.abc import Hashable
from typing import Any, TypeGuard

import bluesky.plan_stubs as bps
from bluesky.preprocessors import contingency_wrapper, plan_mutator
from bluesky.utils import Msg, MsgGenerator, RequestAbort, RequestStop

from plans.flights import attempt, end_flights, failure
from plans.interruptions import answered, interruptible_wrapper
from plans.open_runs import OpenRun, OpenRuns
from plans.recordings import NamedFiles

STREAM = "ledger"
_MOST_ERRORS = 10


def ledger_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Add an event in the stream ``ledger`` to each run, just before it closes.

    It carries what was received, recorded and lost of each detector of the run that has a `ledger`; which these are,
    see `plans.open_runs.OpenRuns`. Runs that have such an event already are left alone, so that wrapping twice does
    no harm. Runs that a plan leaves open when it fails have one as well. To have it in every plan:
    ``RE.preprocessors.append(ledger_wrapper)``.

    Before it, the detectors of the run are stopped, what they accepted is waited for while the disk makes progress,
    and announced. A run whose flight has failed is never closed as a success.

    A detector that is staged once for two runs is refused in the second: its file, and bluesky's documents of it, are
    those of the first. Its file is named before its first frame, see `plans.recordings.NamedFiles`.

    The plan can be paused and suspended anywhere, see `plans.interruptions.interruptible_wrapper`.
    """
    runs = OpenRuns()
    files = NamedFiles(runs)

    def left_open(_error: Exception) -> MsgGenerator[None]:
        for key in runs.open():
            run = runs.close(key)
            if _wants_account(run):
                yield from _Account(run).write(hurried=False)
        yield from bps.null()

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if msg.command == "close_run":
            run = runs.close(msg.run)
            return (_closed(msg, run) if _wants_account(run) else None), None
        named = files.instead_of(msg)
        if named is None or msg.command != "open_run":  # that comes again, with the files
            runs.follow(msg)
            files.follow(msg)
        return (named if runs.belongs(msg) else _refused(msg.obj)), None

    whole = plan_mutator(interruptible_wrapper(plan), mutate)
    return (yield from contingency_wrapper(whole, except_plan=left_open, auto_raise=True))


def _wants_account(run: OpenRun | None) -> TypeGuard[OpenRun]:
    return run is not None and bool(run.ledgers) and STREAM not in run.events


def _closed(msg: Msg, run: OpenRun) -> MsgGenerator[Any]:
    """Take the account of a run, whatever happens meanwhile, and close it."""
    account, ended = _Account(run), None
    for hurried in (False, True):
        try:
            yield from account.write(hurried=hurried)
            break
        except (RequestAbort, RequestStop) as end:  # after it the plan cannot close its run
            ended = end
    asked = msg.kwargs.get("exit_status") if ended is None else ended.exit_status
    error = failure(run.detectors) or next(iter(account.errors), None)
    if error is not None and asked in (None, "success"):
        yield Msg("close_run", run=msg.run, exit_status="fail", reason=str(error))
        raise error
    if ended is not None:
        yield Msg("close_run", run=msg.run, exit_status=ended.exit_status, reason=None)
        raise ended
    return (yield msg)


class _Account:
    """The event of one run; `errors` has what went wrong on the way to it."""

    def __init__(self, run: OpenRun) -> None:
        self.errors: list[Exception] = []
        self._run = run
        self._written = False

    def write(self, *, hurried: bool) -> MsgGenerator[None]:
        """End the flights, then make the event, once."""
        run = self._run
        yield from attempt(self.errors, self._drop())
        self.errors += yield from end_flights(run.key, run.detectors, run.streams, hurried=hurried)
        for detector in run.detectors:
            yield from attempt(self.errors, _announce_rest(run.key, detector))
        while not self._written and len(self.errors) < _MOST_ERRORS:
            yield from attempt(self.errors, self._event())

    def _drop(self) -> MsgGenerator[None]:
        """Drop an event that was left half made."""
        if self._run.bundling:
            self._run.bundling = False
            yield Msg("drop", run=self._run.key)

    def _event(self) -> MsgGenerator[None]:
        run = self._run
        yield from self._drop()
        run.bundling = True  # before the message: an error that breaks into it comes when it is done
        yield Msg("create", None, name=STREAM, run=run.key)
        for ledger in run.ledgers:
            yield from answered(Msg("read", ledger, run=run.key))
        self._written, run.bundling = True, False
        yield Msg("save", run=run.key)


def _announce_rest(run: Hashable, detector: Any) -> MsgGenerator[None]:
    """Name the frames of what was broken off, in a stream of their own, as `beamstream recover` does."""
    if getattr(detector, "unannounced", 0):
        stream = f"{detector.name}_interrupted"
        yield from answered(Msg("declare_stream", None, detector, name=stream, collect=True, run=run))
        detector.begin_stream()
        yield Msg("collect", detector, name=stream, run=run)


def _refused(detector: Any) -> MsgGenerator[None]:
    raise RuntimeError(
        f"{detector.name}: frames for a second run asked for, its file is that of another one; "
        "stage it anew for each run, inside the run"
    )
    yield  # in the plan's place, so that the plan can clean up
