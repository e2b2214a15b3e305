"""Chain: documents reach the journal first, then the callbacks; what these derive belongs to the same run."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from beamstream.callbacks.chain_run import ChainRun, FrameCallback
from beamstream.callbacks.plain import Plain
from beamstream.errors import CallbackFailed


class Chain:
    """Give documents to the journal, then to callbacks, and what callbacks derive to both.

    Subscribe it in place of the journal: ``RE.subscribe(Chain(journal))``. A run's stop document waits until its
    callbacks are done, so that everything derived belongs to the run; what they did is in its stream
    ``callbacks``. With `plans.finish.finishing_wrapper` among the RunEngine's preprocessors that wait has a
    progress bar, and Ctrl-C ends it.

    Parameters
    ----------
    journal : callable, optional
        ``journal(name, doc)``; sees every document first, and may fail the run.
    callbacks : sequence
        See `add`.
    """

    name = "callbacks"
    parent = None  # for a RunEngine that triggers it

    def __init__(self, journal: Callable[[str, Any], object] | None = None, callbacks: Sequence[Any] = ()) -> None:
        self._journal = journal or (lambda _name, _doc: None)
        self._callbacks: list[FrameCallback] = []
        self._runs: dict[str, ChainRun] = {}
        self._owners: dict[str, str] = {}  # uid of the run, by uid of descriptors
        self._lock = threading.RLock()
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: Any, *, required: bool = False) -> Any:
        """Use a callback from the next run on; return it.

        Parameters
        ----------
        callback : FrameCallback or callable
            A plain ``callback(name, doc)``, such as bluesky's BestEffortCallback, sees derived documents as well.
        required : bool
            For a plain callable: whether its exceptions fail the run.
        """
        self._callbacks.append(callback if hasattr(callback, "begin") else Plain(callback, required))
        return callback

    def remove(self, callback: Any) -> None:
        """Use a callback no more, from the next run on.

        Raises
        ------
        ValueError
            It is not in use.
        """
        for used in self._callbacks:
            if callback is used or (isinstance(used, Plain) and used.callback == callback):
                self._callbacks.remove(used)
                return
        raise ValueError(f"chain: {callback} to be removed, but it is not in use; in use are {self.callbacks}")

    @property
    def callbacks(self) -> list[Any]:
        """The callbacks in use, in their order."""
        return [c.callback if isinstance(c, Plain) else c for c in self._callbacks]

    def __repr__(self) -> str:
        return f"Chain: {', '.join(c.name for c in self._callbacks) or 'no callbacks'}"

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document; in the RunEngine's thread.

        Raises
        ------
        CallbackFailed
            A required callback has failed; said once a run.
        """
        if name == "start":
            self._open(doc)
            return
        run = self._run_of(doc)
        if name == "stop":
            self._close(run, doc)
            return
        self._pass(run, name, doc)
        run.raise_failure()

    def told(self, uid: str) -> list[dict[str, Any]]:
        """Return what the callbacks of an open run have done so far: ``name``, ``words``, ``ok``; from any thread."""
        run = self._runs.get(uid)
        return [] if run is None else run.told()

    # finishing from a plan

    def trigger(self) -> Any:
        """Return a status that is done when the callbacks of the youngest run are; for a plan, before it closes."""
        from beamstream.callbacks.finish_status import FinishStatus

        run = next((r for r in reversed(self._runs.values()) if not r.finishing), None)
        status = FinishStatus(self, lambda: run.progress if run is not None else (0, 0))
        if run is None:
            status.set_finished()
            return status
        thread = threading.Thread(target=run.finish_and_tell, args=(status,), name="callbacks-finish", daemon=True)
        thread.start()
        return status

    def hurry(self) -> None:
        """Leave undone what callbacks do not manage in two seconds: somebody wants the run to end."""
        for run in self._runs.values():
            run.hurry()

    # a run

    def _open(self, doc: Mapping[str, Any]) -> None:
        run = ChainRun(doc)
        with self._lock:
            self._journal("start", doc)
            self._runs[doc["uid"]] = run
        for callback in tuple(self._callbacks):
            run.begin(callback, partial(self._emit, run, callback))
        run.raise_failure()

    def _run_of(self, doc: Mapping[str, Any]) -> ChainRun:
        uid = doc.get("run_start") or self._owners.get(doc.get("descriptor", ""))
        if uid in self._runs:
            return self._runs[uid]
        if len(self._runs) == 1:  # old resource documents do not say whose they are
            return next(iter(self._runs.values()))
        raise CallbackFailed(f"chain: a document of none of the {len(self._runs)} open runs; subscribe before the run")

    def _pass(self, run: ChainRun, name: str, doc: Mapping[str, Any], origin: FrameCallback | None = None) -> None:
        with self._lock:
            self._journal(name, doc)
            if name == "descriptor":
                self._owners[doc["uid"]] = run.uid
            run.give(name, doc, origin)

    def _emit(self, run: ChainRun, origin: FrameCallback, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document that a callback made, in that one's thread."""
        if run.closed:
            raise CallbackFailed(f"{origin.name}: a document for run {run.uid}, which is closed; too late")
        run.count(name, doc)
        self._pass(run, name, doc, origin)

    def _close(self, run: ChainRun, doc: Mapping[str, Any]) -> None:
        if doc.get("exit_status") == "abort":
            run.hurry()
        run.finish()
        try:
            for name, made in run.account():
                run.count(name, made)
                self._pass(run, name, made)
        finally:  # a journal that could not keep the account gets the stop document nevertheless: no run stays open
            run.closed = True
            try:
                self._pass(run, "stop", run.amended(doc))
            finally:
                del self._runs[run.uid]
                self._owners = {d: uid for d, uid in self._owners.items() if uid != run.uid}
