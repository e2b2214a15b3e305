"""An instrument for one command: its runs are journaled, shown on a terminal, and ended in order by Ctrl-C."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from beamstream.archive.layout import Layout
from beamstream.cli.ending import asked_first
from beamstream.config import Config
from beamstream.errors import BeamstreamError

if TYPE_CHECKING:
    from bluesky import RunEngine


class Acquisition:
    """Run plans whose documents are journaled into the configuration's archive, whether that is served or not.

    EPICS variables must be in the environment before this is made. To be closed: ``with Acquisition(…):``.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    devices : dict
        By name.
    interrupted : int
        The signal that ended the last run, 0 if none did.
    uids : list of str
        Of the runs so far.

    Raises
    ------
    ArchiveError
        The archive cannot be made.
    """

    def __init__(self, config: Config) -> None:
        from beamstream.terminal import Terminal

        if not os.environ.get("BEAMSTREAM_DEBUG"):  # it logs a traceback for each run that fails; we say why
            logging.getLogger("bluesky").setLevel(logging.CRITICAL)
        from beamstream.callbacks.progress import FrameProgress
        from beamstream.instrument.engine import make_run_engine
        from beamstream.instrument.equipment import make_devices
        from beamstream.instrument.presence import Presence

        self.layout = Layout(config.archive.directory)
        self.interrupted = 0
        self.uids: list[str] = []
        self.engine, self.chain = make_run_engine(config, watched=False)
        self.engine.context_managers = [self._end_on_signals]  # bluesky's own waits for a second Ctrl-C
        self.engine.subscribe(lambda _name, doc: self.uids.append(doc["uid"]), "start")
        self._stops: list[Mapping[str, Any]] = []
        self.chain.add(self._note_stop, required=True)  # the chain's: the engine does not know what callbacks failed
        bars = FrameProgress(Terminal(stderr=True))
        self.engine.waiting_hook = bars  # pyright: ignore[reportAttributeAccessIssue]  # pyright: ignore[reportAttributeAccessIssue]
        self.engine.state_hook = bars.state  # pyright: ignore[reportAttributeAccessIssue]  # pyright: ignore[reportAttributeAccessIssue]
        self._bars = bars  # the RunEngine keeps only a weak reference
        self.engine.subscribe(bars.document)
        self.devices: dict[str, Any] = make_devices(config)
        self._presence = Presence(self.engine, self.chain, self.devices, self.layout.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def scan_id(self) -> int:
        """The number of the last run."""
        return int(self.engine.md["scan_id"])

    def run(self, plan: Any) -> str:
        """Run a plan; return ``"success"``, or ``"abort"`` when a signal ended it.

        Raises
        ------
        BeamstreamError
            What made it fail, if that is one of ours, or what its stop document says; it is closed and journaled by
            then.
        """
        from bluesky.utils import RunEngineInterrupted

        self.interrupted = 0
        self._stops.clear()
        try:
            with contextlib.redirect_stdout(sys.stderr):  # bluesky prints, and stdout may be a script's JSON
                self.engine(plan)
        except RunEngineInterrupted:
            return "abort"
        except Exception as error:
            raise _cause(error) from error
        if failed := next((stop for stop in self._stops if stop["exit_status"] != "success"), None):
            raise BeamstreamError(f"run {failed['run_start'][:8]}: {failed['exit_status']}: {failed['reason']}")
        return "success"

    def _note_stop(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "stop":
            self._stops.append(doc)

    def close(self) -> None:
        """Give devices and their memory back, and end the RunEngine's thread."""
        self._presence.close()
        for device in self.devices.values():
            device.destroy()
        loop = self.engine.loop
        loop.call_soon_threadsafe(loop.stop)

    @contextlib.contextmanager
    def _end_on_signals(self, engine: "RunEngine") -> Iterator[None]:
        from devices.ledger import cut_short

        over = threading.Event()

        def end(number: int, _frame: FrameType | None) -> None:
            if asked_first(number):
                self.interrupted = number
                # not here: abort waits for the RunEngine's thread
                threading.Thread(target=_abort, args=(engine, signal.Signals(number).name, over), daemon=True).start()
            else:
                threading.Thread(target=cut_short, daemon=True).start()  # it takes locks

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            over.set()
            for number, old in before.items():
                signal.signal(number, old)


def _abort(engine: "RunEngine", reason: str, over: threading.Event) -> None:
    """End the plan, also one that is just about to begin: the RunEngine still calls itself idle then."""
    from bluesky.utils import TransitionError  # pyright: ignore[reportPrivateImportUsage]

    while not over.is_set():
        try:
            engine.abort(reason)
            return
        except TransitionError:
            over.wait(0.02)


def _cause(error: BaseException) -> Exception:
    """Return the error of ours that lies behind one of bluesky's, itself when there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BeamstreamError):
            return type(seen)(*seen.args)
        for argument in seen.args:  # FailedStatus carries the status that failed
            exception = getattr(argument, "exception", None)
            cause = exception() if callable(exception) and argument.done else None
            if isinstance(cause, BeamstreamError):
                return type(cause)(*cause.args)
        seen = seen.__cause__ or seen.__context__
    return error if isinstance(error, Exception) else RuntimeError(str(error))
