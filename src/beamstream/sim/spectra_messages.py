"""The messages of a simulated spectrometer: number n carries spectrum n of its scene."""

import math
import time

import numpy as np

from beamstream import spectra_wire
from beamstream.sim.solar import Scene
from beamstream.sim.spectra_faults import Parts, SpectraFaults


class SpectraMessages:
    """Make messages, each a function of the scene, of its number and of when its sequence began.

    Parameters
    ----------
    scene : Scene
        Its interval is what ``last_block_time`` advances by.
    begin : float
        Of the sequence, s since 1970-01-01 UTC; ``last_block_time`` begins at the whole second before, so that some
        messages fall onto whole seconds: then it has no fraction.
    sequence : bool
        Whether headers have ``sequence``.
    """

    def __init__(self, scene: Scene, begin: float, *, sequence: bool = True) -> None:
        self._scene, self._sequence = scene, sequence
        self._values = np.empty(scene.shape, np.float32)
        self._begin, self._first = float(math.floor(begin)), 0
        self._timestamp = begin
        self._time_tag = round(begin * spectra_wire.TICKS_PER_SECOND)

    def restart(self, index: int, jump: float) -> None:
        """Begin a new sequence with message `index`, its ``last_block_time`` later by `jump` seconds than due."""
        elapsed = (index - self._first) * self._scene.interval + jump
        self._time_tag += round(elapsed * spectra_wire.TICKS_PER_SECOND)
        self._begin += jump
        self._first = index

    def sequence(self, index: int) -> int:
        """Return the number of a message in its sequence."""
        return index - self._first

    def block_time(self, index: int) -> float:
        """Return ``last_block_time`` of a message, s since 1970-01-01 UTC."""
        return self._begin + index * self._scene.interval

    def make(self, index: int, faults: SpectraFaults, at: int, *, same_time: bool = False) -> Parts:
        """Return a message, valid until the next one is made.

        Parameters
        ----------
        index : int
            Of the spectrum.
        faults : SpectraFaults
        at : int
            Number of the message as the faults count.
        same_time : bool
            Whether its ``timestamp`` is that of the message before; otherwise it is now.
        """
        values = self._scene.spectrum(index, self._values)
        if faults.has_nan(at):
            values[:, ::10] = np.nan
        if faults.halves(at):
            values = np.ascontiguousarray(values[:, : max(1, values.shape[1] // 2)])
        if not same_time:
            self._timestamp = time.time()
        parts = spectra_wire.encode(
            values,
            time_tag=self._time_tag,
            timestamp=self._timestamp,
            last_block_time=self.block_time(index),
            sequence=self.sequence(index) if self._sequence else None,
        )
        return faults.damaged(at, parts) if faults.damages(at) else parts
