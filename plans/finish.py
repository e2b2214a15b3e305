"""Let callbacks finish their work before a run closes."""

from typing import Any

import bluesky.plan_stubs as bps
from bluesky.preprocessors import contingency_wrapper, plan_mutator
from bluesky.utils import Msg, MsgGenerator, short_uid


def finishing_wrapper(plan: MsgGenerator[Any], chain: Any) -> MsgGenerator[Any]:
    """Wait before each run's end until the callbacks have worked on all of its frames.

    The wait has a progress bar, can be paused, and ends early when the plan is stopped or aborted.

    Parameters
    ----------
    plan : generator
    chain : object
        ``chain.trigger()`` returns a status; ``chain.hurry()`` says that somebody wants an end.
    """
    given_up = False

    def hurry(_error: Exception) -> MsgGenerator[None]:
        nonlocal given_up
        given_up = True
        chain.hurry()
        yield from bps.null()

    def wait() -> MsgGenerator[None]:
        group = short_uid("callbacks")
        yield Msg("trigger", chain, group=group)
        yield from bps.wait(group=group)

    def close(msg: Msg) -> MsgGenerator[Any]:
        yield from contingency_wrapper(wait(), except_plan=hurry, auto_raise=True)
        return (yield msg)

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if msg.command == "open_run":
            nonlocal given_up
            given_up = False
        if msg.command == "close_run" and not given_up and msg.kwargs.get("exit_status") != "abort":
            return close(msg), None
        return None, None

    return (yield from plan_mutator(plan, mutate))
