"""The last chance before the interpreter ends: while its threads, and so Channel Access, still work."""

import concurrent.futures.thread  # noqa: F401, its hook must be there before ours: the last comes first
import logging
import sys
import threading
import time
from collections.abc import Callable

_ANSWER = 2.0  # s that a server has for questions which are under way


def before_exit(function: Callable[[], object]) -> None:
    """Call a function when the main thread has ended, the latest first.

    `atexit` comes too late for devices: the pools of `concurrent.futures` are gone by then, and caproto drops a
    connection on which an update arrives after that, together with the writes that were to put things back.
    """
    threading._register_atexit(function)  # pyright: ignore[reportAttributeAccessIssue]


def end_channel_access() -> None:
    """Let ophyd end what it asks a server, and keep caproto and it from printing what they could not do any more.

    ophyd asks for units and limits in threads of its own; without an answer one would wait its 10 s, and complain.
    Nothing can be asked afterwards. Calling it again does no harm.
    """
    logging.getLogger("caproto.circ").disabled = True
    shim = sys.modules.get("ophyd._caproto_shim")
    dispatcher = shim.get_dispatcher() if shim is not None else None
    if dispatcher is None:
        return
    dispatcher.stop_event.set()
    deadline = time.monotonic() + _ANSWER
    for thread in dispatcher.threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    dispatcher.logger.disabled = True
    dispatcher._threads.clear()  # ophyd would wait for them without a deadline


before_exit(end_channel_access)
