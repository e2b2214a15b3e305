"""Darks and flats as plain .npy files, as other programs write and read them."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream import npy_file
from beamstream.errors import CalibrationError, WrongGeometry
from beamstream.frames import ColorMode, Geometry
from beamstream.references.publish import published
from beamstream.references.reference import Kind, Reference
from beamstream.sinks.disk import explained


def import_npy(
    path: str | os.PathLike[str],
    kind: Kind,
    detector: str,
    *,
    geometry: Geometry | None = None,
    exposure: float | None = None,
) -> Reference:
    """Take a dark or a flat from a .npy file; `ReferenceStore.keep` makes it one that is found.

    It counts as one frame, taken when the file was last written. Single NaNs are taken as they are.

    Parameters
    ----------
    path : path-like
        An array of any integer or float type, 2-D, or 3-D for colour. Nothing in it is ever executed.
    kind : "dark" or "flat"
    detector : str
    geometry : Geometry, optional
        Of the raw frames; by default the array's own shape and type, mono if it is 2-D, rgb1 if its last
        axis has length 3.
    exposure : float, optional
        s.

    Raises
    ------
    CalibrationError
        There is no such file, or nothing in it that can be a dark or a flat.
    WrongGeometry
        The array has another shape than `geometry`.
    """
    path = Path(path).absolute()
    who = f"{detector}: {kind} to be imported from {path}"
    array, taken = _opened(path, who)
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise CalibrationError(f"{who}: it holds {array.dtype}; save an array of integers or floats")
    if geometry is None:
        geometry = _own_geometry(array, who)
    elif array.shape != geometry.shape:
        raise WrongGeometry(f"{who}: its shape is {array.shape}, the frames are {geometry}; import one that fits")
    mean = np.array(array, np.float64, order="C")
    if not np.isfinite(mean).any():
        raise CalibrationError(f"{who}: none of its {mean.size} pixels is a number; save it again from good frames")
    return Reference(
        kind=kind,
        mean=mean,
        std=np.zeros_like(mean),
        number=1,
        detector=detector,
        geometry=geometry,
        exposure=exposure,
        taken=taken,
        origin=str(path),
    )


def _opened(path: Path, who: str) -> tuple[NDArray[Any], float]:
    try:
        return npy_file.mapped(path), path.stat().st_mtime
    except OSError as error:
        raise CalibrationError(f"{who}: {error.strerror or error}; check the path and its rights") from error
    except ValueError as error:
        raise CalibrationError(f"{who}: {error}") from error


def _own_geometry(array: NDArray[Any], who: str) -> Geometry:
    if array.ndim == 2:
        return Geometry.of(array)
    if array.ndim == 3 and array.shape[-1] == 3:
        return Geometry.of(array, ColorMode.RGB1)
    raise CalibrationError(
        f"{who}: its shape is {array.shape}; save one image of shape (n_rows, n_cols) or (n_rows, n_cols, 3), "
        "or say the geometry of the frames"
    )


def export_npy(reference: Reference, path: str | os.PathLike[str]) -> None:
    """Write the mean, float64, to a new .npy file for other programs.

    Raises
    ------
    DiskFull, SinkError
        It cannot be written, or there is a file already, which is left alone.
    """
    path = Path(path).absolute()
    made = io.BytesIO()  # numpy forgets why a disk took no more
    np.save(made, np.asarray(reference.mean, np.float64), allow_pickle=False)
    with explained(reference.detector, f"export a {reference.kind} to", path), published(path) as file:
        file.write(made.getbuffer())
