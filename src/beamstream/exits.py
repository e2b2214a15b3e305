"""What is done when the interpreter ends, in the process that asked for it: a child made by fork does none of it."""

import atexit
import concurrent.futures.thread  # noqa: F401, its hook must be there before ours: the last comes first
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from os import register_at_fork
from typing import Generic, TypeVar

from beamstream.forks import this_process

T = TypeVar("T")

_ANSWER = 2.0  # s that a server has for questions which are under way


def before_exit(function: Callable[[], object]) -> None:
    """Call a function when the main thread has ended, the latest first; while threads and Channel Access still work.

    `at_exit` comes too late for devices: the pools of `concurrent.futures` are gone by then, and caproto drops a
    connection on which an update arrives after that, together with the writes that were to put things back.
    """
    threading._register_atexit(_only_here(function))  # pyright: ignore[reportAttributeAccessIssue]


def at_exit(function: Callable[[], object]) -> None:
    """Call a function when all threads have ended that are waited for, the latest first; in place of `atexit`."""
    atexit.register(_only_here(function))


class OpenObjects(Generic[T]):
    """The open objects of a kind, closed when the interpreter ends if nobody did before.

    A child made by fork begins without any: those of its parent are not its own to close.

    Parameters
    ----------
    close : callable
        ``close(objects)``, at the end; not called if there are none.
    early : bool
        Before the threads have ended, see `before_exit`.
    """

    def __init__(self, close: Callable[[list[T]], object], *, early: bool = False) -> None:
        self._close = close
        self._begin_anew()
        register_at_fork(after_in_child=self._begin_anew)
        if early:
            threading._register_atexit(self._close_all)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            atexit.register(self._close_all)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._objects))

    def add(self, one: T) -> None:
        """Close it at the end; it is not kept alive."""
        self._objects.add(one)

    def discard(self, one: T) -> None:
        """Note that it is closed."""
        self._objects.discard(one)

    def _begin_anew(self) -> None:
        self._objects: weakref.WeakSet[T] = weakref.WeakSet()

    def _close_all(self) -> None:
        if objects := list(self):
            self._close(objects)


def _only_here(function: Callable[[], object]) -> Callable[[], None]:
    """Return a function that does nothing in a child made by fork: those inherit what is registered."""
    process = this_process()

    def call() -> None:
        if this_process() is process:
            function()

    return call


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
