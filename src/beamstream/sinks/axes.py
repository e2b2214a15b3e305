"""What the axes of spectra are, for the formats that keep it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beamstream.frames import Frame

POLARIZATIONS = ("XX", "YY", "XY_real", "XY_imag")
"""What the four polarisations of a spectrum are, in order."""
TIME = "last_block_time"
"""The attribute of a spectrum: when its last sample was taken, s since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Where the values of a spectrum lie.

    Parameters
    ----------
    dims : tuple of str
        What the axes of one spectrum are: ``("beam", "frequency")``, and ``"polarization"`` where there are several.
    frequency : ndarray of float64, shape (n_channels,)
        Of the channels, MHz.
    units : str
        Of the values.
    polarizations : tuple of str
        What the polarisations are, where there are several.
    """

    dims: tuple[str, ...]
    frequency: NDArray[np.float64]
    units: str
    polarizations: tuple[str, ...] = ()

    @classmethod
    def of(cls, shape: tuple[int, ...], dims: tuple[str, ...], frequency: Iterable[float], units: str) -> Self | None:
        """Return the axes of spectra of this shape, or None where these are not what they are."""
        channels = np.array(list(frequency), np.float64)
        sizes = dict(zip(dims, shape, strict=True)) if len(dims) == len(shape) else {}
        if sizes.get("frequency", -1) != len(channels):
            return None
        return cls(dims, channels, units, polarization_names(sizes.get("polarization", 0)))

    def cut(self, index: tuple[slice, ...]) -> Self:
        """Return the axes of a part of each spectrum."""
        parts = dict(zip(self.dims, index, strict=True))
        names = self.polarizations[parts.get("polarization", slice(None))]
        return replace(self, frequency=self.frequency[parts["frequency"]], polarizations=names)


def polarization_names(number: int) -> tuple[str, ...]:
    """Return what so many polarisations are called; by number where it is not the four of a correlation."""
    return POLARIZATIONS if number == len(POLARIZATIONS) else tuple(map(str, range(number)))


def microseconds(seconds: ArrayLike) -> NDArray[np.datetime64]:
    """Return times that are given in s since 1970-01-01 UTC, exact to the microsecond of the wire; NaN is no time."""
    given = np.asarray(seconds, np.float64)
    whole = np.where(np.isfinite(given), np.round(given * 1e6), 0).astype("<i8").view("<M8[us]")
    return np.where(np.isfinite(given), whole, np.datetime64("NaT", "us"))


def times(frames: Iterable[Frame]) -> NDArray[np.datetime64]:
    """Return when each frame was taken: a spectrum's last sample, otherwise the detector's timestamp."""
    return microseconds([frame.attributes.get(TIME, frame.timestamp) for frame in frames])
