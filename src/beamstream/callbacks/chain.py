"""Chain: documents reach the journal first, then the callbacks; what these derive belongs to the same run."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from beamstream.callbacks.base import FrameCallback
from beamstream.callbacks.chain_run import ChainRun
from beamstream.callbacks.isolated import Isolated
from beamstream.callbacks.plain import Plain
from beamstream.errors import CallbackFailed


class Chain:
    """Give documents to the journal, then to callbacks, and what callbacks derive to both.

    Subscribe it in place of the journal: ``RE.subscribe(Chain(journal))``. A run's stop document waits until its
    callbacks are done, so that everything derived belongs to the run; what they did is in its stream
    ``callbacks``. With `plans.finish.finishing_wrapper` among the RunEngine's preprocessors that wait has a
    progress bar, and Ctrl-C ends it. Several runs may be open; each has a lock of its own, so that a slow callback of
    one delays no other.

    Parameters
    ----------
    journal : callable, optional
        ``journal(name, doc)``; sees every document first, and may fail the run. One call at a time.
    callbacks : sequence
        See `add`.
    """

    def __init__(self, journal: Callable[[str, Any], object] | None = None, callbacks: Sequence[Any] = ()) -> None:
        self._journal = journal if journal is not None else (lambda _name, _doc: None)
        self._callbacks: list[FrameCallback] = []
        self._runs: dict[str, ChainRun] = {}
        self._journal_lock = threading.Lock()  # taken after the lock of a run, and nothing is taken after it
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: Any, *, required: bool = False) -> Any:
        """Use a callback from the next run on; return it.

        An optional callback is called from a thread of its own: nothing that it does fails or stops a run.

        Parameters
        ----------
        callback : FrameCallback or callable
            A plain ``callback(name, doc)``, such as bluesky's BestEffortCallback, sees derived documents as well.
        required : bool
            For a plain callable: whether its exceptions fail the run. It is called in the RunEngine's thread then.
        """
        used: FrameCallback = callback if hasattr(callback, "begin") else Plain(callback, required)
        self._callbacks.append(used if used.required else Isolated(used))
        return callback

    def remove(self, callback: Any) -> None:
        """Use a callback no more, from the next run on.

        Raises
        ------
        ValueError
            It is not in use.
        """
        for used in self._callbacks:
            given = _given(used)
            if callback is given or (isinstance(_frame_callback(used), Plain) and given == callback):
                self._callbacks.remove(used)
                return
        raise ValueError(f"chain: {callback} to be removed, but it is not in use; in use are {self.callbacks}")

    @property
    def callbacks(self) -> list[Any]:
        """The callbacks in use, in their order."""
        return [_given(used) for used in self._callbacks]

    def __repr__(self) -> str:
        return f"Chain: {', '.join(c.name for c in self._callbacks) or 'no callbacks'}"

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document; in the RunEngine's thread.

        Raises
        ------
        CallbackFailed
            A required callback has failed; raised once a run, never between documents that belong together.
        """
        if name == "start":
            self._open(doc)
            return
        run = self._run_of(doc)
        if name == "stop":
            self._close(run, doc)
            return
        self._pass(run, name, doc)
        if run.collects.ends(name, doc):
            run.raise_failure()

    def run(self, uid: str | None) -> ChainRun | None:
        """Return what the callbacks do for an open run, for a plan that waits for it; None if there is no such run."""
        return self._runs.get(uid or "")

    def report(self, uid: str) -> list[dict[str, Any]]:
        """Return what the callbacks of an open run have done so far: ``name``, ``words``, ``ok``; from any thread."""
        run = self.run(uid)
        return [] if run is None else run.report()

    # a run

    def _open(self, doc: Mapping[str, Any]) -> None:
        run = ChainRun(doc)
        with self._journal_lock:
            self._journal("start", doc)
        self._runs[run.uid] = run
        for callback in tuple(self._callbacks):
            run.begin(callback, partial(self._emit, run, callback))
        run.raise_failure()

    def _run_of(self, doc: Mapping[str, Any]) -> ChainRun:
        runs = tuple(self._runs.values())
        if "run_start" in doc:
            run = self._runs.get(doc["run_start"])
        else:
            owner = next((doc[key] for key in ("descriptor", "stream_resource", "resource") if key in doc), None)
            run = next((run for run in runs if owner in run.names), None)
            if owner is None and len(runs) == 1:  # old resource documents do not name their run
                run = runs[0]
        if run is not None:
            return run
        raise CallbackFailed(f"chain: a document of none of the {len(runs)} open runs; subscribe before the run")

    def _pass(self, run: ChainRun, name: str, doc: Mapping[str, Any], origin: FrameCallback | None = None) -> None:
        """Give a document to the journal, then to the callbacks of its run, in the same order to all of them."""
        with run.lock:
            with self._journal_lock:
                self._journal(name, doc)
            if name in ("descriptor", "resource", "stream_resource"):
                run.names.add(doc["uid"])
            run.give(name, doc, origin)

    def _emit(self, run: ChainRun, origin: FrameCallback, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document that a callback made, in that one's thread."""
        with run.lock:
            if run.closed:
                raise CallbackFailed(f"{origin.name}: a document for run {run.uid}, which is closed; too late")
            run.count(name, doc)
            self._pass(run, name, doc, origin)

    def _close(self, run: ChainRun, doc: Mapping[str, Any]) -> None:
        if doc.get("exit_status") == "abort":
            run.hurry()
        run.finish()
        with run.lock:
            run.closed = True  # before the account: what comes later is not in it
        try:
            self._pass_account(run)
        except Exception as error:
            run.fail_at_end(f"the account of the callbacks is not kept: {error}")
            raise
        finally:
            try:
                self._pass(run, "stop", run.amended(doc))
            finally:
                del self._runs[run.uid]
                run.close()

    def _pass_account(self, run: ChainRun) -> None:
        for name, made in run.account():
            run.count(name, made)
            self._pass(run, name, made)


def _frame_callback(used: FrameCallback) -> FrameCallback:
    return used.callback if isinstance(used, Isolated) else used


def _given(used: FrameCallback) -> Any:
    """Return what `Chain.add` was given."""
    callback = _frame_callback(used)
    return callback.callback if isinstance(callback, Plain) else callback
