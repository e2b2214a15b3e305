"""SpectraReceiver: the spectra of one publisher in memory, in pictures and in the browser."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from beamstream.exits import OpenObjects
from beamstream.live import LiveServer
from beamstream.ops.spectra import Band, Polarization
from beamstream.receiver import status
from beamstream.receiver.arrivals import Account, Arrivals
from beamstream.receiver.drawing import Options
from beamstream.receiver.newest import NONE, Spectra, newest
from beamstream.receiver.plots import Plots, check_directory
from beamstream.receiver.treatment import Treatment, averaged
from beamstream.receiver.watch import Watch
from beamstream.ring import Ring
from beamstream.sources.spectra import SpectraSource

logger = logging.getLogger(__name__)

PLOT_DIR = "spectra_figs"
_WAITING = 64 * 2**20  # bytes of messages, while Python is busy: a quarter of a second of 5000 a second
Scale = Literal["dB", "linear"]
_SIGNED = ("V", 2, 3)  # Re and Im of XY are what the recorder sends there

_names: set[str] = set()  # of rings, in use


class SpectraReceiver:
    """Keep the last spectra of a ZeroMQ publisher, and show them: pictures every few seconds, a live page.

    It takes the place of ``StreamReceiver``: scripts need another import and no other change. `start` returns at
    once, with a publisher or without: it is followed when it comes, goes and comes again. What a message is reduced
    to lies in a ring in shared memory, shape (n_beams, n_channels), from which pictures and pages are made by
    processes of their own. Any thread may call any method; used in a ``with``, it starts and stops by itself.

    Parameters
    ----------
    stream_addr, stream_port
        Where the publisher listens.
    buffer_length : int
        Spectra to keep.
    gc_interval : int, optional
        Accepted and not needed: there is no garbage to collect.
    plot_interval : float
        s between pictures, at least 1; 0 for none. Nothing is drawn while nothing new comes, but for one picture
        that says so.
    plot_dir : path
        Where pictures go, named after the time in UTC: ``spectrum_YYYYMMDD_HHMMSS.png``.
    start_webshow : bool
        Serve a live page at `web_host`, `web_port`.
    polarization : int, "I" or "V"
        The number of one; I = (XX + YY)/2, V = Im(XY).
    beam : int
        Whose spectra `get_latest_data`, the status and the pictures have; all of them are kept.
    average : int
        Channels that become one; where they are no multiple of that, it is the largest divisor below.
    band : Band
        Where channels lie before that; OVRO-LWA's by default.
    plot_scale : {"dB", "linear"}, optional
        Of the pictures; dB by default, but linear for V, 2 and 3: they have a sign.
    web_host, web_port, web_key, web_tls_cert, web_tls_key
        See `LiveServer`; port 0 takes a free one.

    Raises
    ------
    ValueError
        A number is out of range.
    """

    def __init__(
        self,
        stream_addr: str = "127.0.0.1",
        stream_port: int = 9798,
        buffer_length: int = 1200,
        gc_interval: int | None = None,
        plot_interval: float = 10,
        plot_dir: str | os.PathLike[str] = PLOT_DIR,
        start_webshow: bool = False,
        *,
        polarization: Polarization = 0,
        beam: int = 0,
        average: int = 4,
        band: Band | None = None,
        plot_scale: Scale | None = None,
        web_host: str = "127.0.0.1",
        web_port: int = 9527,
        web_key: str = "",
        web_tls_cert: str = "",
        web_tls_key: str = "",
    ) -> None:
        if buffer_length < 1:
            raise ValueError(f"spectra: a buffer of {buffer_length} spectra asked for; use 1 or more")
        if plot_interval and not plot_interval >= 1:
            raise ValueError(f"spectra: a picture every {plot_interval} s asked for; use 1 or more, 0 for none")
        if beam < 0:
            raise ValueError(f"spectra: beam {beam} asked for; they count from 0")
        self.stream = f"tcp://{stream_addr}:{stream_port}"
        self.buffer_length, self.beam = buffer_length, beam
        self.polarization: Polarization = polarization
        self.plot_interval, self.plot_dir = float(plot_interval), Path(plot_dir).absolute()
        self._port, self._average, self._band = stream_port, average, band or Band()
        self._decibel = (plot_scale or ("linear" if polarization in _SIGNED else "dB")) == "dB"
        tls = {"tls_cert": web_tls_cert, "tls_key": web_tls_key}
        self._web_options = {"host": web_host, "port": web_port, "key": web_key, **tls} if start_webshow else None
        self.running = False
        """Whether it was started and not stopped."""
        self._lock = threading.RLock()
        self._closing: list[Callable[[], object]] = []
        self._kept: Spectra = NONE
        self._drawn = 0, False  # received, silent: when the last picture was asked for
        self.account = Account()
        self.treatment = Treatment(polarization, average, buffer_length, "spectra")
        self.source = SpectraSource(self.stream)
        self.source.close()  # an address that is none is an error now
        self.ring: Ring | None = None
        self.watch: Watch | None = None
        self.plots: Plots | None = None
        self.web: LiveServer | None = None
        if gc_interval is not None:
            logger.info("spectra: gc_interval has no meaning any more: receiving leaves no garbage behind")

    # start and stop

    def start(self) -> None:
        """Begin to receive, with an empty ring; return at once. Nothing happens if it has begun already.

        Raises
        ------
        SinkError
            Pictures cannot be written where they are to go.
        ConfigurationError
            The live page's port is in use.
        """
        with self._lock:
            if self.running:
                return
            self.stop()  # what an interrupted one left
            _open.add(self)
            try:
                self._start()
            except BaseException:
                self.stop()
                raise
            self.running = True

    def _start(self) -> None:
        if self.plot_interval:
            check_directory("spectra", self.plot_dir)
        name = _ring_name(self._port)
        self._closing.append(lambda: _names.discard(name))
        self.treatment = Treatment(self.polarization, self._average, self.buffer_length, name)
        self.source = SpectraSource(self.stream, name=name, treat=self.treatment, memory=_WAITING)
        self.ring = Ring(name, slots=self.buffer_length, source=self.source.uri)
        self._closing.append(self._close_ring)
        arrivals = Arrivals(name, self.ring)
        self.account, self._kept, self._drawn = arrivals.account, NONE, (0, False)
        if self._web_options is not None:
            self.web = self._serve(name, self._web_options)
        self.plots = None
        if self.plot_interval:
            options = Options(
                ring=name,
                directory=str(self.plot_dir),
                length=self.buffer_length,
                beam=self.beam,
                decibel=self._decibel,
                first=self._band.first,
                step=self._band.step,
            )
            self.plots = Plots(name, options, self.plot_interval, self._facts)
            self._closing.append(self.plots.close)
        self.watch = Watch(name, self.source, arrivals, self._tell_page)
        self._closing.append(self.watch.close)

    def _serve(self, name: str, options: dict[str, Any]) -> LiveServer:
        band = averaged(self._band, self._average)
        page = LiveServer(
            name,
            owner=os.getpid(),
            band=(band.first, band.step),
            rows=self.buffer_length,
            title=self.stream,
            decibel=self._decibel,
            **options,
        )
        self._closing.append(page.close)
        return page.start()

    def stop(self) -> None:
        """End everything. Calling it again does no harm, and finishes what an interrupted one left.

        The spectra and the account stay until the next `start`.
        """
        with self._lock:
            self.running = False
            while self._closing:
                self._closing[-1]()
                self._closing.pop()
            _open.discard(self)

    def _close_ring(self) -> None:
        ring = self.ring
        if ring is not None:
            self._kept = newest(ring, self.buffer_length, self.beam)
            self.ring = None
            ring.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # what it knows

    def get_latest_data(self, n_frames: int | None = 1) -> NDArray[np.float32]:
        """Return the newest spectra, the oldest first.

        Parameters
        ----------
        n_frames : int, optional
            How many; None for all there are.

        Returns
        -------
        ndarray of float32, shape (n, n_channels)
            A copy. Also of one spectrum it has two dimensions. There are fewer than asked for until enough have
            come, and none before the first.
        """
        number = self.buffer_length if n_frames is None else max(0, min(n_frames, self.buffer_length))
        return self.newest(number).values

    def newest(self, number: int) -> Spectra:
        """Return the newest spectra with their times."""
        ring = self.ring
        if ring is None:
            kept = self._kept
            first = max(0, len(kept.times) - number)
            return Spectra(kept.values[first:].copy(), kept.times[first:].copy(), kept.unique_ids[first:].copy())
        return newest(ring, number, self.beam)

    def get_current_delay(self) -> float:
        """Return how old the newest spectrum was when it came, s: its arrival minus the time in its header.

        It is 0 before the first, and does not grow while nothing comes: ``silent_for`` in the status does.
        """
        return self.account.delay

    def get_buffer_status(self) -> dict[str, Any]:
        """Return all there is to know, as JSON can carry it; see `beamstream.receiver.status`."""
        return status.of(self)

    # what pictures and pages are told

    def _facts(self) -> dict[str, Any] | None:
        """Return what stands above a picture; None while there is nothing that the last one did not have."""
        account = self.account
        state = account.received, account.silent
        if not account.received or state == self._drawn:
            return None
        self._drawn = state
        return status.caption(self)

    def _tell_page(self) -> None:
        if self.web is not None:
            self.web.update(**status.of_page(self))


def _ring_name(port: int) -> str:
    """Take a name that no other receiver of this process has."""
    name, n = f"spectra-{port}", 1
    while name in _names:
        n += 1
        name = f"spectra-{port}-{n}"
    _names.add(name)
    return name


def _stop_all(receivers: list[SpectraReceiver]) -> None:
    for receiver in receivers:
        receiver.stop()


_open = OpenObjects(_stop_all)
