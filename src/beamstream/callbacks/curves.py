"""Tables and curves of scans, as bluesky draws them; without a display the curves become PNG files."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beamstream.private import make_directories

log = logging.getLogger(__name__)

_QUIET = "module://beamstream.plots.quiet"
_OPTIONS = (  # of a BestEffortCallback; bluesky 1.15 has no methods that return them
    *("_heading_enabled", "_table_enabled", "_baseline_enabled", "_plots_enabled"),
    *("overplot", "noplot_streams", "omit_single_point_plot", "peaks"),
)


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
        self._runs: dict[str, _RunCurves] = {}

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
        """Take a document; in the thread of a chain that calls optional callbacks."""
        if name == "start":
            self._runs[doc["uid"]] = _RunCurves(doc, self.directory)
        run = self._run_of(doc)
        if run is None:
            return
        run.waiting.append((name, doc))
        if name == "descriptor":
            run.descriptors.add(doc["uid"])
            if run.best is None and any(hint.get("fields") for hint in doc.get("hints", {}).values()):
                run.best = self._free()
        if run.best is not None:
            run.draw()
        if name == "stop":
            del self._runs[run.uid]

    def _run_of(self, doc: Mapping[str, Any]) -> "_RunCurves | None":
        if "descriptor" in doc:
            return next((run for run in self._runs.values() if doc["descriptor"] in run.descriptors), None)
        return self._runs.get(doc.get("run_start", doc["uid"]))

    def _free(self) -> Any:
        """Return a BestEffortCallback: it shows one run at a time, so that runs that overlap need several."""
        best = self.best_effort
        if all(run.best is not best for run in self._runs.values()):
            return best
        another = type(best)()
        for option in _OPTIONS:
            setattr(another, option, getattr(best, option))
        return another


class _RunCurves:
    """The documents of one run that are not shown yet, and what shows them."""

    def __init__(self, start: Mapping[str, Any], directory: Path) -> None:
        self.uid: str = start["uid"]
        self.descriptors: set[str] = set()
        self.waiting: list[tuple[str, Mapping[str, Any]]] = []
        self.best: Any = None
        self._start = start
        self._directory = directory
        self._figures: set[int] = set()

    def draw(self) -> None:
        """Show what waits; at the run's end, keep the curves."""
        import matplotlib
        import matplotlib.pyplot as plt

        quiet = matplotlib.get_backend() == _QUIET
        before, overplot = set(plt.get_fignums()), self.best.overplot
        self.best.overplot = overplot and not quiet  # a figure that becomes a file has the curves of one run
        waiting, self.waiting = self.waiting, []
        for name, doc in waiting:
            self.best(name, doc)
            if name == "stop" and quiet:
                self._keep()
        self.best.overplot = overplot
        self._figures |= set(plt.get_fignums()) - before

    def _keep(self) -> None:
        import matplotlib.pyplot as plt

        for number in sorted(self._figures):
            figure = plt.figure(number)
            if any(axes.lines or axes.collections for axes in figure.axes):
                path = self._path(figure.get_label())
                make_directories(path.parent)
                figure.savefig(path, dpi=100)
                log.info("tables: a curve is in %s", path)
            plt.close(figure)

    def _path(self, label: object) -> Path:
        what = "".join(c if c.isalnum() else "_" for c in str(label)).strip("_")[:60] or "plot"
        return self._directory / f"{self._start.get('scan_id', 0):05d}_{self.uid[:8]}_{what}.png"


def _chosen_backend() -> str:
    """Return matplotlib's backend as far as somebody has chosen one; asking matplotlib would choose."""
    if "matplotlib.pyplot" not in sys.modules:
        return os.environ.get("MPLBACKEND", "")
    import matplotlib

    return str(matplotlib.get_backend())
