"""The last chance before the interpreter ends: while its threads, and so Channel Access, still work."""

import concurrent.futures.thread  # noqa: F401, its hook must be there before ours: the last comes first
import logging
import threading
from collections.abc import Callable


def before_exit(function: Callable[[], object]) -> None:
    """Call a function when the main thread has ended, the latest first.

    `atexit` comes too late for devices: the pools of `concurrent.futures` are gone by then, and caproto drops a
    connection on which an update arrives after that, together with the writes that were to put things back.
    """
    threading._register_atexit(function)  # pyright: ignore[reportAttributeAccessIssue]


def _quiet() -> None:
    """Keep caproto from printing that its pool has ended; what was to be done over its connections is done."""
    logging.getLogger("caproto.circ").disabled = True


before_exit(_quiet)
