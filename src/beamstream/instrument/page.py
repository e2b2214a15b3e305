"""The live page of an instrument: one for everybody, started by who comes first, found again by the others."""

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from beamstream.archive.layout import Layout, make_key
from beamstream.config import Config, DetectorConfig
from beamstream.errors import BeamstreamError
from beamstream.network.address import Address, new_secret
from beamstream.network.proof import proved_connection
from beamstream.watching.presence import began

if TYPE_CHECKING:
    from beamstream.live.hub_settings import HubSettings
    from beamstream.live.page import LivePage

log = logging.getLogger(__name__)

_LOOK = 0.5  # s between two looks at the server
_PATIENCE = 2.0  # s for a page to prove that it is ours
_PAUSE = 5.0  # s before another attempt when it does not start
Streams = list[dict[str, Any]]
"""What a page shows: ``{"name": …, "about": {…}}``, see `beamstream.watching.streams.StreamSpec`."""


def streams_of(config: Config) -> Streams:
    """Return what there is to look at: every detector, and what is derived from it for all to see."""
    detectors = {name: device for name, device in config.devices.items() if isinstance(device, DetectorConfig)}
    streams = [{"name": name, "about": device.model_dump(mode="json")} for name, device in detectors.items()]
    derived = {"corrected": config.callbacks.flat_field, "processed": config.callbacks.pipeline}
    suffixes = [suffix for suffix, asked in derived.items() if asked is not None]
    return streams + [{"name": f"{name}_{suffix}", "about": {}} for name in detectors for suffix in suffixes]


def page_settings(
    config: Config, *, streams: Streams | None = None, host: str | None = None, port: int | None = None
) -> "HubSettings":
    """Return what the page of a configuration is started with; what is None is as the configuration says.

    Raises
    ------
    ArchiveError
        The archive cannot be made, or others may have read the key.
    ConfigurationError
        An option cannot be.
    """
    from beamstream.live.hub_settings import HubSettings

    layout, recordings = Layout(config.archive.directory), config.recording.directory
    layout.prepare(config.archive.group)
    pipeline = config.callbacks.pipeline
    return HubSettings(
        streams=streams_of(config) if streams is None else streams,
        host=host or config.live.host,
        port=config.live.port if port is None else port,
        key=make_key(key_file(config)),
        archive=str(layout.directory),
        recordings=str(recordings / "live"),
        references=str(recordings / "references"),
        pipeline=str(pipeline.file) if pipeline is not None else "",
        allowed_hosts=config.live.allowed_hosts,
        tls_cert=str(config.archive.tls_cert or ""),
        tls_key=str(config.archive.tls_key or ""),
    )


def key_file(config: Config) -> Path:
    """Return where the key of the page is, or will be."""
    return config.live.key_file or Layout(config.archive.directory).live_key


@dataclass(frozen=True, slots=True)
class PageAddress(Address):
    """Where a page is, and what it shows.

    Parameters
    ----------
    url, pid, secret
        See `beamstream.network.address.Address`.
    began : int
        When that process began: numbers of processes are used again.
    streams : sequence of str
        Names.
    """

    began: int | None = None
    streams: Sequence[str] = ()

    @property
    def alive(self) -> bool:
        """Whether its server is there."""
        return began(self.pid) == self.began

    def of(self, name: str = "") -> str:
        """Return the address of a stream's page; of the whole without a name."""
        return f"{self.url}streams/{name}/" if name else self.url


def find_page(layout: Layout) -> PageAddress | None:
    """Return where the page of an archive is, by a server that has just proved to be it; None if nobody serves one."""
    with contextlib.suppress(OSError, HTTPException):
        address = PageAddress.read(layout.live_address)
        if address.alive:
            proved_connection(address, _PATIENCE).close()
            return address
    return None


class KeptPage:
    """Have a page as long as the block runs: the one that is there, otherwise one of our own, which is kept up.

    A port that is taken is no error: `words` says so, and it is tried again as long as nobody serves the page.

    Parameters
    ----------
    config : Config
    streams : list, optional
        In place of those of the configuration: then the page is another one, which nobody else finds.
    host, port
        In place of what the configuration says.
    """

    def __init__(
        self, config: Config, *, streams: Streams | None = None, host: str | None = None, port: int | None = None
    ) -> None:
        self.words = ""
        self._config, self._asked = config, {"streams": streams, "host": host, "port": port}
        self._layout = Layout(config.archive.directory)
        self._shared = streams is None
        self._page: LivePage | None = None
        self._address: PageAddress | None = None
        self._tried = threading.Event()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="live-page", daemon=True)

    @property
    def address(self) -> PageAddress | None:
        """Where the page is; None while there is none."""
        address = self._address
        return address if address is not None and address.alive else None

    @property
    def key_file(self) -> Path:
        """The key of those who control it."""
        return key_file(self._config)

    @property
    def ours(self) -> bool:
        """Whether it ends with us."""
        return self._page is not None

    def start(self) -> Self:
        """Find or start it; returns when it answers, or when that failed and `words` says why."""
        self._watcher.start()
        self.wait()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it was found, started, or neither; False after `timeout` seconds."""
        return self._tried.wait(timeout)

    def close(self) -> None:
        """End it, if it is ours."""
        self._ended.set()
        if self._watcher.ident is not None:
            self._watcher.join()
        self._end()

    def __enter__(self) -> Self:
        """Begin, without waiting for it."""
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        self._address = find_page(self._layout) if self._shared else None
        if self._address is not None:
            return
        from beamstream.live.page import LivePage

        page = None
        try:
            settings = replace(page_settings(self._config, **self._asked), secret=new_secret())
            page = LivePage(settings)
            page.start()
            assert page.pid is not None
            names = [str(stream["name"]) for stream in settings.streams]
            self._address = PageAddress(page.url, page.pid, settings.secret, settings.tls_cert, began(page.pid), names)
            if self._shared:
                self._address.write(self._layout.live_address)
            self._page, self.words = page, ""
        except (BeamstreamError, OSError) as error:
            if page is not None:
                page.close()
            self._address = find_page(self._layout) if self._shared else None  # somebody else was faster
            self.words = "" if self._address is not None else str(error)

    def _end(self) -> None:
        page, self._page = self._page, None
        if page is not None:
            with contextlib.suppress(OSError):
                if self._shared and PageAddress.read(self._layout.live_address) == self._address:
                    self._layout.live_address.unlink()
            page.close()

    def _watch(self) -> None:
        """Keep a page up: ours when it dies, and that of others when they end."""
        self._begin()
        self._tried.set()
        while not self._ended.wait(_PAUSE if self.words else _LOOK):
            if self.address is not None:
                continue
            if self._page is not None:
                log.warning("live page: its server ended (%s); another one is started", self._page.error_output())
                self._end()
            before = self.words
            self._begin()
            if self.words and self.words != before:
                log.warning("%s", self.words)


def opened_address(config: Config, address: PageAddress, name: str = "") -> str:
    """Return the address of a file that gives the browser which opens it control, once and within a minute.

    It has no secret in it: the command line of a browser is for all to read. Who may not read the key of the page
    gets the address of the page.
    """
    from beamstream.archive.layout import read_key
    from beamstream.network.tickets import new_ticket, ticket_page

    file = Layout(config.archive.directory).directory / "live_open.html"
    try:
        ticket = new_ticket(read_key(key_file(config)), urlsplit(address.url).port or 0)
        return ticket_page(file, address.url, ticket, name)
    except (BeamstreamError, OSError):  # somebody else's: to look takes no key
        return address.of(name)
