"""Describe a Zarr group of frames as OME-Zarr 0.5, which image viewers read; https://ngff.openmicroscopy.org/0.5/."""

from collections.abc import Sequence
from typing import Any

from beamstream.sinks.description import Description, interval

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_KNOWN = (
    ("t", "y", "x"),
    ("t", "c", "y", "x"),
    ("t", "z", "y", "x"),
)  # colours behind rows or columns have no place in OME-Zarr


def multiscales(
    name: str, dims: Sequence[str], description: Description, timestamps: Sequence[float]
) -> dict[str, Any] | None:
    """Return the attribute ``ome`` of a group whose array ``data`` is an image series; None where it is none.

    Parameters
    ----------
    name : str
        The image's.
    dims : sequence of str
        Of the array.
    description : Description
        The scale of the pixels.
    timestamps : sequence of float
        Of the frames, s since 1970-01-01 UTC. Where they are not regular, the first axis counts frames.
    """
    if tuple(dims) not in _KNOWN:
        return None
    step, unit = interval(timestamps), description.length
    rows, columns = description.pixel_size or (1.0, 1.0)
    scale = {"t": 1.0 if step is None else step, "y": rows, "x": columns}
    units = {"t": None if step is None else "second", "y": unit and unit.name, "x": unit and unit.name}
    axes = [
        {"name": dim, "type": _TYPES[dim]} | ({"unit": units[dim]} if units.get(dim) is not None else {})
        for dim in dims
    ]
    transformation = {"type": "scale", "scale": [scale.get(dim, 1.0) for dim in dims]}
    dataset = {"path": "data", "coordinateTransformations": [transformation]}
    return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": [dataset]}]}
