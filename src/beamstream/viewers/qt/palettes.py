"""Palettes: 256 colours each, by name."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ("grey", "grey inverted", "viridis", "inferno", "magma", "plasma", "cividis", "turbo", "hot", "diverging")
_OF_PYQTGRAPH = {"hot": "CET-L3", "diverging": "CET-D1"}


@lru_cache
def table_of(name: str) -> NDArray[np.uint32]:
    """Return a palette from dark to bright, uint32 0xffRRGGBB.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if name not in NAMES:
        raise ValueError(f"viewer: palette {name!r} asked for, there are {', '.join(NAMES)}")
    if name.startswith("grey"):
        ramp = np.arange(256, dtype=np.uint32)
        colours = np.stack([ramp] * 3, axis=1)
        colours = colours[::-1] if name.endswith("inverted") else colours
    else:
        import pyqtgraph

        known: Any = pyqtgraph.colormap.get(_OF_PYQTGRAPH.get(name, name))
        colours = known.getLookupTable(nPts=256, alpha=False).astype(np.uint32)
    table = (0xFF000000 | (colours[:, 0] << 16) | (colours[:, 1] << 8) | colours[:, 2]).astype(np.uint32)
    table.flags.writeable = False
    return table
