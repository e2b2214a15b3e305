"""ArchiveServer: the archive over HTTP, filled from the journal by the same process."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

from beamstream.archive.address import claim, listen
from beamstream.archive.layout import Layout, make_key
from beamstream.archive.logs import quiet_logs
from beamstream.errors import ArchiveError
from beamstream.locks import unlock
from beamstream.network.address import Address, new_secret
from beamstream.network.hosts import own_names
from beamstream.network.http_server import HttpServer
from beamstream.network.limits import Limits, allow_many_files
from beamstream.network.listening import url_of
from beamstream.network.tls import Certificate, unencrypted_warning, uvicorn_options
from beamstream.private import restrict_umask

if TYPE_CHECKING:
    from beamstream.archive.feeder import Feeder

log = logging.getLogger(__name__)

_MESSAGE = 1 << 20  # bytes of a websocket's


class ArchiveServer:
    """Serve an archive directory over HTTP, and file into it what the journal holds.

    Use `serve` for a process of its own, or ``with ArchiveServer(…):`` for a thread of this one.

    Parameters
    ----------
    directory : Path
        The archive, see `Layout`; made if it is missing.
    recordings : sequence of Path
        Directories of recorded files that may be served, besides ``<directory>/recordings``.
    host : str
        Who can reach it; the default is this machine alone.
    port : int
        0 takes a free one.
    anonymous : bool
        Let everybody who reaches it read without the key; writing always wants the key.
    feed : bool
        File the runs of ``<directory>/journal``; false when a feeder runs elsewhere.
    allowed_hosts : sequence of str
        Names by which others reach it, besides `host`.
    limits : Limits, optional
        Of connections.
    tls : Certificate, optional
        What it speaks TLS with.
    group : str
        Of users who may read and write the archive's files, besides its keys; nobody else may otherwise.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        recordings: Sequence[str | os.PathLike[str]] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        anonymous: bool = False,
        feed: bool = True,
        allowed_hosts: Sequence[str] = (),
        limits: Limits | None = None,
        tls: Certificate | None = None,
        group: str = "",
    ) -> None:
        self.layout = Layout(Path(directory))
        self.url = ""
        self._secret = new_secret()
        self._recordings = [Path(p).expanduser().absolute() for p in recordings]
        self._host, self._port, self._anonymous, self._feed, self._group = host, port, anonymous, feed, group
        self._hosts, self._limits = own_names(host, allowed_hosts), limits
        self._server: HttpServer | None = None
        self._tls = tls
        self._feeder: Feeder | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._ending = threading.Event()

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then return; only in the main thread.

        Raises
        ------
        ArchiveError
            The port is in use, the archive is served already, the key may have been read by others.
        """
        allow_many_files()
        with _signals(self._on_signal):
            self.layout.prepare(self._group)
            restrict_umask(self.layout.directory)
            self._run()

    def start(self, timeout: float = 60.0) -> Self:
        """Serve in a thread; return when requests are answered.

        Raises
        ------
        ArchiveError
            As `serve`, or nothing is answered within `timeout` seconds.
        """
        self._thread = threading.Thread(target=self._run_and_remember, name="beamstream-archive")
        self._thread.start()
        if not self._ready.wait(timeout) or self._error is not None:
            error = self._error or ArchiveError(f"archive: {self.layout.directory} is not served after {timeout} s")
            self.stop()
            raise error
        return self

    def stop(self) -> None:
        """End serving; return when the thread is gone. What is not filed yet stays in the journal."""
        self._ending.set()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run_and_remember(self) -> None:
        try:
            self._run()
        except BaseException as error:  # to whoever called `start`
            self._error = error
        finally:
            self._ready.set()

    def _run(self) -> None:
        layout = self.layout
        layout.prepare(self._group)
        if layout.open_to_others:
            log.warning("%s", layout.open_to_others)
        key = make_key(layout.key)
        lock = claim(layout)
        try:
            layout.address.unlink(missing_ok=True)  # of a server that was killed
            with listen(self._host, self._port) as sock:
                self.url = url_of(sock, self._tls)
                quiet_logs()
                from beamstream.archive.app import make_app

                app = make_app(layout, key, self._recordings, self._anonymous, self._hosts, self._address)
                quiet_logs()  # importing tiled set a level of its own
                self._server = HttpServer(
                    app,
                    limits=self._limits,
                    lifespan=True,
                    websocket_message=_MESSAGE,
                    on_start=self._on_start,
                    on_stop=self._on_stop,
                    tls=uvicorn_options(self._tls),
                )
                self._server.should_exit = self._ending.is_set()
                self._server.run(sockets=[sock])
            if not self._ready.is_set() and not self._ending.is_set():
                raise ArchiveError(f"archive: {layout.directory} could not be served; the log says why")
        finally:
            layout.address.unlink(missing_ok=True)
            unlock(lock)

    @property
    def _address(self) -> Address:
        return Address(self.url, os.getpid(), self._secret, self.certificate)

    def _on_start(self) -> None:
        self._address.write(self.layout.address)
        if warning := unencrypted_warning("archive", self._host, self.certificate):
            log.warning("%s", warning)
        log.info("archive: %s is served at %s, the key is in api_key", self.layout.directory, self.url)
        if self._feed:
            from beamstream.archive.feeder import Feeder

            self._feeder = Feeder(self.layout.journal, self._connect)
            self._feeder.start()
        self._ready.set()

    def _on_stop(self) -> None:
        if self._feeder is not None:
            self._feeder.stop()

    def _connect(self) -> object:
        from beamstream.archive.catalog import connect

        return connect(self.layout.directory, key=make_key(self.layout.key))

    @property
    def certificate(self) -> str:
        """File of the certificate that it shows; "" where it speaks no TLS."""
        return "" if self._tls is None else str(self._tls.cert)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._ending.set()
        if self._server is None:
            raise SystemExit(0)  # still importing: nothing to put away
        self._server.should_exit = True


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
