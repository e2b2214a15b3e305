"""Average frames as they come, without keeping them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.errors import CalibrationError, WrongGeometry
from beamstream.frames import Geometry

_COMPILED = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")  # what numba knows; the rest goes as float64


class Average:
    """Average frames pixel by pixel, exactly where that is possible, in the memory of two float64 frames.

    Sums of integers of up to 16 bit are exact; everything else goes through Welford's recurrence in float64,
    which keeps small noise on large offsets. A NaN makes its own pixel NaN and no other. 2048 × 2048 uint16
    takes a few ms a frame, without the GIL. To be used from one thread at a time.

    Parameters
    ----------
    geometry : Geometry
        Of the frames. Making the first average of a pixel type takes a second (it is compiled), so make it
        before the frames come.

    Attributes
    ----------
    number : int
        Frames added so far.

    Raises
    ------
    ValueError
        Frames of this pixel type have no average.
    """

    def __init__(self, geometry: Geometry) -> None:
        pixel = np.dtype(geometry.dtype)
        if pixel.kind not in "uif":
            raise ValueError(f"average: pixels of {pixel.name} have no mean; only integers and floats do")
        self.geometry = geometry
        self.number = 0
        self._exact = pixel.kind in "ui" and pixel.itemsize <= 2
        self._dtype = np.dtype(pixel.str[1:] if pixel.str[1:] in _COMPILED else "f8")
        sums = np.int64 if self._exact else np.float64
        self._total: NDArray[Any] = np.zeros(geometry.shape, sums)  # the mean, where it is not exact
        self._squares: NDArray[Any] = np.zeros(geometry.shape, sums)
        nothing = np.empty(0, self._dtype)
        self._accumulate(nothing, 1, nothing.astype(sums), nothing.astype(sums))  # compiles

    def add(self, image: NDArray[Any]) -> None:
        """Add one frame; its memory is only read, and not needed any more afterwards.

        Raises
        ------
        WrongGeometry
            It has another shape or pixel type; nothing is added.
        """
        asked = self.geometry
        if image.shape != asked.shape or image.dtype.newbyteorder("=") != np.dtype(asked.dtype).newbyteorder("="):
            size = " × ".join(map(str, image.shape))
            raise WrongGeometry(
                f"average: frame {self.number + 1} is {size} {image.dtype.name}, the ones before are {asked}; "
                "begin a new average for it"
            )
        # copies nothing but what is in foreign byte order or strided
        pixels = np.require(image, self._dtype, ("C", "A")).reshape(-1)
        self._accumulate(pixels, self.number + 1, self._total.reshape(-1), self._squares.reshape(-1))
        self.number += 1

    def _accumulate(self, pixels: NDArray[Any], number: int, total: NDArray[Any], squares: NDArray[Any]) -> None:
        from beamstream.references import sums

        pixels = pixels.view()
        pixels.flags.writeable = False  # one compiled loop for frames of all owners
        if self._exact:
            sums.add_exactly(pixels, total, squares)
        else:
            sums.add_welford(pixels, number, total, squares)

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation (ddof 1) of the frames so far, in counts, in memory of the caller's.

        One frame has the standard deviation zero. More frames may be added afterwards.

        Raises
        ------
        CalibrationError
            No frame was added.
        """
        if not self.number:
            raise CalibrationError("average: the mean of 0 frames is asked for; add frames first")
        mean, deviations = self._exact_moments() if self._exact else (self._total.copy(), self._squares)
        if self.number == 1:
            return mean, np.zeros(self.geometry.shape)
        return mean, np.sqrt(deviations / (self.number - 1))

    def _exact_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and the sum of squared deviations from it.

        The squares are moved to the integer just below the mean while they are integers: no digit is lost, and
        what is left to subtract in float64 is small.
        """
        below, rest = np.divmod(self._total, self.number)
        about_below = self._squares - 2 * below * self._total + self.number * below * below
        return self._total / self.number, about_below - rest * (rest / self.number)
