"""What the callbacks of a chain do for one run, how long they are waited for, and what comes of failures."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from beamstream.callbacks.accounts import accounts_of
from beamstream.callbacks.base import FrameCallback, Work
from beamstream.callbacks.chain_part import Part
from beamstream.callbacks.collects import Collects
from beamstream.callbacks.images import Emit
from beamstream.callbacks.isolated import IsolatedWork
from beamstream.errors import CallbackFailed

if TYPE_CHECKING:
    from beamstream.callbacks.finish_status import FinishStatus

log = logging.getLogger(__name__)

PATIENCE = 60.0  # s without any progress, or twice the longest time that it took; then the rest is left undone
_HURRY = 2.0  # s
_LAST = 10.0  # s for the frame that it is at
_SLICE = 0.1  # s


class ChainRun:
    """What the callbacks do for one run.

    Attributes
    ----------
    lock : threading.RLock
        Held while a document is passed on; of this run alone.
    names : set of str
        Uids of the run's descriptors and resources.
    closed : bool
        Whether no more documents are accepted.
    collects : Collects
        Of the RunEngine's documents.
    """

    name = "callbacks"
    parent = None  # for a RunEngine that triggers it

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.start = start
        self.uid: str = start["uid"]
        self.lock = threading.RLock()
        self.names: set[str] = set()
        self.closed = False
        self.collects = Collects()
        self._deadline = math.inf
        self._parts: list[Part] = []
        self._at_end = self._reason = ""
        self._raised = False
        self._streams: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._finish_lock = threading.Lock()

    def begin(self, callback: FrameCallback, emit: Emit) -> None:
        """Begin with a callback; its name is followed by a number where others have the same."""
        same = sum(part.callback.name == callback.name for part in self._parts)
        part = Part(callback, callback.name if not same else f"{callback.name}_{same + 1}")
        part.work = part.attempt(lambda: callback.begin(self.start, emit))
        if part.work is not None or part.error is not None:
            self._parts.append(part)

    def give(self, name: str, doc: Mapping[str, Any], origin: FrameCallback | None) -> None:
        """Give a document to all callbacks but the one that made it."""
        for part in self._parts:
            work = part.work
            if part.callback is origin or work is None or (part.error is not None and work.error is None):
                continue  # one whose thread ended still counts what it does not do
            part.attempt(lambda work=work: work(name, doc))

    def raise_failure(self) -> None:
        """Raise the failure of a required callback, once, so that the plan ends and cleans up."""
        failed = self._failed()
        if failed is not None and not self._raised:
            self._raised = True
            raise CallbackFailed(f"{failed.name}: {failed.error}") from failed.error

    def _failed(self) -> Part | None:
        for part in self._parts:
            part.gather()
        return next((part for part in self._parts if part.required and part.error is not None), None)

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done and announced, of all callbacks together."""
        counts = [part.progress for part in self._parts]
        return sum(done for done, _ in counts), sum(announced for _, announced in counts)

    def report(self) -> list[dict[str, Any]]:
        """Return of each callback ``name``, ``words`` and ``ok``: how far it is, or why it does not go on."""
        return [part.report() for part in self._parts]

    # the end of the run

    def trigger(self) -> "FinishStatus":
        """Return a status that is done when the callbacks are; for a plan, before it closes the run."""
        from beamstream.callbacks.finish_status import FinishStatus  # ophyd: only when the environment is set

        status = FinishStatus(self, lambda: self.progress)
        threading.Thread(target=self._finish_and_report, args=(status,), name="callbacks-finish", daemon=True).start()
        return status

    def hurry(self) -> None:
        """Leave undone what is not done in two seconds."""
        self._deadline = min(self._deadline, time.monotonic() + _HURRY)

    def finish(self) -> None:
        """Wait until the callbacks are done: first those that derive something, then the others."""
        with self._finish_lock:
            for part in sorted(self._parts, key=lambda part: not part.callback.derives):
                if part.work is not None and not part.ended:
                    part.attempt(part.work.finish)
                    part.attempt(lambda part=part, work=part.work: self._wait(part, work))
                    part.ended = True
                part.gather()
                if part.required and part.error is None:
                    part.attempt(part.check_complete)

    def _wait(self, part: Part, work: Work) -> None:
        why = self._wait_for(work.wait, work)
        if not why:
            return
        work.give_up()
        ends = work.wait(_LAST)
        if not ends and isinstance(work, IsolatedWork):
            work.abandon()
        part.gather()
        done, announced = part.progress
        part.fail(CallbackFailed(f"{why}; {done} of {announced} frames done{'' if ends else '; it does not end'}"))

    def _wait_for(self, wait: Callable[[float], bool], work: Work) -> str:
        """Wait; return why that ended before what is waited for, if it did."""
        last, longest = time.monotonic(), 0.0  # progress, and the longest time between two
        while not wait(_SLICE):
            now, moved = time.monotonic(), max(last, work.moved)
            last, longest = moved, max(longest, moved - last)
            patience = max(PATIENCE, 2 * longest)
            if now > self._deadline:
                return "cut short"
            if now > last + patience:
                return f"nothing done for {patience:.3g} s"
        return ""

    def close(self) -> None:
        """Wait until optional callbacks have returned from the stop document, as long as they make progress."""
        for part in self._parts:
            work = part.work
            if isinstance(work, IsolatedWork):
                if self._wait_for(work.wait_delivered, work):
                    work.abandon()
                work.close()
            part.gather()
        if (failed := self._failed()) and not self._reason:
            log.warning("%s: %s; the run's stop document is kept already", failed.name, failed.error)

    def _finish_and_report(self, status: "FinishStatus") -> None:
        self.finish()
        failed = self._failed()
        if failed is None or self._raised:
            status.set_finished()
        else:
            self._raised = True
            status.set_exception(CallbackFailed(f"{failed.name}: {failed.error}"))

    # documents of its own

    def count(self, name: str, doc: Mapping[str, Any]) -> None:
        """Count the events of streams that the RunEngine does not know of."""
        if name == "descriptor":
            self._streams[doc["uid"]] = doc["name"]
            self._numbers.setdefault(doc["name"], 0)
        elif name in ("event", "stream_datum") and doc["descriptor"] in self._streams:
            stream = self._streams[doc["descriptor"]]
            last = doc["seq_num"] if name == "event" else doc["seq_nums"]["stop"] - 1
            self._numbers[stream] = max(self._numbers[stream], last)

    def account(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the documents with the accounts of the callbacks."""
        return accounts_of(self.start, {part.name: part.account for part in self._parts})

    def fail_at_end(self, reason: str) -> None:
        """Mark the run as failed in its stop document."""
        self._at_end = reason

    def amended(self, stop: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stop document with derived streams and failures in it."""
        amended = dict(stop)
        amended["num_events"] = {**stop.get("num_events", {}), **self._numbers}
        failed = self._failed()
        self._reason = reason = self._at_end if failed is None else f"{failed.name}: {failed.error}"
        if reason and stop.get("exit_status") == "success":
            log.warning("run %s is marked as failed: %s", self.uid[:8], reason)
            amended |= {"exit_status": "fail", "reason": reason}
        return amended
