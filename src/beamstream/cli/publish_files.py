"""Time samples in files, for `beamstream publish spectra`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUFFIX = ".npy"


def open_file(file: Path, shape: tuple[int, int, int] | None, dtype: str) -> "NDArray[Any]":
    """Return the samples in a .npy file or in raw binary, mapped into memory, (n_times, beams, channels, pols).

    Raises
    ------
    typer.BadParameter
        There are none, or not of that shape.
    """
    try:
        file.stat()  # first of all it has to be there
        values = _npy(file) if file.suffix == _SUFFIX else _raw(file, shape, dtype)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise typer.BadParameter(f"{file} cannot be read: {reason}", param_hint="--from") from None
    if values.ndim != 4 or not values.size or values.dtype.kind not in "buif":
        raise typer.BadParameter(
            f"{file} holds {values.dtype} of shape {values.shape}; real numbers of shape "
            "(n_times, n_beams, n_channels, n_polarizations) are wanted",
            param_hint="--from",
        )
    if shape is not None and values.shape[1:] != shape:
        asked, is_now = (" x ".join(map(str, one)) for one in (shape, values.shape[1:]))
        raise typer.BadParameter(f"{asked} asked for, {file} holds {is_now}; leave it out", param_hint="--shape")
    return values


def _npy(file: Path) -> "NDArray[Any]":
    from beamstream import npy_file

    return npy_file.mapped(file)


def _raw(file: Path, shape: tuple[int, int, int] | None, dtype: str) -> "NDArray[Any]":
    import numpy as np

    if shape is None:
        raise typer.BadParameter(f"{file} is no .npy file; say what is in it: 1x3072x4", param_hint="--shape")
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise typer.BadParameter(
            f"{dtype!r} given; give one of numpy's: float32, <f4, >i2 …", param_hint="--dtype"
        ) from None
    size, one = file.stat().st_size, math.prod(shape) * kind.itemsize
    if not size or size % one:
        text = " x ".join(map(str, shape))
        raise ValueError(
            f"its {size} bytes are no whole number of samples of {text} {kind} ({one} bytes); "
            "correct --shape and --dtype"
        )
    return np.memmap(file, kind, "r", shape=(size // one, *shape))
