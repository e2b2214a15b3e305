"""Start a session: configuration, RunEngine, archive, devices; and end it in order, however it ends."""

import logging
import multiprocessing.util
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.config import FILE_NAME, VARIABLE, Config, apply_environment, load
from beamstream.errors import BeamstreamError
from beamstream.exits import before_exit
from beamstream.logs import plain_warnings
from beamstream.trust import check_profile, check_working_directory

if TYPE_CHECKING:
    from bluesky import RunEngine

    from beamstream.callbacks.chain import Chain
    from beamstream.instrument.access import ArchiveAccess
    from beamstream.instrument.presence import Presence
    from beamstream.instrument.watch import SessionPage

log = logging.getLogger(__name__)

_CONNECTING = 1.0  # s that a session waits for all its devices together


@dataclass(slots=True)
class Instrument:
    """Everything that a session has; `close` gives it back."""

    config: Config
    engine: "RunEngine"
    chain: "Chain"
    archive: "ArchiveAccess"
    devices: dict[str, Any] = field(default_factory=dict)
    presence: "Presence | None" = None
    page: "SessionPage | None" = None
    closed: bool = False

    def ready(self) -> None:
        """Say which devices answer, where the archive is, and how to begin."""
        from beamstream.instrument.banner import show
        from beamstream.instrument.equipment import wait_for_devices

        show(
            self.config,
            wait_for_devices(self.devices, _CONNECTING),
            url=self.archive.url,
            expected_url=self.archive.expected_url,
            seconds=_age(),
        )

    def close(self) -> None:
        """End an interrupted run, free cameras and shared memory, end our archive. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        for beside in (self.page, self.presence):
            if beside is not None:
                _attempt(type(beside).__name__, beside.close)
        if self.engine.state == "paused":
            _attempt("the paused run", lambda: self.engine.abort(reason="the session ended"))
        for name, device in self.devices.items():
            _attempt(name, device.destroy)
        for callback in self.chain.callbacks:
            if hasattr(callback, "close"):
                _attempt(getattr(callback, "name", "callback"), callback.close)
        self.archive.close()


def start(profile: Path) -> Instrument:
    """Put the instrument together, for the startup files of a profile; works in a queue server's worker too.

    Parameters
    ----------
    profile : Path
        The profile's directory; its ``beamstream.toml`` counts unless ``BEAMSTREAM_CONFIG`` or one in the
        working directory does.

    Raises
    ------
    BeamstreamError
        In a worker; a person gets one red line instead, and the process ends with status 1.
    """
    try:
        check_profile(profile)
        check_working_directory()
        instrument = assemble(configuration(profile))
    except BeamstreamError as error:
        if in_worker():
            raise
        _give_up(error)
        raise  # not reached
    before_exit(instrument.close)
    # a worker of the queue server is a multiprocessing child, and those run no atexit
    multiprocessing.util.Finalize(None, instrument.close, exitpriority=10)
    return instrument


def assemble(config: Config) -> Instrument:
    """Put the instrument together; who calls this closes it.

    Raises
    ------
    BeamstreamError
        The archive has no place, or ophyd is imported already with another control layer.
    """
    apply_environment(config)
    plain_warnings()
    # only now: ophyd and EPICS read the environment when they are imported
    from beamstream.instrument.access import ArchiveAccess
    from beamstream.instrument.engine import make_run_engine
    from beamstream.instrument.equipment import make_devices
    from beamstream.instrument.presence import Presence
    from beamstream.instrument.watch import SessionPage

    engine, chain = make_run_engine(config, watched=not in_worker())
    archive = ArchiveAccess(config)
    instrument = Instrument(config, engine, chain, archive, make_devices(config))
    instrument.presence = Presence(engine, chain, instrument.devices, config.archive.directory)
    instrument.page = SessionPage(config, instrument.devices)
    archive.start()
    return instrument


def configuration(profile: Path) -> Config:
    """Return the configuration that counts for a profile.

    Raises
    ------
    ConfigurationError
        See `beamstream.config.load`.
    """
    file = profile / FILE_NAME
    nearer = os.environ.get(VARIABLE) or (Path.cwd() / FILE_NAME).is_file()
    return load(None if nearer or not file.is_file() else file)


def in_worker() -> bool:
    """Return whether a queue server's worker runs this."""
    if "bluesky_queueserver" not in sys.modules:
        return False
    from bluesky_queueserver import is_re_worker_active

    return bool(is_re_worker_active())


def _give_up(error: BeamstreamError) -> None:
    """End IPython at once: without its first startup file the next ones would only fail in less clear words."""
    from beamstream.terminal import Terminal

    Terminal(stderr=True, soft_wrap=True).print_error(error)
    sys.stderr.flush()
    os._exit(1)


def _attempt(what: str, action: Any) -> None:
    try:
        action()
    except Exception as error:  # the others are to be closed as well
        log.warning("%s: not closed in order: %s", what, error)


def _age() -> float:
    import psutil

    return time.time() - psutil.Process().create_time()
