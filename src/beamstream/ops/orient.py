"""Ops that turn an image; all keep the pixel type and return views, no pixel is copied."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.axes import rows_and_columns
from beamstream.ops.base import Meta
from beamstream.ops.options import Described, one_of, wrong


class Rotate(Described):
    """Turn the image counter-clockwise, as it is seen with the first row on top.

    Parameters
    ----------
    degrees : int
        A multiple of 90; negative turns clockwise.
    """

    def __init__(self, degrees: int = 90) -> None:
        if isinstance(degrees, bool) or not isinstance(degrees, int | float) or degrees % 90:
            raise wrong("rotate", "degrees", degrees, "give a multiple of 90: 90, 180, 270 or -90")
        self.degrees = int(degrees)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the turned image."""
        return np.rot90(image, self.degrees // 90, axes=rows_and_columns("rotate", image, meta))


class Flip(Described):
    """Mirror the image.

    Parameters
    ----------
    direction : {"horizontal", "vertical", "both"}
        ``horizontal`` exchanges left and right, ``vertical`` top and bottom.
    """

    def __init__(self, direction: str = "horizontal") -> None:
        self.direction = one_of("flip", "direction", direction, ("horizontal", "vertical", "both"))

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the mirrored image."""
        rows, columns = rows_and_columns("flip", image, meta)
        return np.flip(image, {"horizontal": columns, "vertical": rows, "both": (rows, columns)}[self.direction])


class Transpose(Described):
    """Exchange rows and columns."""

    def __init__(self) -> None:
        pass

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the transposed image."""
        return np.swapaxes(image, *rows_and_columns("transpose", image, meta))
