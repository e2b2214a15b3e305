"""Where rows and columns lie in an image with colours."""

from typing import Any

from numpy.typing import NDArray

from beamstream.errors import PipelineError
from beamstream.frames import ColorMode
from beamstream.ops.base import Meta

_AXES = {ColorMode.RGB1: (0, 1), ColorMode.RGB2: (0, 2), ColorMode.RGB3: (1, 2)}


def as_rows(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image; numbers along one axis, such as a digitizer's trace, become one row."""
    return image[None] if image.ndim == 1 else image


def rows_and_columns(op: str, image: NDArray[Any], meta: Meta) -> tuple[int, int]:
    """Return the axes of rows and columns; other axes are colours and stay as they are.

    ``meta["color_mode"]`` decides where an image has three axes; without it, a last axis of 3 or 4 is colours.

    Raises
    ------
    PipelineError
        The image has fewer than two axes.
    """
    if image.ndim == 2:
        return 0, 1
    if image.ndim < 2:
        raise PipelineError(f"{op}: an image asked for, an array of shape {image.shape} came; give it rows and columns")
    mode = meta.get("color_mode", "")
    if image.ndim == 3 and mode in _AXES:
        return _AXES[ColorMode(mode)]
    return (0, 1) if image.shape[-1] in (3, 4) else (image.ndim - 2, image.ndim - 1)
