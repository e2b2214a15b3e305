"""A simulated spectrometer: it publishes averaged spectra over ZeroMQ as the data recorder does."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, Self

from beamstream.sim.broadcast import Broadcast
from beamstream.sim.pace import GULP, Pace
from beamstream.sim.solar import Scene
from beamstream.sim.spectra_counters import Counters
from beamstream.sim.spectra_faults import Parts, SpectraFaults
from beamstream.sim.spectra_messages import SpectraMessages

_UNPACED_INTERVAL = 0.25  # s of the Sun from one spectrum to the next when nobody says
_SLICE = 0.05  # s after which a waiting spectrometer looks whether it is to end
_LOOK = 0.01  # s between looks for subscribers while nothing is sent
_NAP = 0.001  # s; waking up more often costs more than the messages
_FULL = 0.001  # s to wait when a subscriber's queue is full


@dataclass(frozen=True, slots=True)
class SpectrometerSpec:
    """Say what a simulated spectrometer is.

    Parameters
    ----------
    rate : float
        Messages per second; 0 is as fast as it goes. Above 1000, those of a millisecond leave together.
    shape : tuple of (int, int, int)
        Beams, channels, polarisations (1 to 4); values are float32.
    address : str
        To bind; port 0 is any that is free.
    seed : int
        Of the scene.
    sequence : bool
        Whether headers have ``sequence``; the data recorder's have none.
    gulps : bool
        The recorder's cadence in place of `rate`: two messages 0.15 s apart with the same ``timestamp``, then
        silence until the next gulp, 1.0272 s after the last.
    number : int
        Messages until it rests; 0 is endless.
    interval : float or None
        s by which ``last_block_time`` and the scene advance with each message; None is that of the rate (0.25 s
        where that is 0).
    subscribers : int
        It does not begin before so many are there.
    high_water : int
        Messages that wait for one slow subscriber before it loses some; 1000 is the recorder's, 0 no limit.
    lossless : bool
        Wait for slow subscribers in place of dropping; for measurements without a rate.
    """

    rate: float = 4.0
    shape: tuple[int, int, int] = (1, 3072, 4)
    address: str = "tcp://127.0.0.1:0"
    seed: int = 0
    sequence: bool = True
    gulps: bool = False
    number: int = 0
    interval: float | None = None
    subscribers: int = 0
    high_water: int = 1000
    lossless: bool = False

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"a rate of {self.rate} messages per second asked for; use 0 for as fast as it goes")

    @property
    def cadence(self) -> float:
        """By how much ``last_block_time`` advances from message to message, s."""
        if self.interval is not None:
            return self.interval
        if self.gulps:
            return GULP / 2
        return 1 / self.rate if self.rate else _UNPACED_INTERVAL

    def scene(self) -> Scene:
        """Return what it sees: message number n since the start, from 0, carries ``scene().spectrum(n)``."""
        return Scene(self.shape, self.seed, self.cadence)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can carry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, doc: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**{**doc, "shape": tuple(doc["shape"])})


class Spectrometer:
    """Publish spectra; ``with Spectrometer(spec) as s: s.run()``.

    Bound from the beginning. `run` belongs to one thread; `stop`, `set_faults` and `counters` may be called by any
    thread, and by signals.

    Parameters
    ----------
    spec : SpectrometerSpec, optional
    faults : SpectraFaults, optional

    Raises
    ------
    ConfigurationError
        The address cannot be bound.
    ValueError
        There are no such spectra.
    """

    def __init__(self, spec: SpectrometerSpec | None = None, faults: SpectraFaults | None = None) -> None:
        self.spec = spec or SpectrometerSpec()
        self._scene = self.spec.scene()
        self._count = Counters()
        self._faults, self._since = faults or SpectraFaults(), 0
        self._new_faults: SpectraFaults | None = None
        self._silent_since: float | None = None
        self._looked = 0.0
        self._stopping = False
        self._broadcast = Broadcast(self.spec.address, high_water=self.spec.high_water, lossless=self.spec.lossless)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What it is bound to, ``tcp://host:port``."""
        return self._broadcast.address

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping

    def close(self, linger: float = 0.0) -> None:
        """Let go of the address; subscribers have `linger` seconds to fetch what waits for them."""
        self._broadcast.close(linger)

    def stop(self) -> None:
        """Make `run` return within 0.1 s."""
        self._stopping = True

    def set_faults(self, faults: SpectraFaults) -> None:
        """Have other things go wrong from the next message on; the default ones end all, a stall included."""
        self._new_faults = faults

    def counters(self) -> dict[str, Any]:
        """Return what became of the messages so far, by the names of `Counters`, and the ``rate``."""
        return asdict(self._count) | {"rate": self._count.rate}

    def run(self) -> None:
        """Publish until it is told to stop, or until all is sent."""
        while self._broadcast.subscribers < self.spec.subscribers and not self._stopping:
            self._idle(_LOOK)
        self._messages = SpectraMessages(self._scene, time.time(), sequence=self.spec.sequence)
        self._began = time.monotonic()
        self._nap = _NAP if self.spec.rate * _NAP > 1 else 0.0
        self._pace = Pace(self.spec.rate, self.spec.gulps, self._began)
        number = self.spec.number or math.inf
        while not self._stopping and self._count.made < number:
            if self._is_time():
                self._take_faults()
                if not self._stalled():
                    self._publish(self._count.made)
        self._count.done = self._count.made >= number

    def rest(self) -> None:
        """Keep the address, and count subscribers, until it is told to stop."""
        while not self._stopping:
            self._idle(_LOOK)

    def _take_faults(self) -> None:
        if self._new_faults is not None:
            self._faults, self._new_faults = self._new_faults, None
            self._since = self._count.made
            self._go_on()

    def _stalled(self) -> bool:
        """Tell whether the stream is silent; wait a little then."""
        faults, now = self._faults, time.monotonic()
        if not faults.stalls(self._count.made - self._since):
            return False
        self._silent_since = self._silent_since or now
        if faults.silent_seconds and now - self._silent_since >= faults.silent_seconds:
            self._faults = replace(faults, silent_after=None)
            self._go_on()
            return False
        self._idle(_LOOK)
        return True

    def _go_on(self) -> None:
        """Take up the pace again, if there was a stall."""
        if self._silent_since is not None:
            self._silent_since = None
            self._pace.restart(time.monotonic())

    def _is_time(self) -> bool:
        """Wait until the next message is due, or a little if that is long."""
        left = self._pace.due - time.monotonic()
        if left > _SLICE:
            self._idle(_SLICE)
            return False
        if left > 0:
            time.sleep(max(left, self._nap))
        return True

    def _idle(self, seconds: float) -> None:
        self._look(time.monotonic())
        time.sleep(seconds)

    def _look(self, now: float) -> None:
        if now - self._looked >= _LOOK:
            self._broadcast.look()
            self._count.subscribers, self._looked = self._broadcast.subscribers, now

    def _publish(self, index: int) -> None:
        """Make message number `index`, send it as often as it is to be sent, and count."""
        faults, at, messages = self._faults, index - self._since, self._messages
        if faults.restarts(at):
            messages.restart(index, faults.restart_jump)
        copies = faults.copies(at, messages.sequence(index))
        parts = messages.make(index, faults, at, same_time=self._pace.second) if copies else []
        now = time.monotonic()
        for _ in range(copies):
            if not self._sent(parts):
                return
        self._pace.sent(now)
        self._count.note(copies, bool(copies) and faults.damages(at), now - self._began, self._pace)
        self._look(now)

    def _sent(self, parts: Parts) -> bool:
        """Send a message, when its turn comes; return False if we are to end before."""
        while not self._broadcast.send(parts):
            if self._stopping:
                return False
            time.sleep(_FULL)
        return True
