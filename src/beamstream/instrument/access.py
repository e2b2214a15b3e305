"""The archive as a session meets it: started when nobody serves it, connected to when it is first used."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from beamstream.archive.address import published_address
from beamstream.archive.layout import Layout
from beamstream.archive.process import is_up, running_server
from beamstream.config import Config
from beamstream.errors import ArchiveError, ConfigurationError
from beamstream.network.tls import certificate

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
    from databroker import Broker  # pyright: ignore[reportAttributeAccessIssue]

log = logging.getLogger(__name__)

_POLL = 2.0  # s between two looks whether the server is still there
_PATIENCE = 60.0  # s for a server to start


class ArchiveAccess:
    """Reach the archive of a configuration, and keep it served.

    Several sessions share one server: who comes first starts it (``[archive] start = "process"``), who finds one
    uses it, and when the session that owns it ends, another one starts it anew. The journal keeps what is
    recorded in between. All of that happens in a thread of its own; nothing waits for it.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config) -> None:
        self.layout = Layout(config.archive.directory)
        self.error: ArchiveError | ConfigurationError | None = None
        """Why the server could not be started, the last time that it was tried."""
        self._config = config
        self._connected: tuple[str, Any] | None = None
        self._broker: tuple[str, Any] | None = None
        self._databroker: Any = None
        self._closing = threading.Event()
        self._ours = False
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str | None:
        """Where the archive is served at the moment; None while it is not."""
        try:
            return published_address(self.layout).url
        except ArchiveError:
            return None

    @property
    def expected_url(self) -> str | None:
        """Where the configuration says that it will be; None when any free port will do."""
        archive = self._config.archive
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(archive.host, archive.host)
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if archive.tls_cert else 'http'}://{host}:{archive.port}" if archive.port else None

    @property
    def kept(self) -> bool:
        """Whether this session starts the server when there is none."""
        return self._config.archive.start == "process"

    def start(self) -> None:
        """Begin to keep the archive served; returns at once."""
        if self.kept and self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="archive-access", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the server if it is ours; one that is just starting notices by itself that we are gone."""
        self._closing.set()
        for kept in (self._connected, self._broker):
            if kept is not None:
                kept[1].context.http_client.close()
        self._connected = self._broker = None
        if self._thread is not None:
            self._thread.join(20.0 if self._ours else 0.2)

    def client(self) -> "CatalogOfBlueskyRuns":
        """Return a tiled client, connected to wherever the archive is now; the first one takes seconds.

        Raises
        ------
        ArchiveError
            It is not served, and will not be.
        """
        self._connected = self._connect(self._connected)
        return self._connected[1]

    def broker(self) -> "Broker":
        """Return databroker's Broker of the archive.

        Raises
        ------
        ArchiveError
            See `client`.
        """
        before, self._broker = self._broker, self._connect(self._broker)
        if before is not self._broker or self._databroker is None:
            from databroker import Broker  # pyright: ignore[reportAttributeAccessIssue]

            # on a client of its own: it switches the runs of its client to an older way of talking
            self._databroker = Broker(self._broker[1])  # pyright: ignore[reportCallIssue]
        return self._databroker

    def _connect(self, before: tuple[str, Any] | None) -> tuple[str, Any]:
        """Return a client with its URL: the one from before, if the archive is still there."""
        where = self._wait_for_url()
        if before is not None and before[0] == where:
            return before
        if before is not None:
            before[1].context.http_client.close()
        from beamstream.archive.catalog import connect

        return where, connect(self.layout.directory)

    def _wait_for_url(self) -> str:
        """Return where it is served; the empty string where `connect` has to say why it is not."""
        deadline = time.monotonic() + _PATIENCE
        while self.kept and self.url is None and time.monotonic() < deadline:
            if self.error is not None:
                raise self.error
            time.sleep(0.02)
        return self.url or ""

    def _keep(self) -> None:
        while not self._closing.is_set():
            if self.url is None:
                self._serve()
            self._closing.wait(_POLL)

    def _serve(self) -> None:
        archive, recording = self._config.archive, self._config.recording
        try:
            with running_server(
                archive.directory,
                recordings=[recording.directory],
                host=archive.host,
                port=archive.port,
                anonymous=archive.anonymous_read,
                allowed_hosts=archive.allowed_hosts,
                tls=certificate(archive.tls_cert, archive.tls_key),
                group=archive.group,
                timeout=_PATIENCE,
            ) as address:
                self._ours, self.error = True, None
                log.info("archive: serving %s at %s", archive.directory, address.url)
                while not self._closing.wait(_POLL) and is_up(address.url, 10.0, address.certificate):
                    pass
        except (ArchiveError, ConfigurationError) as error:
            if self.url is None and not self._closing.is_set():  # otherwise somebody else was faster
                if self.error is None:
                    log.warning("%s", error)
                self.error = error
        finally:
            self._ours = False


# the queue server looks for devices by these names, and must not connect to the archive thereby
_OF_DEVICES = frozenset({"name", "read", "describe", "kickoff", "complete", "children"})


class Lazy:
    """Stand for a client that is connected when it is first used.

    Parameters
    ----------
    make : callable
        Returns the client; called at each use, so that a client may be replaced.
    what : str
        Shown while it is not connected, and nobody has asked for it.
    """

    def __init__(self, make: Callable[[], Any], what: str) -> None:
        self._make = make
        self._what = what

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in _OF_DEVICES:
            raise AttributeError(f"{self._what} has no attribute {name!r}")
        return getattr(self._make(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._make()[key]

    def __len__(self) -> int:
        return len(self._make())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())

    def __contains__(self, key: object) -> bool:
        return key in self._make()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._make()(*args, **kwargs)

    def __dir__(self) -> list[str]:
        return dir(self._make())

    def __repr__(self) -> str:
        return repr(self._make())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._make()._ipython_key_completions_())
