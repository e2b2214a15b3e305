"""Reading recorded and exported files as strangers do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray


def h5(path: Path, where: str = "entry/data/data") -> NDArray[Any]:
    with h5py.File(path) as file:
        return file[where][:]  # type: ignore[index]


READ: dict[str, Callable[[Path], NDArray[Any]]] = {
    "tiff": lambda path: np.stack([tifffile.imread(file) for file in sorted(path.iterdir())]),
    "bigtiff": tifffile.imread,
    "ome-tiff": tifffile.imread,
    "hdf5": h5,
    "dxchange": lambda path: h5(path, "exchange/data"),
    "zarr": lambda path: zarr.open_group(path, mode="r")["data"][:],  # type: ignore[index]
    "npy": np.load,
}
"""What returns all frames of a file or directory, by the name of its format."""


def only(directory: Path) -> Path:
    """Return what is in a directory, of NPY files the one with the pixels."""
    (found,) = [path for path in directory.iterdir() if not path.name.endswith(".frames.npy")]
    return found
