"""What NeXus programs look for beside the frames: axes of pixels, the detector, the sample, the run, its motors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from beamstream.frames import ColorMode, Geometry
from beamstream.sinks.description import Description
from beamstream.sinks.hdf5_layout import Layout, storable

if TYPE_CHECKING:
    import h5py

_AXES = {ColorMode.RGB1: ("y", "x", "."), ColorMode.RGB2: ("y", ".", "x"), ColorMode.RGB3: (".", "y", "x")}


def of_run(layout: Layout, description: Description) -> Layout:
    """Return the layout of a file that also has what is known of the run and the scale of its pixels."""

    def describe(file: "h5py.File", name: str, geometry: Geometry, attributes: Mapping[str, Any]) -> None:
        layout.describe(file, name, geometry, attributes)
        if description.pixel_size is not None:
            write_scale(file[layout.scalars], geometry, description)
        write_detector(file, layout, name, description)
        write_run(file["entry"], description)
        if description.title:
            file[layout.scalars].attrs["title"] = storable(description.title)  # of the plot
        write_positioners(file, layout, description)

    return replace(layout, describe=describe)


def write_scale(group: Any, geometry: Geometry, description: Description) -> None:
    """Put where rows and columns lie beside the pixels, and make these their axes."""
    dims = _AXES.get(geometry.color_mode, _gray(len(geometry.shape)))
    if len(dims) != len(geometry.shape) or description.pixel_size is None:
        return
    names = []
    for axis, dim in enumerate(dims):
        if dim == ".":
            names.append(dim)
            continue
        name = dim if dim not in group else f"{dim}_pixel"  # a motor may be called x
        size = description.pixel_size["yx".index(dim)]
        group[name] = np.arange(geometry.shape[axis]) * size
        group[name].attrs.update({"units": _unit(description), "long_name": f"{dim} ({description.pixel_units})"})
        group.attrs[f"{name}_indices"] = 1 + axis
        names.append(name)
    group.attrs["axes"] = [group.attrs["axes"][0], *names]


def _gray(ndim: int) -> tuple[str, ...]:
    """Return the axes of pixels without colours: rows and columns are the last ones."""
    return (*["."] * (ndim - 2), "y", "x")[-ndim:]


def write_detector(file: "h5py.File", layout: Layout, name: str, description: Description) -> None:
    """Put the detector beside the data: how large its pixels are, how long it exposed."""
    import h5py

    detector = _group(_group(file["entry"], "instrument", "NXinstrument"), "detector", "NXdetector")
    detector["local_name"] = storable(name)
    detector["data"] = h5py.SoftLink(layout.pixels)
    if description.pixel_size is not None:
        for key, size in zip(("y_pixel_size", "x_pixel_size"), description.pixel_size, strict=True):
            detector[key] = size
            detector[key].attrs["units"] = _unit(description)
    if description.exposure is not None:
        detector["count_time"] = description.exposure
        detector["count_time"].attrs["units"] = "s"


def write_run(entry: Any, description: Description) -> None:
    """Put what is known of the run where NXentry, NXsample and NXuser have it, and its start document whole."""
    run = description.start
    if description.began:
        entry.attrs["start_time"] = description.began
    for key, text in (
        ("title", description.title),
        ("start_time", description.began),
        ("end_time", description.ended),
        ("entry_identifier", str(run.get("uid", ""))),
        ("experiment_identifier", description.proposal),
        ("program_name", "beamstream"),
    ):
        if text:
            entry[key] = storable(text)
    for name, kind, text in (("sample", "NXsample", description.sample), ("user", "NXuser", description.user)):
        if text:
            _group(entry, name, kind)["name"] = storable(text)
    if run:
        _group(entry, "bluesky", "NXcollection")["start"] = storable(dict(run))


def write_positioners(file: "h5py.File", layout: Layout, description: Description) -> None:
    """Put the motors of the scan beside the detector; the only one is the axis along which frames are plotted."""
    import h5py

    group: Any = file[layout.scalars]
    instrument: Any = file["entry/instrument"]
    moved = [name for name in description.scanned if name in group]
    for name in moved:
        free = name if name not in instrument else f"{name}_positioner"
        positioner = _group(instrument, free, "NXpositioner")
        positioner["name"] = storable(name)
        positioner["value"] = h5py.SoftLink(layout.where(name))
        group.attrs[f"{name}_indices"] = 0
    if len(moved) == 1:
        group.attrs["axes"] = [moved[0], *group.attrs["axes"][1:]]


def _unit(description: Description) -> str:
    unit = description.length
    return storable(description.pixel_units) if unit is None else unit.symbol


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.require_group(name)
    group.attrs["NX_class"] = kind
    return group
