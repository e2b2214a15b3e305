"""Pauses and suspensions: what is in documents is not repeated after them, what they broke off is."""

from collections.abc import Hashable
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg, MsgGenerator, single_gen


def interruptible_wrapper(plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Let a plan be paused or suspended anywhere, with each event and each run's end in the documents once.

    After an interruption a RunEngine (bluesky 1.15) repeats all messages since the last checkpoint, events that it has
    emitted included. So an event ends with a checkpoint, and a run's end is not repeated. Where it does not repeat
    messages it drops the one that was broken off: a reading or a declared stream is then made again.
    """
    half_made: set[Hashable] = set()  # keys of runs with an event that is not complete

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        match msg.command:
            case "create":
                half_made.add(msg.run)
            case "save" | "drop":
                half_made.discard(msg.run)
                if msg.command == "save" and not half_made:  # those could not be repeated any more
                    return _once(msg), None
            case "close_run":
                half_made.discard(msg.run)
                return _once(msg), None
            case "read" | "declare_stream":
                return answered(msg), None
        return None, None

    # a suspender that trips during the very last message leaves a RunEngine (bluesky 1.15) that can do nothing any more
    return (yield from bpp.finalize_wrapper(bpp.plan_mutator(plan, mutate), bps.null))


def _once(msg: Msg) -> MsgGenerator[Any]:
    return (yield from bpp.rewindable_wrapper(single_gen(msg), False))


def answered(msg: Msg) -> MsgGenerator[Any]:
    """Repeat a message that was broken off, until it has an answer, where the RunEngine does not repeat it."""
    rewinds = yield Msg("rewindable", None, None)
    while (answer := (yield msg)) is None and rewinds is False:
        pass
    return answer
