"""Spectra on their way from the source into the ring, each of them counted."""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field

from beamstream.errors import BeamstreamError, MalformedMessage
from beamstream.frames import Frame
from beamstream.ring import Ring

logger = logging.getLogger(__name__)

_SHARE = 0.1  # of the newest step in the usual one
_SILENT, _LEAST_SILENT = 5.0, 3.0  # usual steps, and s


@dataclass(slots=True)
class Account:
    """What came, and what did not; any thread may read it.

    Parameters
    ----------
    received, lost, repeated : int
        Spectra that came, that never did, and that came again.
    restarts, disconnects : int
        Times the publisher's count or clock ran back, and times it went away: what was lost then nobody knows.
    refused : int
        Spectra that came, and could not be kept.
    malformed : Counter
        Messages that were no spectra, by kind.
    delay : float
        Of the newest one, from the time in its header until it arrived, s; 0 before the first.
    last_block_time : float or None
        Of the newest one, s since 1970-01-01 UTC.
    step : float
        Usual time between two, s; 0 before the second.
    heard : float or None
        When the newest came, s of `time.monotonic`.
    """

    received: int = 0
    lost: int = 0
    repeated: int = 0
    restarts: int = 0
    disconnects: int = 0
    refused: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    delay: float = 0.0
    last_block_time: float | None = None
    step: float = 0.0
    heard: float | None = None

    def take(self, frame: Frame, missing: int | None) -> None:
        """Count a spectrum."""
        self.received += 1
        if missing is None:
            self.restarts += 1
        else:
            self.lost += missing
        self.delay, self.last_block_time = frame.attributes["delay"], frame.attributes["last_block_time"]
        now = time.monotonic()
        if self.heard is not None:
            step = now - self.heard
            self.step += (step - self.step) * (_SHARE if self.step else 1.0)
        self.heard = now

    @property
    def silent_for(self) -> float | None:
        """How long ago the newest spectrum came, s; None before the first."""
        return None if self.heard is None else time.monotonic() - self.heard

    @property
    def silent(self) -> bool:
        """Whether nothing came for much longer than usual."""
        silent_for = self.silent_for
        return silent_for is not None and silent_for > max(_SILENT * self.step, _LEAST_SILENT)


class Arrivals:
    """Put spectra in a ring and count: a `beamstream.sources.base.Listener`, called in the source's thread.

    Parameters
    ----------
    name : str
        Who speaks in the log.
    ring : Ring

    Attributes
    ----------
    account : Account
    """

    def __init__(self, name: str, ring: Ring) -> None:
        self.account = Account()
        self._name, self._ring = name, ring

    def frame(self, frame: Frame, missing: int | None) -> None:
        """Take a spectrum."""
        self._ring.put(frame)
        self.account.take(frame, missing)

    def repeated(self) -> None:
        """Count a message that came again."""
        self.account.repeated += 1

    def malformed(self, error: BeamstreamError) -> None:
        """Count a message that is no spectrum; the source has named its kind in the log."""
        self.account.malformed[error.kind if isinstance(error, MalformedMessage) else "other"] += 1

    def connection(self, up: bool) -> None:
        """Count that the publisher went away."""
        self.account.disconnects += not up

    def failed(self, error: Exception) -> None:
        """Count a spectrum that could not be kept, and say why the first time: mostly there is no memory left."""
        self.account.refused += 1
        if self.account.refused == 1:
            logger.warning("%s: a spectrum is not kept: %s; more are counted only", self._name, error)
