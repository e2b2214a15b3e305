"""What is kept of a spectrum that arrives: one polarisation, fewer channels."""

import logging
from typing import Any

from numpy.typing import NDArray

from beamstream.ops.spectra import Band, Polarization, Selection

logger = logging.getLogger(__name__)

MOST_BYTES = 2**30
"""That the spectra of one ring may take."""
_LARGEST_ITEM = 8  # bytes


class Treatment:
    """Make spectra smaller, whatever their shape.

    Called with a spectrum of shape (n_beams, n_channels, n_polarizations) it returns floats of shape
    (n_beams, n_channels // average). Where the channels are no multiple of the average asked for, the mean is taken
    over the largest divisor below it, and the log says so: something is shown of every stream.

    Parameters
    ----------
    polarization : {"I", "V"} or int
    average : int
        Channels, the number asked for.
    length : int
        How many spectra are to be kept.
    name : str
        Who speaks in the log.

    Attributes
    ----------
    average : int
        The number used since the last change of shape.

    Raises
    ------
    ValueError
        There cannot be such a polarisation or average.
    """

    def __init__(self, polarization: Polarization, average: int, length: int, name: str) -> None:
        if polarization not in ("I", "V") and not (isinstance(polarization, int) and polarization >= 0):
            raise ValueError(f"{name}: polarization {polarization!r} asked for; use I, V or a number from 0")
        if average < 1:
            raise ValueError(f"{name}: the mean of every {average} channels asked for; use 1 or more")
        self.average = self._asked = average
        self._polarization: Polarization = polarization
        self._length, self._name = length, name
        self._select = Selection(polarization, average)

    def check(self, shape: tuple[int, ...]) -> None:
        """Prepare for spectra of another shape; asked by the source before the first of them.

        Raises
        ------
        ValueError
            They have no such polarisation, or are too large.
        """
        beams, channels, _ = shape
        average = divisor(channels, self._asked)
        select = Selection(self._polarization, average)
        select.check(shape)
        size = self._length * beams * (channels // average) * _LARGEST_ITEM
        if size > MOST_BYTES:
            raise ValueError(f"{self._length} of them take {size >> 20} MB, {MOST_BYTES >> 20} are allowed; keep fewer")
        if average != self._asked:
            logger.warning(
                "%s: the mean of every %d channels asked for, there are %d: the mean of every %d is taken",
                *(self._name, self._asked, channels, average),
            )
        self._select, self.average = select, average

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what is kept."""
        return self._select(values)


def divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number that is not above `most`."""
    return next(d for d in range(min(most, number), 0, -1) if number % d == 0)


def averaged(band: Band, average: int) -> Band:
    """Return where channels lie that are the mean of every so many."""
    return Band(band.first + band.step * (average - 1) / 2, band.step * average)
