"""The process that takes uploads, as the one sees it who started it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from beamstream.archive.layout import Layout, read_key
from beamstream.children import python_module
from beamstream.errors import IngestError, NotConnected
from beamstream.network.tls import Certificate
from beamstream.sim.child import ChildProcess

_ENVIRONMENT = {  # what is received is taken from memory that was used before: new pages cost more than the work
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class IngestProcess(ChildProcess):
    """Take uploads into an archive; ``with IngestProcess("data") as ingest: print(ingest.url)``.

    The service is a process of its own, and ends when this one is gone. Killed and started again it goes on where
    it was: everything that it acknowledged is on the disk.

    Parameters
    ----------
    directory : path-like
        The archive; made if it is missing.
    port : int
        0 takes a free one, and keeps it over `restart`.
    host : str
        Who can reach it; the default is this machine alone.
    key_file : path-like, optional
        ``<archive>/ingest_key`` otherwise; made, mode 600, if it is missing.
    tls : Certificate, optional
        What it speaks TLS with.
    timeout : float
        s until it must answer, and that it has to end.
    allowed_hosts : sequence of str
        Names by which others reach it, besides `host`.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        key_file: str | os.PathLike[str] | None = None,
        tls: Certificate | None = None,
        timeout: float = 30.0,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        super().__init__("ingest", (), environment={**os.environ, **_ENVIRONMENT}, timeout=timeout)
        self.layout = Layout(Path(directory))
        self.key_file = Path(key_file).expanduser().absolute() if key_file else self.layout.ingest_key
        self._host, self._port, self._tls, self._allowed_hosts = host, port, tls, allowed_hosts

    def start(self) -> Self:
        """Start the service and wait until it answers; nothing happens when it runs.

        Raises
        ------
        IngestError
            It ended, or did not answer in time; quotes its last words.
        """
        self.command = python_module("beamstream.ingest", str(self.layout.directory))
        self.command += ["--host", self._host, "--port", str(self._port), "--key-file", str(self.key_file)]
        self.command += [f"--allowed-host={name}" for name in self._allowed_hosts]
        tls = self._tls
        self.command += [] if tls is None else ["--tls-cert", str(tls.cert), "--tls-key", str(tls.key)]
        try:
            super().start()
        except NotConnected as error:
            words = self.error_output().splitlines()
            told = bool(words) and words[-1].startswith(("ingest:", "archive:", "tls:"))
            raise IngestError(words[-1] if told else str(error)) from None
        self._port = urlsplit(self.url).port or 0
        return self

    @property
    def url(self) -> str:
        """Where it answers, ``http://host:port``; what a client calls its endpoint."""
        return self.ready["url"]

    @property
    def key(self) -> str:
        """What clients have to show."""
        return read_key(self.key_file)

    def stream(self, data_id: str) -> Path:
        """Return the Zarr array of a stream's frames; ``timestamp`` beside it has the capture times."""
        return self.layout.streams / data_id / "frames"
