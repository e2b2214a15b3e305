"""How plots look: colours, type and lines, dark as a hutch is."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

BACKGROUND = "#12161c"
PANEL = "#1a2029"
EDGE = "#39424f"
TEXT = "#e8edf3"
DIM = "#93a0b0"
ACCENT = "#5cc8ff"
GOOD = "#63d297"
BAD = "#ffb454"
COLOURS = ("#ff6b6b", "#69db7c", "#6ea8fe")
DPI = 110

STYLE: dict[str, Any] = {
    "figure.facecolor": BACKGROUND,
    "savefig.facecolor": BACKGROUND,
    "axes.facecolor": PANEL,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": DIM,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "xtick.color": DIM,
    "ytick.color": DIM,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "text.color": TEXT,
    "text.parse_math": False,  # a name or a title with a $ in it is no formula
    "font.family": "DejaVu Sans",
    "path.simplify_threshold": 0.5,
}


def quiet(axes: "Axes") -> None:
    """Take away what a small panel does not need."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=2)


def colours(name: str) -> "Colormap":
    """Return matplotlib's colours of this name; pixels without a value are like an empty panel.

    Raises
    ------
    ValueError
        There are none of this name.
    """
    import matplotlib

    if name not in matplotlib.colormaps:
        raise ValueError(f"cmap {name!r} asked for, matplotlib has none of this name; viridis, magma, gray, … it has")
    return matplotlib.colormaps[name].with_extremes(bad=PANEL)


def clock(seconds: float) -> str:
    """Return the local time of day, to the millisecond."""
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{int(seconds % 1 * 1000):03d}"


def shortened(text: str, most: int) -> str:
    """Return a text that fits."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
