"""Uploads that are taken beside the archive: a process that is there as long as the command is."""

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from beamstream.errors import IngestError

if TYPE_CHECKING:
    from beamstream.config import Ingest
    from beamstream.ingest.process import IngestProcess
    from beamstream.network.tls import Certificate

log = logging.getLogger(__name__)

_LOOK = 0.5  # s between two looks at the process
_PAUSE = 5.0  # s before another attempt when it does not start


class Ingesting:
    """Take uploads while the block runs; should the process die, another one goes on where it was.

    Parameters
    ----------
    process : IngestProcess
    """

    def __init__(self, process: "IngestProcess") -> None:
        self.key_file: Path = process.key_file
        self._process = process
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="beamstream-ingest")

    @property
    def url(self) -> str:
        """Where uploads are taken."""
        return self._process.url

    def __enter__(self) -> Self:
        """Begin.

        Raises
        ------
        IngestError
            The port is in use, or another process takes uploads of this archive.
        """
        self._process.__enter__()
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watcher.join()
        self._process.close()

    def _watch(self) -> None:
        pause = _LOOK
        while not self._ended.wait(pause):
            pause = _LOOK
            if self._process.running:
                continue
            log.warning("ingest: its process ended (%s); another one is started", self._process.error_output()[-200:])
            try:
                self._process.restart()
            except IngestError as error:
                log.warning("%s", error)
                pause = _PAUSE


def wanted(
    settings: "Ingest", archive: Path, asked: bool | None, port: int | None, tls: "Certificate | None" = None
) -> Ingesting | None:
    """Return what takes uploads into an archive; None where nobody asked for it.

    Parameters
    ----------
    settings : Ingest
        What holds where the command line says nothing.
    archive : Path
    asked : bool, optional
    port : int, optional
        To ask for a port is to ask for uploads.
    tls : Certificate, optional
    """
    if not (asked if asked is not None else settings.enabled or port is not None):
        return None
    from beamstream.ingest.process import IngestProcess

    at = settings.port if port is None else port
    options = {
        "host": settings.host,
        "key_file": settings.key_file,
        "allowed_hosts": settings.allowed_hosts,
        "tls": tls,
    }
    return Ingesting(IngestProcess(archive, at, **options))
