"""Let callbacks finish their work before a run closes."""

from typing import Any

import bluesky.plan_stubs as bps
from bluesky.preprocessors import contingency_wrapper, plan_mutator
from bluesky.utils import Msg, MsgGenerator, short_uid

from plans.flights import wait_until_done


def finishing_wrapper(plan: MsgGenerator[Any], chain: Any) -> MsgGenerator[Any]:
    """Wait before each run's end until the callbacks have worked on all of its frames.

    The wait has a progress bar, can be paused, and ends early when the plan is stopped or aborted. Of several open
    runs, it concerns only the one that closes.

    Parameters
    ----------
    plan : generator
    chain : object
        ``chain.run(uid)`` returns what the callbacks do for an open run, or None: its ``trigger()`` returns a status,
        its ``hurry()`` makes the callbacks end within seconds.
    """
    opened: dict[Any, str | None] = {}  # uids, by the key of the run
    hurried: set[str] = set()

    def open_(msg: Msg) -> MsgGenerator[Any]:
        opened[msg.run] = uid = yield msg
        return uid

    def wait(run: Any) -> MsgGenerator[None]:
        group = short_uid("callbacks")
        status = yield Msg("trigger", run, group=group)
        yield from wait_until_done(group, [status])

    def close(msg: Msg, run: Any) -> MsgGenerator[Any]:
        def hurry(_error: Exception) -> MsgGenerator[None]:
            hurried.add(run.uid)
            run.hurry()
            yield from bps.null()

        yield from contingency_wrapper(wait(run), except_plan=hurry, auto_raise=True)
        return (yield msg)

    def mutate(msg: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if msg.command == "open_run":
            return open_(msg), None
        if msg.command == "close_run" and msg.kwargs.get("exit_status") != "abort":
            run = chain.run(opened.get(msg.run))
            if run is not None and run.uid not in hurried:
                return close(msg, run), None
        return None, None

    return (yield from plan_mutator(plan, mutate))
