"""Ops that correct an image by a reference from a .npy file: dark and flat."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream import npy_file
from beamstream.errors import PipelineError, WrongGeometry
from beamstream.frames import ColorMode
from beamstream.ops.base import Meta
from beamstream.ops.dtypes import for_fractions
from beamstream.ops.options import Described, named, one_of


class SubtractDark(Described):
    """Subtract a dark image; the result is signed: float32 up to 16 bit, else float64.

    Parameters
    ----------
    file : path or ndarray
        The dark, counts, of the frames' shape: a .npy file or the array itself.
    """

    PATHS = ("file",)

    def __init__(self, file: str | Path | NDArray[Any]) -> None:
        self.file = file
        self._dark = reference("dark", "file", file)

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the image without its dark.

        Raises
        ------
        WrongGeometry
            The dark has another shape.
        """
        if image.shape != self._dark.shape:
            raise WrongGeometry(
                f"dark: frames of {image.shape} came, {self.file} has {self._dark.shape}; take a dark of this shape"
            )
        return np.subtract(image, self._dark, dtype=for_fractions(image.dtype), casting="same_kind")


class DivideFlat:
    """Make the illumination even: divide by the flat, times the flat's mean, less the dark where there is one.

    What it does with dead pixels and with integers is `beamstream.ops.flatfield.FlatField`'s.

    Parameters
    ----------
    file : path or ndarray
        The flat, counts, of the frames' shape: a .npy file or the array itself.
    dark : path or ndarray, optional
        The dark that belongs to it.
    output : {"float32", "raw"}
        ``raw`` rounds to the frames' own pixel type and saturates.
    color_mode : {"mono", "bayer", "rgb1", "rgb2", "rgb3"}
        Of the frames: the colours of RGB frames have a mean each.
    """

    PATHS = ("file", "dark")

    def __init__(
        self,
        file: str | Path | NDArray[Any],
        dark: str | Path | NDArray[Any] | None = None,
        output: Literal["float32", "raw"] = "float32",
        color_mode: str = "mono",
    ) -> None:
        from beamstream.ops.flatfield import FlatField

        one_of("flat", "output", output, ("float32", "raw"))
        mode = ColorMode(one_of("flat", "color_mode", color_mode, ColorMode))
        self._correct = FlatField(
            reference("flat", "file", file),
            None if dark is None else reference("flat", "dark", dark),
            output=output,
            color_mode=mode,
            flat_name=named(file),
            dark_name="" if dark is None else named(dark),
        )

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the corrected image, in memory that the next call reuses."""
        return self._correct.apply(image, meta)

    def describe(self) -> dict[str, Any]:
        """Return what was done to the pixels, in values that JSON can carry."""
        return {key: value for key, value in self._correct.describe().items() if key != "name"}


def reference(op: str, option: str, given: str | Path | NDArray[Any]) -> NDArray[Any]:
    """Return a reference image, from its file if it is not there yet.

    Raises
    ------
    PipelineError
        There is no such file, or it holds no image of finite numbers; the text names op and option.
    """
    image = given
    if not isinstance(given, np.ndarray):
        try:
            image = npy_file.load(given)
        except (OSError, ValueError, TypeError) as error:
            raise PipelineError(f"{op}: {option} = {str(given)!r} cannot be read: {error}; give a .npy file") from error
    if not isinstance(image, np.ndarray) or image.ndim < 2 or image.dtype.kind not in "buif":
        raise PipelineError(f"{op}: {option} = {given!r} is no image; give an array of numbers, rows and columns")
    if not np.isfinite(image).all():
        raise PipelineError(f"{op}: {option} has pixels that are not finite; replace them")
    return image
