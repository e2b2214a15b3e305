"""Describe a run of frames as OME-XML, which microscopy programs read."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from beamstream.sinks.description import NO_DESCRIPTION, Description, interval, iso_time
from beamstream.sinks.tiff_tags import PageFormat
from beamstream.sinks.zarr_layout import jsonable

_TYPES = {"int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"}
_TIMED_FRAMES = 10_000  # with the time of each; a million would be 60 MB of text
_LONGEST = 10_000  # characters of one value of the run's metadata
_NAMESPACE = "openmicroscopy.org/omero/client/mapAnnotation"
"""OMERO shows map annotations of this namespace as key-value pairs."""


def ome_xml(
    name: str, pages: PageFormat, timestamps: Sequence[float], description: Description = NO_DESCRIPTION
) -> bytes:
    """Return OME-XML for one page a frame, NUL at the end, ASCII; empty if OME has no such pixels.

    Parameters
    ----------
    name : str
        The image's.
    pages : PageFormat
        How each page is stored.
    timestamps : sequence of float
        Of the frames, s since 1970-01-01 UTC; at least one.
    description : Description
        The scale of the pixels, and the run.
    """
    from tifffile import OmeXml

    dtype, axes, sizes = pages.geometry.dtype, pages.stored_axes, pages.sizes
    if np.dtype(dtype).name not in _TYPES:
        return b""
    count, samples = len(timestamps), sizes["S"]
    planes, interleaved = (samples, 1) if axes == "SYX" else (1, samples)
    depth = [pages.pages] if pages.pages > 1 else []
    project = {"Project": {"Name": _text(description.proposal)}} if description.proposal else {}
    document = OmeXml(Creator="beamstream", **project)
    document.addimage(
        dtype=dtype,
        shape=(count, *depth, *(sizes[axis] for axis in axes)),
        storedshape=(count * pages.pages, planes, 1, sizes["Y"], sizes["X"], interleaved),
        axes=f"T{'Z' * len(depth)}{axes}",
        Name="".join(letter for letter in name if letter.isprintable()),
        **_for_pages(_times(timestamps, description.exposure), pages.pages),
        **_scale(description),
        **_run(description),
    )
    return document.tostring(declaration=True).encode("ascii", "xmlcharrefreplace") + b"\0"


def _for_pages(times: dict[str, Any], pages: int) -> dict[str, Any]:
    """Return the times of each frame for each of its pages."""
    of_planes = {key: [one for one in values for _ in range(pages)] for key, values in times.get("Plane", {}).items()}
    return times | ({"Plane": of_planes} if of_planes else {})


def _times(timestamps: Sequence[float], exposure: float | None) -> dict[str, Any]:
    """Return when the frames were taken, as far as OME can say it and the clock knew it."""
    first, count = timestamps[0], len(timestamps)
    timed = all(map(math.isfinite, timestamps))
    times: dict[str, Any] = {}
    if timed and (date := iso_time(first)):
        times["AcquisitionDate"] = date.removesuffix("Z")
    if (step := interval(timestamps)) is not None:
        times |= {"TimeIncrement": step, "TimeIncrementUnit": "s"}
    plane: dict[str, Any] = {}
    if timed and count <= _TIMED_FRAMES:
        plane |= {"DeltaT": [t - first for t in timestamps], "DeltaTUnit": ["s"] * count}
    if exposure is not None and count <= _TIMED_FRAMES:
        plane |= {"ExposureTime": [exposure] * count, "ExposureTimeUnit": ["s"] * count}
    return times | ({"Plane": plane} if plane else {})


def _scale(description: Description) -> dict[str, Any]:
    """Return how large a pixel is; OME knows lengths alone."""
    unit, size = description.length, description.pixel_size
    if unit is None or size is None:
        return {}
    rows, columns = size
    return {
        "PhysicalSizeX": columns,
        "PhysicalSizeXUnit": unit.ome,
        "PhysicalSizeY": rows,
        "PhysicalSizeYUnit": unit.ome,
    }


def _run(description: Description) -> dict[str, Any]:
    """Return what the run is, who took it, and all of its metadata as key-value pairs."""
    about: dict[str, Any] = {}
    if description.title:
        about["Description"] = _text(description.title)
    if description.sample:
        about["Dataset"] = {"Name": _text(description.sample)}
    if description.user:
        about["Experimenter"] = {"UserName": _text(description.user)}
    pixel = {} if description.pixel_size is None else {"pixel_units": description.pixel_units}
    pairs = {_text(key): _text(_value(value)) for key, value in (jsonable(description.start) | pixel).items()}
    pairs = {key: value for key, value in pairs.items() if len(value) <= _LONGEST}
    return about | ({"MapAnnotation": {"Namespace": _NAMESPACE, "Value": pairs}} if pairs else {})


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    """Return a text without the characters that XML has no way to write."""
    return "".join(c for c in text if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff")
