"""Pauses and suspensions: what is in documents is not repeated after them, what they broke off is."""

from collections.abc import Hashable
from typing import Any

from bluesky.preprocessors import finalize_wrapper, plan_mutator
from bluesky.utils import Msg, MsgGenerator, RequestAbort, RequestStop


def interruptible_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Make a plan that can be paused or suspended anywhere, with each event and each run's end in the documents once.

    After an interruption a RunEngine (bluesky 1.15) repeats all messages since the last checkpoint, events that it has
    emitted included. So an event ends with a checkpoint, and a run's end is not repeated. Where it does not repeat
    messages it drops the one that was broken off: a reading or a declared stream is then made again.
    """
    half_made: set[Hashable] = set()  # keys of runs with an event that is not complete

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, MsgGenerator[Any] | None]:
        if msg.command == "create":
            half_made.add(msg.run)
        elif msg.command in ("save", "drop", "close_run"):
            half_made.discard(msg.run)
        if msg.command == "close_run" or (msg.command == "save" and not half_made):  # those have to be repeated
            return _once(msg)
        return (answered(msg) if msg.command in ("read", "declare_stream") else None), None

    # a suspender that trips during the very last message leaves a RunEngine (bluesky 1.15) that can do nothing any more
    return (yield from finalize_wrapper(plan_mutator(plan, mutate), _nothing))


def _once(msg: Msg) -> tuple[MsgGenerator[None], MsgGenerator[None]]:
    """Return a plan that does what a message requests and lets nothing up to it be repeated, and one that follows.

    It is done also when the plan is stopped just before: whoever requests it takes it for done then.
    """
    rewinds: Any = False
    requested = False

    def request() -> MsgGenerator[None]:
        nonlocal rewinds, requested
        try:
            rewinds = yield Msg("rewindable", None, None)
            if rewinds:
                yield Msg("rewindable", None, False)
            requested = True
            yield msg
        except Exception as error:
            if not requested and isinstance(error, RequestAbort | RequestStop):
                yield _ended(msg, error.exit_status)
            yield from rewind_again()
            raise

    def rewind_again() -> MsgGenerator[None]:
        if rewinds:
            yield Msg("rewindable", None, True)

    return request(), rewind_again()


def _ended(msg: Msg, exit_status: str) -> Msg:
    return msg._replace(kwargs=msg.kwargs | {"exit_status": exit_status}) if msg.command == "close_run" else msg


def answered(msg: Msg) -> MsgGenerator[Any]:
    """Repeat a message that was broken off, until it has an answer, where the RunEngine does not repeat it."""
    rewinds = yield Msg("rewindable", None, None)
    while (answer := (yield msg)) is None and rewinds is False:
        pass
    return answer


def _nothing() -> MsgGenerator[None]:
    yield Msg("null")
