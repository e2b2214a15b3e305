"""What the callbacks of a chain do for one run, how long they are waited for, and what comes of failures."""

import logging
import math
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

from beamstream.callbacks.derived import descriptor_of, event_of
from beamstream.callbacks.images import Emit
from beamstream.errors import CallbackFailed

log = logging.getLogger(__name__)

STREAM = "callbacks"
PATIENCE = 60.0  # s without a frame done, then the rest is left undone
_HURRY = 2.0  # s
_LAST = 10.0  # s for the frame that it is at
_SLICE = 0.1  # s


class Work(Protocol):
    """What a callback does for one run; see `beamstream.callbacks.work.FrameWork`."""

    error: Exception | None
    moved: float

    def __call__(self, name: str, doc: Mapping[str, Any], /) -> None: ...
    def finish(self) -> None: ...
    def wait(self, timeout: float, /) -> bool: ...
    def give_up(self) -> None: ...
    @property
    def progress(self) -> tuple[int, int]: ...
    @property
    def account(self) -> dict[str, Any]: ...


class FrameCallback(Protocol):
    """A callback that works on frames, one `Work` a run.

    Attributes
    ----------
    name : str
    required : bool
        Whether its failure fails the run; otherwise it is isolated, counted and said.
    derives : bool
        Whether others may want what it makes: then it is finished before them.
    """

    name: str
    required: bool
    derives: bool

    def begin(self, start: Mapping[str, Any], emit: Emit, /) -> Work | None:
        """Begin with a run; None when there is nothing to do for it."""
        ...


class ChainRun:
    """What the callbacks do for one run."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.start = start
        self.uid: str = start["uid"]
        self._deadline = math.inf
        self.finishing = False
        self.closed = False
        self._works: list[tuple[FrameCallback, Work]] = []
        self._failures: list[tuple[FrameCallback, Exception]] = []
        self._raised = False
        self._streams: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._finish_lock = threading.Lock()

    def begin(self, callback: FrameCallback, emit: Emit) -> None:
        try:
            work = callback.begin(self.start, emit)
        except Exception as error:
            self.fail(callback, error)
            return
        if work is not None:
            self._works.append((callback, work))

    def give(self, name: str, doc: Mapping[str, Any], origin: FrameCallback | None) -> None:
        for callback, work in self._works:
            failed = any(callback is one for one, _ in self._failures)
            if callback is origin or (failed and work.error is None):
                continue  # one whose thread ended still counts what it does not do
            try:
                work(name, doc)
            except Exception as error:
                self.fail(callback, error)

    def fail(self, callback: FrameCallback, error: Exception) -> None:
        self._failures.append((callback, error))
        if not callback.required:
            log.warning("%s: %s; the run goes on without it", callback.name, error)

    def raise_failure(self) -> None:
        """Raise the failure of a required callback, once, so that the plan ends and cleans up."""
        failure = self._failure()
        if failure is not None and not self._raised:
            self._raised = True
            raise CallbackFailed(f"{failure[0].name}: {failure[1]}") from failure[1]

    def _failure(self) -> tuple[FrameCallback, Exception] | None:
        self._gather()
        return next((f for f in self._failures if f[0].required), None)

    def _gather(self) -> None:
        for callback, work in self._works:
            if work.error is not None and not any(callback is failed for failed, _ in self._failures):
                self.fail(callback, work.error)

    @property
    def progress(self) -> tuple[int, int]:
        """Frames done and announced, of all callbacks together."""
        done, announced = zip(*(work.progress for _, work in self._works), strict=True) if self._works else ((0,), (0,))
        return sum(done), sum(announced)

    def told(self) -> list[dict[str, Any]]:
        """Return of each callback ``name``, ``words`` and ``ok``: how far it is, or why it does not go on."""
        errors = {id(callback): error for callback, error in self._failures}
        return [_told(callback, work, work.error or errors.get(id(callback))) for callback, work in self._works]

    def finish(self) -> None:
        """Wait until the callbacks are done: first those that derive something, then the others."""
        self.finishing = True
        with self._finish_lock:
            for callback, work in sorted(self._works, key=lambda pair: not pair[0].derives):
                work.finish()
                self._wait(callback, work)
            self._gather()

    def hurry(self) -> None:
        """Leave undone what is not done in two seconds."""
        self._deadline = time.monotonic() + _HURRY

    def _wait(self, callback: FrameCallback, work: Work) -> None:
        began = time.monotonic()
        while not work.wait(_SLICE):
            if time.monotonic() > min(self._deadline, max(began, work.moved) + PATIENCE):
                work.give_up()
                if not work.wait(_LAST):
                    self.fail(callback, CallbackFailed(f"{callback.name} does not end; its last frames are undone"))
                return

    def finish_and_tell(self, status: Any) -> None:
        self.finish()
        failure = self._failure()
        if failure is None or self._raised:
            status.set_finished()
        else:
            self._raised = True
            status.set_exception(CallbackFailed(f"{failure[0].name}: {failure[1]}"))

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
        """Return the documents that say what the callbacks did."""
        data = {f"{c.name}_{key}": value for c, work in self._works for key, value in work.account.items()}
        data |= {f"{c.name}_error": str(error) for c, error in self._failures}
        if not data:
            return []
        keys = {key: _data_key(value) for key, value in data.items()}
        descriptor = descriptor_of(self.start, STREAM, {STREAM: keys}, {})
        return [("descriptor", descriptor), ("event", event_of(descriptor, 1, data))]

    def amended(self, stop: Mapping[str, Any]) -> dict[str, Any]:
        """Return the stop document with derived streams and failures in it."""
        amended = dict(stop)
        amended["num_events"] = {**stop.get("num_events", {}), **self._numbers}
        failure = self._failure()
        if failure is not None and stop.get("exit_status") == "success":
            amended |= {"exit_status": "fail", "reason": f"{failure[0].name}: {failure[1]}"}
        return amended


def _told(callback: FrameCallback, work: Work, error: Exception | None) -> dict[str, Any]:
    done, announced = work.progress
    words = str(error) if error is not None else f"{done} of {announced} frames" if announced else ""
    return {"name": callback.name, "words": words, "ok": error is None}


def _data_key(value: Any) -> dict[str, Any]:
    return {"source": "beamstream", "dtype": "string" if isinstance(value, str) else "integer", "shape": []}
