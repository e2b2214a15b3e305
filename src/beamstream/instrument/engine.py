"""The RunEngine as everybody gets it: the journal first, an account at each run's end, numbers that go on."""

import fcntl
import logging
import os
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky.callbacks.core import make_callback_safe

from beamstream import __version__
from beamstream.archive.layout import Layout
from beamstream.callbacks.chain import Chain
from beamstream.callbacks.journal import Journal
from beamstream.callbacks.ledger_table import LedgerTable
from beamstream.callbacks.progress import FrameProgress
from beamstream.config import Config
from beamstream.forks import open_unshared
from beamstream.instrument.callbacks import add_callbacks
from beamstream.instrument.during import DuringPlan
from beamstream.instrument.interrupts import Interrupts
from beamstream.locks import unlock
from beamstream.private import file_mode, set_mode
from plans.finish import finishing_wrapper
from plans.ledger import ledger_wrapper

log = logging.getLogger(__name__)

# a motor that is where it is sent to: ophyd divides by the distance, and says so to the user
warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning, "ophyd.status")


def make_run_engine(
    config: Config, *, watched: bool = True, md: Mapping[str, Any] | None = None
) -> tuple[RunEngine, Chain]:
    """Return a RunEngine that keeps every document on disk before anybody else sees it, and its chain of callbacks.

    Required: the `Journal` in the archive's directory, which is first in the chain, and the ledger of each run.
    After it the callbacks that the configuration switches on.
    Optional, and not able to fail a run: bars while frames come, a table when a run ends.

    Parameters
    ----------
    config : Config
    watched : bool
        Whether somebody looks: bars and tables on standard output.
    md : dict, optional
        Goes into every start document.

    Raises
    ------
    ArchiveError
        The archive's directory cannot be made.
    """
    layout = Layout(config.archive.directory)
    layout.prepare(config.archive.group)
    numbers = ScanIds(layout.directory / "scan_id")
    engine = RunEngine(dict(md or {}), scan_id_source=numbers, during_task=DuringPlan(), context_managers=[Interrupts])
    engine.md["versions"]["beamstream"] = __version__
    chain = Chain(Journal(layout.journal))
    add_callbacks(chain, config, watched=watched)
    engine.subscribe(chain)
    engine.preprocessors.append(partial(_rewinding, engine))
    engine.preprocessors.append(ledger_wrapper)
    engine.preprocessors.append(partial(finishing_wrapper, chain=chain))
    if watched:
        progress = FrameProgress()
        engine.waiting_hook = progress  # pyright: ignore[reportAttributeAccessIssue]
        engine.state_hook = progress.state  # pyright: ignore[reportAttributeAccessIssue]
        engine.subscribe(make_callback_safe(progress.document, logger=log))
        chain.add(LedgerTable())
    return engine, chain


def _rewinding(engine: RunEngine, plan: Any) -> Any:
    """Make an interrupted plan go back to its last checkpoint; a halted one leaves it otherwise (bluesky 1.15)."""
    engine.rewindable = True
    return plan


class ScanIds:
    """Count runs across sessions: ``RunEngine(scan_id_source=ScanIds(path))``.

    Sessions and queue servers that share an archive never give the same number twice. ``RE.md["scan_id"] = 1000``
    lets the count go on from there; it never goes back, unless the file is deleted.

    Parameters
    ----------
    path : Path
        Holds the last number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, md: Mapping[str, Any]) -> int:
        """Return the next number; called in the RunEngine's thread."""
        ours = int(md.get("scan_id", 0))
        try:
            return self._next(ours)
        except (OSError, ValueError) as error:  # a number is not worth a run: uid tells runs apart
            log.warning("scan_id: %s cannot be used (%s); counting on from %d", self._path, error, ours)
            return ours + 1

    def _next(self, ours: int) -> int:
        fd = open_unshared(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            set_mode(fd, file_mode(self._path.parent))
            fcntl.flock(fd, fcntl.LOCK_EX)
            number = max(ours, int(os.pread(fd, 32, 0) or b"0")) + 1
            os.pwrite(fd, f"{number}\n".encode(), 0)  # numbers only grow: what is written never gets shorter
            return number
        finally:
            unlock(fd)
