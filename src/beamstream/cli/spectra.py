"""`beamstream spectra`: receive a publisher's spectra, draw them, show them in the browser."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from beamstream.cli.console import complain, err, out, print_json_line, size
from beamstream.logs import log_as_command

if TYPE_CHECKING:
    from beamstream.ops.spectra import Polarization
    from beamstream.receiver import SpectraReceiver
    from beamstream.terminal import Terminal

_PLAIN, _JSON, _LIVE = 30.0, 1.0, 0.5  # s between two lines of status
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEY = "BEAMSTREAM_API_KEY"
logger = logging.getLogger("beamstream.spectra")

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def spectra(
    addr: Annotated[str, typer.Option(help="Where the publisher listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 9798,
    buffer_length: Annotated[int, typer.Option(min=1, help="Spectra to keep in memory.")] = 1200,
    gc_interval: Annotated[int | None, typer.Option(help="Accepted, and without a meaning any more.")] = None,
    plot_interval: Annotated[float, typer.Option(min=0, help="Seconds between pictures; 0 for none.")] = 10,
    plot_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Where they go: `spectrum_YYYYMMDD_HHMMSS.png`, UTC. Made if missing.")
    ] = Path("spectra_figs"),
    plot_scale: Annotated[
        Literal["dB", "linear"] | None,
        typer.Option(help="Of the pictures; dB, but linear for V, 2, 3.", show_default=False),
    ] = None,
    start_webshow: Annotated[bool, typer.Option("--start-webshow", help="Serve the live page.")] = False,
    web_host: Annotated[
        str, typer.Option(help=f"Address of the page; beyond this machine it wants a key, from {_KEY}.")
    ] = "127.0.0.1",
    web_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 9527,
    web_tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM: the certificate that the page shows over TLS.")
    ] = None,
    web_tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM: its key, mode 600.")] = None,
    polarization: Annotated[
        str, typer.Option("--polarization", "-p", help="Number of one, I = (XX + YY)/2, or V = Im(XY).")
    ] = "0",
    beam: Annotated[int, typer.Option(min=0, help="Beam that is drawn.")] = 0,
    average: Annotated[int, typer.Option(min=1, help="Channels that become one.")] = 4,
    seconds: Annotated[
        float | None, typer.Option("--seconds", "-s", min=0.1, help="End after so long; otherwise Ctrl-C.")
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds between two lines of status; 30, with --json 1.")
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(case_sensitive=False)] = "INFO",
    as_json: Annotated[bool, typer.Option("--json", help="Status as lines of JSON on standard output.")] = False,
) -> None:
    """Receive averaged spectra over ZeroMQ until Ctrl-C: keep the last ones, draw them, show them in a browser.

    A publisher that is not there yet, goes or comes again is waited for. Each spectrum is reduced to one
    polarization and the mean of 4 channels. Exit status 1 if none came within --seconds. Examples:

    `beamstream spectra --start-webshow`

    `beamstream spectra --addr 10.41.0.80 --port 30002 --plot-dir /data/figs --polarization I`

    `beamstream spectra --plot-interval 0 --seconds 10 --json`
    """
    if 0 < plot_interval < 1:
        raise typer.BadParameter(f"{plot_interval:g} given; use 1 or more, or 0 for none", param_hint="--plot-interval")
    shown = _polarization(polarization)
    from beamstream.receiver import SpectraReceiver

    console = err()
    log_as_command(log_level, _Log(console.print))
    receiver = SpectraReceiver(
        addr,
        port,
        buffer_length,
        gc_interval,
        plot_interval,
        plot_dir,
        start_webshow,
        polarization=shown,
        beam=beam,
        average=average,
        plot_scale=plot_scale,
        web_host=web_host,
        web_port=web_port,
        web_key="" if web_host in _LOOPBACK else os.environ.get(_KEY, ""),
        web_tls_cert=str(web_tls_cert or ""),
        web_tls_key=str(web_tls_key or ""),
    )
    live = console.is_terminal and not as_json
    period = every or (_JSON if as_json else _LIVE if live else _PLAIN)
    try:
        with _status_line(console, live) as show, receiver:
            _follow(receiver, seconds, period, print_json_line if as_json else show)
    finally:  # also after Ctrl-C
        (print_json_line if as_json else _summary)(receiver.get_buffer_status())
    if seconds and not receiver.account.received:
        complain(f"no spectrum came from {receiver.stream} within {seconds:g} s; is the publisher running?")
        raise typer.Exit(1)


def _polarization(text: str) -> "Polarization":
    if text.isdigit():
        return int(text)
    if text.upper() not in ("I", "V"):
        raise typer.BadParameter(f"{text!r} given; use a number from 0, I or V", param_hint="--polarization")
    return text.upper()  # pyright: ignore[reportReturnType]


def _follow(
    receiver: "SpectraReceiver", seconds: float | None, period: float, show: Callable[[dict[str, Any]], None]
) -> None:
    """Show the status now and then, until the time is over or Ctrl-C."""
    if receiver.web is not None:
        logger.info("live page at %s", receiver.web.url)
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        show(receiver.get_buffer_status())
        time.sleep(period if end is None else max(0.0, min(period, end - time.monotonic())))


@contextmanager
def _status_line(console: "Terminal", live: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Have a line of status, one that changes on a terminal, otherwise one in the log each time."""
    if not live:
        yield lambda status: logger.info("%s", line(status)) if status["n_received"] else None
        return
    from rich.live import Live
    from rich.text import Text

    with Live(Text(""), console=console, refresh_per_second=2, transient=True) as shown:
        yield lambda status: shown.update(Text(line(status), style="bold"))


class _Log(logging.Handler):
    """Print log records above the line of status."""

    def __init__(self, say: Callable[..., None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        style = "yellow" if record.levelno >= logging.WARNING else None
        for line in self.format(record).split("\n"):  # of a traceback
            self._say(line, style=style)


def line(status: dict[str, Any]) -> str:
    """Return a status in one line."""
    if not status["n_received"]:
        return f"waiting for {status['stream']}"
    words = [
        f"{status['rate']:.4g}/s",
        f"delay {1000 * status['current_delay']:.3g} ms",
        f"{status['n_received']} received",
        f"{status['lost']} lost",
        size(sum(status["memory"].values())),
    ]
    if malformed := sum(status["malformed"].values()):
        words.append(f"{malformed} malformed")
    if not status["connected"]:
        words.append(f"publisher gone for {status['silent_for']:.0f} s")
    elif status["silent_for"] > 3:
        words.append(f"silent for {status['silent_for']:.0f} s")
    if status["web_url"]:
        words.append(status["web_url"])
    return " · ".join(words)


def _summary(status: dict[str, Any]) -> None:
    """Say what it was in the end."""
    console = out()
    kept = {name: status[name] for name in ("restarts", "disconnects", "repeated", "refused") if status[name]}
    others = "".join(f", {number} {name}" for name, number in kept.items())
    malformed = ", ".join(f"{number} {kind}" for kind, number in status["malformed"].items())
    console.print(f"spectra  {status['n_received']} received, {status['lost']} lost{others}")
    if malformed:
        console.print(f"no spectra  {malformed}")
    if status["plots_drawn"] or status["plots_failed"]:
        failed = f", {status['plots_failed']} failed: {status['plot_error']}" if status["plots_failed"] else ""
        console.print(f"pictures {status['plots_drawn']}{failed}")
    if status["last_plot"]:
        console.print(f"the last {status['last_plot']}")
