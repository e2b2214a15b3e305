"""How a film wants its pictures to be turned and mirrored: phones film as they are held, and write that down.

Every player and OpenCV turn the pictures so, PyAV 18 and FFmpeg's decoders do not.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MATRIX = struct.Struct("=9i")
_WORDS = {
    (False, False, False): "",
    (False, True, True): "rotated by 180 degrees",
    (False, False, True): "mirrored left to right",
    (False, True, False): "mirrored top to bottom",
    (True, False, True): "rotated by 90 degrees clockwise",
    (True, True, False): "rotated by 90 degrees counter-clockwise",
    (True, False, False): "mirrored at the diagonal from top left to bottom right",
    (True, True, True): "mirrored at the diagonal from top right to bottom left",
}


@dataclass(frozen=True, slots=True)
class Orientation:
    """What is done to a picture: first rows and columns are exchanged, then their order is reversed."""

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False
    known: bool = True
    """Whether that is all of the film's metadata: pictures at an angle, or stretched, are left as they are."""

    def __str__(self) -> str:
        """Return it in words; empty where pictures stay as they are."""
        if not self.known:
            return "as stored; their metadata turns them by an angle that is no right one"
        return _WORDS[self.transposed, self.rows_reversed, self.columns_reversed]

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return an image of rows, columns (and colours) as it is to be seen, in memory of its own if it changes."""
        if not (self.transposed or self.rows_reversed or self.columns_reversed):
            return image
        seen = image.swapaxes(0, 1) if self.transposed else image
        seen = seen[::-1] if self.rows_reversed else seen
        return np.ascontiguousarray(seen[:, ::-1] if self.columns_reversed else seen)


AS_STORED = Orientation()


def orientation_of(picture: Any, before: Orientation) -> Orientation:
    """Return the orientation of a picture (``av.VideoFrame``), from its own metadata or its film's.

    Parameters
    ----------
    picture : av.VideoFrame
    before : Orientation
        Of the picture before it, which counts where this one has none: in H.264 some pictures have it only.
    """
    matrix = picture.side_data.get("DISPLAYMATRIX")
    return before if matrix is None else _orientation(bytes(matrix))


@lru_cache(16)
def _orientation(matrix: bytes) -> Orientation:
    """Return what FFmpeg's display matrix means: a column and row (x, y) is shown at (a x + c y, b x + d y)."""
    if len(matrix) != _MATRIX.size:
        return AS_STORED
    a, b, _, c, d = _MATRIX.unpack(matrix)[:5]
    size = max(abs(a), abs(b), abs(c), abs(d)) or 1
    straight, crossed = (round(a / size, 2), round(d / size, 2)), (round(b / size, 2), round(c / size, 2))
    if crossed == (0, 0) and abs(straight[0]) == abs(straight[1]) == 1:
        return Orientation(False, straight[1] < 0, straight[0] < 0)
    if straight == (0, 0) and abs(crossed[0]) == abs(crossed[1]) == 1:
        return Orientation(True, crossed[0] < 0, crossed[1] < 0)
    return Orientation(known=False)
