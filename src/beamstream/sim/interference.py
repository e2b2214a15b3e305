"""Lines that people make in the band: some always there, some come and go."""

import numpy as np
from numpy.typing import NDArray

SLOT = 2.5  # s that a line which comes and goes stays as it is
_FIXED = (27.2, 55.25, 59.75, 61.25, 67.25, 77.25, 87.1)  # MHz: CB radio, television, the edge of FM
_SHORT_WAVE = (15.1, 15.4, 17.6, 17.8, 21.5, 21.7)  # MHz: broadcasters
_COMING_AND_GOING = 12


class Interference:
    """The lines on given channels, relative to the gain; a function of the seed alone.

    Parameters
    ----------
    frequency : ndarray, shape (n_channels,)
        MHz.
    seed : int
    """

    def __init__(self, frequency: NDArray[np.float64], seed: int) -> None:
        random = np.random.default_rng((seed, 4))
        own = random.uniform(16, 86, 6)
        self._always = np.zeros(frequency.size, np.float32)
        for line in (*_FIXED, *_SHORT_WAVE, *own):
            self._always += _line(frequency, line, random)
        self.sometimes: NDArray[np.float64] = random.uniform(18, 84, _COMING_AND_GOING)
        """Where lines come and go, MHz."""
        self._sometimes = np.array([_line(frequency, line, random) for line in self.sometimes])
        self._seed = seed
        self._slot, self._now = -1, self._always

    def on(self, slot: int) -> NDArray[np.bool_]:
        """Tell which of the lines that come and go are there during a slot."""
        return np.random.default_rng((self._seed, 5, slot)).random(_COMING_AND_GOING) < 0.3

    def at(self, time: float) -> NDArray[np.float32]:
        """Return the lines at s since the beginning of the scene, shape (n_channels,); not to be written to."""
        slot = int(time / SLOT)
        if slot != self._slot:
            self._now = self._always + self._sometimes[self.on(slot)].sum(axis=0)
            self._slot = slot
        return self._now


def _line(frequency: NDArray[np.float64], middle: float, random: np.random.Generator) -> NDArray[np.float32]:
    step = frequency[1] - frequency[0] if frequency.size > 1 else 1.0
    width = max(random.choice((0.012, 0.02, 0.04)), 0.4 * step)  # MHz
    strength = np.exp(random.uniform(0, 3))
    return (strength * np.exp(-(((frequency - middle) / width) ** 2) / 2)).astype(np.float32)
