"""Tables and curves of scans, as bluesky draws them; without a display the curves become PNG files."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_QUIET = "module://beamstream.plots.quiet"


class Curves:
    """Print a table of each scan and draw its curves: bluesky's BestEffortCallback, made when it is first needed.

    It is needed by runs that hint at numbers: scans do, and flights with live numbers beside them. Where matplotlib
    has no Qt window to draw in, the curves of a run are drawn once, at its end, and kept as
    ``<directory>/<scan_id>_<uid>_<what>.png``.

    Parameters
    ----------
    directory : Path
        For PNG files; made when there is one.
    """

    __name__ = "tables"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._best: Any = None
        self._start: Mapping[str, Any] = {}
        self._waiting: list[tuple[str, Mapping[str, Any]]] | None = None

    @property
    def best_effort(self) -> Any:
        """Bluesky's BestEffortCallback, to change its options: ``curves.best_effort.disable_table()``."""
        if self._best is None:
            if "qt" not in _chosen_backend().lower():
                import matplotlib

                matplotlib.use(_QUIET)  # other windows must not be drawn to from the RunEngine's thread
            from bluesky.callbacks.best_effort import BestEffortCallback

            self._best = BestEffortCallback()
            self._best.disable_heading()  # the account at the run's end says which run it was
            self._best.noplot_streams.append("steps")  # they are marks, not curves
        return self._best

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document; in the RunEngine's thread, or in that of a callback that derived it."""
        if name == "start":
            self._start, self._waiting = doc, []
        if self._waiting is None:
            self.best_effort(name, doc)
            if name == "stop":
                self._keep()
            return
        self._waiting.append((name, doc))
        if name == "descriptor" and any(hint.get("fields") for hint in doc.get("hints", {}).values()):
            waiting, self._waiting = self._waiting, None
            for earlier in waiting:
                self.best_effort(*earlier)
        elif name == "stop":
            self._waiting = []

    def _keep(self) -> None:
        import matplotlib
        import matplotlib.pyplot as plt

        if matplotlib.get_backend() != _QUIET:
            return
        for number in plt.get_fignums():
            figure = plt.figure(number)
            if any(axes.lines or axes.collections for axes in figure.axes):
                path = self._path(figure.get_label())
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=100)
                log.info("tables: a curve is in %s", path)
            plt.close(figure)

    def _path(self, label: object) -> Path:
        what = "".join(c if c.isalnum() else "_" for c in str(label)).strip("_")[:60] or "plot"
        return self.directory / f"{self._start.get('scan_id', 0):05d}_{self._start['uid'][:8]}_{what}.png"


def _chosen_backend() -> str:
    """Return matplotlib's backend as far as somebody has chosen one; asking matplotlib would choose."""
    if "matplotlib.pyplot" not in sys.modules:
        return os.environ.get("MPLBACKEND", "")
    import matplotlib

    return str(matplotlib.get_backend())
