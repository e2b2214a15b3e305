"""The last spectra, as numbers: what every page and every request is answered from."""

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 512 * 2**20


class History:
    """Keep the last spectra of one shape, by number; for one thread.

    Parameters
    ----------
    rows : int
        Spectra to keep; fewer where they would take more than 512 MiB.
    n_beams, n_channels : int
    first : int
        Number of the first spectrum to come.

    Attributes
    ----------
    count : int
        Number of the next spectrum to come.
    """

    def __init__(self, rows: int, n_beams: int, n_channels: int, first: int = 0) -> None:
        self.rows = max(1, min(rows, _MOST_BYTES // (4 * n_beams * n_channels)))
        self.n_beams, self.n_channels = n_beams, n_channels
        self.first = self.count = first
        self._values = np.zeros((self.rows, n_beams, n_channels), np.float32)
        self._times = np.zeros(self.rows)
        self._received = np.zeros(self.rows)

    @property
    def start(self) -> int:
        """Number of the oldest spectrum that is kept."""
        return max(self.first, self.count - self.rows)

    def append(self, values: NDArray[np.float32], time: float, received: float) -> None:
        """Keep one more spectrum, shape (n_beams, n_channels); it is copied. Times are s since 1970-01-01 UTC."""
        slot = self.count % self.rows
        self._values[slot] = values
        self._times[slot] = time
        self._received[slot] = received
        self.count += 1

    def _slots(self, start: int, stop: int) -> NDArray[np.intp]:
        return np.arange(start, stop) % self.rows

    def values(self, start: int, stop: int, beam: int) -> NDArray[np.float32]:
        """Return a copy of the spectra ``start:stop`` of one beam, shape (stop - start, n_channels)."""
        return self._values[self._slots(start, stop), beam]

    def times(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return when these spectra were measured."""
        return self._times[self._slots(start, stop)]

    def received(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return when these spectra arrived."""
        return self._received[self._slots(start, stop)]
