"""A matplotlib backend for curves that nobody watches: they are drawn once, when they are kept as a file.

``matplotlib.use("module://beamstream.plots.quiet")``
"""

from typing import Any

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

__all__ = ["FigureCanvas", "FigureManager"]


class FigureCanvas(FigureCanvasAgg):
    """Draw only into files: Agg's own would draw all of a figure again at each new point."""

    def draw_idle(self, *_: Any, **__: Any) -> None:
        """Leave it for later."""


FigureManager = FigureManagerBase
