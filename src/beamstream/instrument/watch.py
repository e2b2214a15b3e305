"""`watch(cam)`: the live page in a browser, or where it is."""

import os
import socket
import webbrowser
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text

from beamstream.config import Config
from beamstream.errors import BeamstreamError
from beamstream.instrument.page import KeptPage, PageAddress, Streams, key_file, opened_address, streams_of
from beamstream.terminal import Terminal
from beamstream.watching.streams import StreamSpec, spec_of_uri


def show_page(
    config: Config, address: PageAddress, name: str = "", *, browser: bool = True, console: Console | None = None
) -> bool:
    """Open a page in a browser, with control, and say where it is; how to reach it where there is no display.

    Returns
    -------
    bool
        Whether a browser took it.
    """
    console = console or Terminal(soft_wrap=True)
    opened = browser and has_display() and _open(opened_address(config, address, name))
    console.print(Text("page     ").append(address.of(name), "cyan").append("  (opened)" if opened else ""))
    if not opened:
        console.print(
            Text("tunnel   ").append(tunnel(address.url), "bold cyan").append("  first, from another computer")
        )
        console.print(Text(f"key      {key_file(config)}  (to record or capture from there)"))
    return opened


def tunnel(url: str) -> str:
    """Return the line that makes the port of a page one of another computer's own."""
    at = urlsplit(url)
    host = at.hostname or "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    return f"ssh -L {at.port}:{host}:{at.port} {socket.gethostname()}"


def has_display() -> bool:
    """Whether there is a screen for a browser's window."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> bool:
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


def page_somewhere(config: Config, **options: Any) -> KeptPage:
    """Return a running page, at another port where that of the configuration is taken by something else.

    Parameters
    ----------
    config : Config
    options
        See `KeptPage`.
    """
    page = KeptPage(config, **options).start()
    if page.address is None and not options.get("port"):
        words, other = page.words, KeptPage(config, **{**options, "port": 0})
        page.close()
        Terminal(stderr=True, soft_wrap=True).print(Text(f"{words}; it gets another one", style="yellow"))
        return other.start()
    return page


class SessionPage:
    """Show what a session's detectors send, on the page of the instrument.

    A page that runs already is used, ``beamstream serve``'s or another session's. Otherwise this session starts one,
    when it is first asked for, which ends with it.

    Parameters
    ----------
    config : Config
    devices : Mapping
        By name, those of the session.
    """

    def __init__(self, config: Config, devices: Mapping[str, Any]) -> None:
        self._config, self._devices = config, devices
        self._page: KeptPage | None = None
        self._own: dict[str, KeptPage] = {}

    def watch(self, detector: Any = None) -> None:
        """Open the live page of a detector, of a stream by its name, or of everything; without a display say where.

        Parameters
        ----------
        detector : detector or str, optional
        """
        name = "" if detector is None else str(getattr(detector, "name", detector))
        page = self._page = self._page or page_somewhere(self._config)
        address = page.address
        if name and (address is None or name not in address.streams):
            page = self._page_of(name, detector)
            address = page.address
        if address is None:
            raise BeamstreamError(page.words or "live page: its server is being started again; try once more")
        show_page(self._config, address, name)

    def close(self) -> None:
        """End what this session started."""
        for page in (self._page, *self._own.values()):
            if page is not None:
                page.close()
        self._page, self._own = None, {}

    def _page_of(self, name: str, detector: Any) -> KeptPage:
        """Return a page of our own with a detector that the configuration does not know."""
        if name not in self._own:
            streams = [*streams_of(self._config), spec_of(name, detector).to_dict()]
            self._own[name] = KeptPage(self._config, streams=_once(streams), port=0).start()
        return self._own[name]


def spec_of(name: str, detector: Any) -> StreamSpec:
    """Return what a detector of a session streams; where that is not known, what is written into a ring of its name."""
    uri = getattr(getattr(detector, "ring", None), "source", "")
    if not uri:
        return StreamSpec(name)
    about = dict(spec_of_uri(uri).about)
    about.pop("alone", None)  # a webcam is the session's
    return StreamSpec(name, about)


def _once(streams: Streams) -> Streams:
    return list({str(stream["name"]): stream for stream in streams}.values())
