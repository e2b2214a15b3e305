"""What a recorded HDF5 file of spectra looks like inside: NeXus with a frequency axis and the times of the averages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.frames import Geometry
from beamstream.sinks.hdf5_layout import NEXUS, Column, Layout, describe_nexus

if TYPE_CHECKING:
    import h5py

COLUMNS = (Column("last_block_time", "<f8", "s"), Column("delay", "<f8", "s"), Column("time_tag", "<i8", "ticks"))
"""Of each spectrum: the time of the last sample in it, how old the message was when it came, the recorder's tag."""


def spectra_layout(frequency: NDArray[np.float64], dims: tuple[str, ...], units: str) -> Layout:
    """Return the layout of a file of spectra.

    Parameters
    ----------
    frequency : ndarray of float64, shape (n_channels,)
        Of the channels, MHz.
    dims : tuple of str
        Of one spectrum: ``("beam", "frequency")``, and ``"polarization"`` where there are several.
    units : str
        Of the power.
    """

    def describe(file: "h5py.File", name: str, geometry: Geometry, attributes: Mapping[str, Any]) -> None:
        describe_nexus(file, name, geometry, attributes)
        group: Any = file[NEXUS.scalars]
        group["frequency"] = frequency
        group["frequency"].attrs["units"] = "MHz"
        axes = [axis if axis == "frequency" else "." for axis in dims]
        group.attrs["axes"] = ["last_block_time", *axes]
        group.attrs["frequency_indices"] = 1 + dims.index("frequency")
        group.attrs["last_block_time_indices"] = 0
        group["last_block_time"].attrs["start"] = "1970-01-01T00:00:00Z"
        group["data"].attrs["interpretation"] = "spectrum"

    return Layout(NEXUS.pixels, NEXUS.scalars, NEXUS.root, describe, COLUMNS, units, dims)
