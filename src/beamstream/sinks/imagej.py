"""Describe a file of pages as ImageJ does, for Fiji and the many programs that read its descriptions."""

from collections.abc import Sequence

import numpy as np

from beamstream.frames import Geometry
from beamstream.sinks.description import Description, interval
from beamstream.sinks.tiff_tags import stored_axes

_TYPES = {"YX": {"uint8", "uint16", "int16", "float32"}, "YXS": {"uint8"}}
_LEAST = 16  # bytes; tifffile 2026.3 takes smaller pages for one block of pixels, and their tags for pixels as well


def has_imagej(geometry: Geometry) -> bool:
    """Whether ImageJ knows frames of such pixels, each a page.

    Raises
    ------
    SinkError
        TIFF does not.
    """
    axes, stored = stored_axes(geometry)
    one_page = len(geometry.shape) <= len(axes)
    return one_page and np.dtype(geometry.dtype).name in _TYPES.get(stored, ()) and geometry.nbytes >= _LEAST


def imagej_text(description: Description, timestamps: Sequence[float]) -> bytes:
    """Return ImageJ's description of a file with a page a frame, NUL at the end, ASCII.

    Parameters
    ----------
    description : Description
        How large its pixels are in this unit is in XResolution and YResolution.
    timestamps : sequence of float
        Of the frames, s since 1970-01-01 UTC.
    """
    count, step = len(timestamps), interval(timestamps)
    lines = ["ImageJ=1.54f", f"images={count}", f"frames={count}", *(["hyperstack=true"] if count > 1 else [])]
    if description.pixel_size is not None:
        unit = description.length
        lines.append(f"unit={_property(description.pixel_units) if unit is None else unit.symbol}")
    if step is not None:
        lines += [f"finterval={step!r}", "tunit=sec"]
    return "\n".join([*lines, ""]).encode("ascii") + b"\0"


def _property(text: str) -> str:
    """Return a text as the value of a Java property; ImageJ reads them so."""
    return "".join(c if " " <= c <= "~" and c != "\\" else f"\\u{ord(c):04x}" for c in text if ord(c) < 1 << 16)
