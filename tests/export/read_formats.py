"""Reading recorded and exported files as strangers do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray


def h5(path: Path, where: str = "entry/data/data") -> NDArray[Any]:
    with h5py.File(path) as file:
        return file[where][:]  # type: ignore[index]


def npz(path: Path, name: str) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as file:
        return file[name]


def csv_images(path: Path) -> NDArray[Any]:
    """Return images of uint16 that have a column a pixel."""
    pixels = [head for head in path.read_text().partition("\n")[0].split(",") if head.replace("_", "").isdigit()]
    shape = [int(place) + 1 for place in pixels[-1].split("_")]
    rows = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(2, 2 + int(np.prod(shape))), ndmin=2)
    return rows.reshape(-1, *shape).astype("<u2")


def film(path: Path) -> NDArray[Any]:
    with av.open(str(path)) as container:
        return np.stack([picture.to_ndarray() for picture in container.decode(video=0)])


READ: dict[str, Callable[[Path], NDArray[Any]]] = {
    "tiff": lambda path: np.stack([tifffile.imread(file) for file in sorted(path.iterdir())]),
    "bigtiff": tifffile.imread,
    "ome-tiff": tifffile.imread,
    "hdf5": h5,
    "dxchange": lambda path: h5(path, "exchange/data"),
    "zarr": lambda path: zarr.open_group(path, mode="r")["data"][:],  # type: ignore[index]
    "npy": np.load,
    "npz": lambda path: npz(path, "image"),
    "csv": csv_images,
    "mkv": film,
}
"""What returns all frames of a file or directory, by the name of its format."""
INEXACT = {"mp4"}
"""The formats that do not keep every value."""


def only(directory: Path) -> Path:
    """Return what is in a directory, of NPY files the one with the pixels."""
    (found,) = [path for path in directory.iterdir() if not path.name.endswith(".frames.npy")]
    return found
