"""Describe a run of frames as OME-XML, which microscopy programs read."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from beamstream.sinks.tiff_tags import PageFormat

_TYPES = {"int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"}
_TIMED_FRAMES = 10_000  # with the time of each; a million would be 60 MB of text
_NO_DATE = 253_402_300_800  # s, the year 10 000


def ome_xml(name: str, pages: PageFormat, timestamps: Sequence[float]) -> bytes:
    """Return OME-XML for one page a frame, NUL at the end, ASCII; empty if OME has no such pixels.

    Parameters
    ----------
    name : str
        The image's.
    pages : PageFormat
        How each page is stored.
    timestamps : sequence of float
        Of the frames, s since 1970-01-01 UTC; at least one.
    """
    from tifffile import OmeXml

    dtype, axes, sizes = pages.geometry.dtype, pages.stored_axes, pages.sizes
    if np.dtype(dtype).name not in _TYPES:
        return b""
    count, samples = len(timestamps), sizes["S"]
    planes, interleaved = (samples, 1) if axes == "SYX" else (1, samples)
    depth = [pages.pages] if pages.pages > 1 else []
    document = OmeXml(Creator="beamstream")
    document.addimage(
        dtype=dtype,
        shape=(count, *depth, *(sizes[axis] for axis in axes)),
        storedshape=(count * pages.pages, planes, 1, sizes["Y"], sizes["X"], interleaved),
        axes=f"T{'Z' * len(depth)}{axes}",
        Name="".join(letter for letter in name if letter.isprintable()),
        **_for_pages(_times(timestamps), pages.pages),
    )
    return document.tostring(declaration=True).encode("ascii", "xmlcharrefreplace") + b"\0"


def _for_pages(times: dict[str, Any], pages: int) -> dict[str, Any]:
    """Return what is said of each frame for each of its pages."""
    of_planes = {key: [one for one in values for _ in range(pages)] for key, values in times.get("Plane", {}).items()}
    return times | ({"Plane": of_planes} if of_planes else {})


def _times(timestamps: Sequence[float]) -> dict[str, Any]:
    """Return when the frames were taken, as far as OME can say it and the clock knew it."""
    first, last, count = timestamps[0], timestamps[-1], len(timestamps)
    if not all(map(math.isfinite, timestamps)):
        return {}
    times: dict[str, Any] = {}
    if 0 <= first < _NO_DATE:
        times["AcquisitionDate"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(first))
    if count > 1:
        times |= {"TimeIncrement": (last - first) / (count - 1), "TimeIncrementUnit": "s"}
    if count <= _TIMED_FRAMES:
        times["Plane"] = {"DeltaT": [t - first for t in timestamps], "DeltaTUnit": ["s"] * count}
    return times
