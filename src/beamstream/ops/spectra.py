"""Spectra made smaller on purpose: one polarisation, fewer channels; and where the channels lie."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Polarization = Literal["all", "I", "V"] | int
"""All of them, Stokes I = (XX + YY)/2, Stokes V = Im(XY) as the recorder sends it, or the number of one."""

XX, YY, XY_IMAG = 0, 1, 3
_NEEDED = {"all": 1, "I": YY + 1, "V": XY_IMAG + 1}
_FEW = 8
"""Values up to which adding whole arrays is faster than numpy's mean over a short axis, twice as fast for four."""


@dataclass(frozen=True, slots=True)
class Band:
    """Where channels lie: channel i is at ``first + i × step``, MHz. The default is OVRO-LWA's."""

    first: float = 196 * 600 / 8192
    step: float = 196 / 8192

    def axis(self, number: int) -> NDArray[np.float64]:
        """Return the frequencies of so many channels, MHz."""
        return self.first + self.step * np.arange(number, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Selection:
    """Take one polarisation, and the mean of every `average` neighbouring channels.

    Called with a spectrum of shape (n_beams, n_channels, n_polarizations) it returns an array of shape
    (n_beams, n_channels // average), with a third axis only for ``"all"``. Without anything to do it returns what
    it was given; otherwise floats, float32 where the values fit: float64 stays float64.

    Parameters
    ----------
    polarization : {"all", "I", "V"} or int
    average : int
        Channels; their number has to be a multiple.
    """

    polarization: Polarization = "all"
    average: int = 1

    def check(self, shape: tuple[int, ...]) -> None:
        """Say what is wrong with asking for this of spectra of this shape.

        Raises
        ------
        ValueError
            There is no such polarisation, or a remainder of channels.
        """
        _, channels, polarizations = shape
        asked = self.polarization
        if isinstance(asked, str) and asked not in _NEEDED:
            raise ValueError(f"polarization {asked!r} asked for; use all, I, V or a number below {polarizations}")
        needed = asked + 1 if isinstance(asked, int) else _NEEDED[asked]
        if needed > polarizations or (isinstance(asked, int) and asked < 0):
            raise ValueError(f"polarization {asked} asked for, the spectra have {polarizations}")
        if self.average < 1 or channels % self.average:
            raise ValueError(
                f"the mean of every {self.average} channels asked for, there are {channels}; use a divisor of that"
            )

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.polarization == "all" and self.average == 1:
            return values
        dtype = np.float64 if values.dtype.itemsize > 4 or (values.dtype.kind in "iu" and values.itemsize > 2) else "f4"
        picked = self._picked(values, dtype)
        if self.average == 1:
            return np.ascontiguousarray(picked, dtype)
        beams, channels, *rest = picked.shape
        grouped = picked.reshape(beams, channels // self.average, self.average, *rest)
        return grouped.mean(axis=2, dtype=dtype) if self.average > _FEW else _mean_of_few(grouped, dtype)

    def _picked(self, values: NDArray[Any], dtype: Any) -> NDArray[Any]:
        if self.polarization == "all":
            return values
        if self.polarization == "I":
            return (values[..., XX].astype(dtype) + values[..., YY]) / 2
        return values[..., XY_IMAG if self.polarization == "V" else self.polarization]

    @property
    def dims(self) -> tuple[str, ...]:
        """What the axes of the result are."""
        return ("beam", "frequency", "polarization") if self.polarization == "all" else ("beam", "frequency")

    def axis(self, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the frequencies of the channels that are left, of the same unit."""
        return frequency.reshape(-1, self.average).mean(axis=1)


def _mean_of_few(grouped: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return the mean over the third axis, added up in its order."""
    total = np.add(grouped[:, :, 0], grouped[:, :, 1], dtype=dtype)
    for i in range(2, grouped.shape[2]):
        total += grouped[:, :, i]
    total /= grouped.shape[2]
    return total
