"""One stream of spectra among the streams of an instrument: its page, its websocket, its JSON."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.live.access import Access
from beamstream.live.app import App
from beamstream.live.follower import Follower
from beamstream.live.push import Audience
from beamstream.live.settings import Settings
from beamstream.live.status import Status
from beamstream.ops.spectra import Band, Selection
from beamstream.watching.follow import Follow
from beamstream.watching.streams import StreamSpec

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_log = logging.getLogger(__name__)

KIND = "zmq_spectrometer"
_ROWS = 1200
_SILENT = 3.0  # s, or five periods, after which a stream counts as quiet
_POLL = 0.05  # s between two looks for another ring
_WANTED = 10.0  # s that spectra are fetched after somebody asked for them
_AGAIN = 1.0  # s until what failed begins again
_NOBODY = -1  # owns no ring


class SpectraStream:
    """Serve the spectra of one stream below an address of their own; for the thread of an event loop.

    Spectra are those of a session as long as it gets some, otherwise they are fetched while somebody looks; see
    `beamstream.watching.follow.Follow`.

    An ASGI application for what follows ``/streams/NAME``: ``/`` is the waterfall, ``/ws`` its websocket, and
    ``/data``, ``/refresh``, ``/status`` are as `beamstream.live.app.App` says. Who may ask, and from which page, has
    been decided before.

    Parameters
    ----------
    name : str
        Of the stream and of its ring.
    about : Mapping
        The section of the configuration: where spectra come from, and ``first_mhz``, ``step_mhz`` and
        ``channel_averaging``, which say where the channels lie; all may be missing: a ring that others write.
    """

    def __init__(self, name: str, about: Mapping[str, Any]) -> None:
        self.name = name
        settings = Settings(name, band=band_of(about), title=name, rows=_ROWS)
        self._follow = Follow(StreamSpec(name, about if "address" in about else {}))
        self._asked = float("-inf")
        self._follower = Follower(name, _NOBODY, _ROWS, lambda: self._audience.notify(), stokes_i)
        self._status = Status(self._follower)
        self._audience = Audience(self._follower, self._status, settings)
        self._app = App(self._follower, self._status, self._audience, _Admitted())

    async def run(self) -> None:
        """Follow the stream and tell pages how it goes, until cancelled."""
        parts = (self._choose, self._follower.run, self._audience.run)
        try:
            await asyncio.gather(*(self._kept_up(part) for part in parts))
        finally:
            self._follow.close()

    async def _kept_up(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin again what failed: one stream that is ill must not end the others."""
        while True:
            try:
                await part()
            except Exception as error:
                _log.exception("%s: begins again", self.name)
                self._follower.trouble = f"{self.name}: {error}"
            await asyncio.sleep(_AGAIN)

    async def _choose(self) -> None:
        """Look for the ring that has the spectra, for ever."""
        view = None
        while True:
            wanted = self._status.clients > 0 or time.monotonic() - self._asked < _WANTED
            found = self._follow.poll(wanted)
            status = self._follow.status
            if found is not view:
                view = found
                if found is not None:
                    self._follower.choose(status["owner"])
            told = {"connected": status["connected"], "waiting": status["words"], "capacity": status["capacity"]}
            self._status.told = told
            await asyncio.sleep(_POLL)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request; ``scope["path"]`` is what follows the stream's address."""
        if scope["path"] in ("/data", "/refresh"):
            self._asked = time.monotonic()
        await self._app(scope, receive, send)

    def status(self) -> dict[str, Any]:
        """Return how the stream is.

        Returns
        -------
        dict
            ``state`` (live, waiting, red), ``words``, ``rate`` (s^-1), ``delay`` (s), ``lost``, ``ring``, and what
            ``/status`` has more.
        """
        document, follow = self._status.document(), self._follow.status
        state, words = judged(document)
        ring = {name: follow[name] for name in ("start", "stop", "capacity")}
        lost = document["lost"] + document["overruns"]
        return {**document, "state": state, "words": words, "lost": lost, "ring": ring}


def band_of(about: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the first channel that is recorded and the step between two, MHz; None where nobody said."""
    if about.get("kind") != KIND and "first_mhz" not in about:
        return None
    band = Band()
    first, step = float(about.get("first_mhz", band.first)), float(about.get("step_mhz", band.step))
    average = int(about.get("channel_averaging", 1))
    return first + step * (average - 1) / 2, step * average


def stokes_i(values: NDArray[Any]) -> NDArray[Any]:
    """Return Stokes I of all polarizations, shape (n_beams, n_channels); the only one where there is one."""
    return Selection("I")(values) if values.shape[2] > 1 else np.ascontiguousarray(values[..., 0])


def judged(status: Mapping[str, Any]) -> tuple[str, str]:
    """Say how a stream of spectra goes: one of a few words, and a sentence; of a document of `Status`."""
    if status["trouble"]:
        return "red", str(status["trouble"])
    quiet = status["age"] is None or status["age"] > max(_SILENT, 5 / status["rate"] if status["rate"] else 0.0)
    if not quiet:
        return "live", "live"
    if status.get("waiting"):
        return "waiting", str(status["waiting"])
    return "waiting", "waiting for spectra" if status["age"] is None else f"no spectra for {status['age']:.0f} s"


class _Admitted(Access):
    """Let everybody in: the hub has looked at who asks."""

    open = False  # type: ignore[assignment]

    def __init__(self) -> None:
        pass

    def refusal(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        del headers, query

    def foreign(self, headers: Mapping[str, str]) -> None:
        del headers

    def session(self, given: str) -> None:
        del given
