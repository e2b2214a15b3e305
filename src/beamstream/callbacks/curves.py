"""Tables and curves of scans, as bluesky draws them; without a display the curves become PNG files."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


class Curves:
    """Print a table of each scan and draw its curves: bluesky's BestEffortCallback, made when it is first needed.

    Where matplotlib has no window to draw in, the curves of a run are kept as
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

    @property
    def best_effort(self) -> Any:
        """Bluesky's BestEffortCallback, to change its options: ``curves.best_effort.disable_table()``."""
        if self._best is None:
            import matplotlib

            if not _qt(matplotlib):  # other windows must not be drawn to from the RunEngine's thread
                matplotlib.use("Agg")
            from bluesky.callbacks.best_effort import BestEffortCallback

            self._best = BestEffortCallback()
        return self._best

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take a document; in the RunEngine's thread."""
        if name == "start":
            self._start = doc
        self.best_effort(name, doc)
        if name == "stop":
            self._keep()

    def _keep(self) -> None:
        import matplotlib
        import matplotlib.pyplot as plt

        if matplotlib.get_backend().lower() != "agg":
            return
        for number in plt.get_fignums():
            figure = plt.figure(number)
            if figure.axes and any(axes.lines or axes.collections for axes in figure.axes):
                path = self._path(figure.get_label())
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=100)
                log.info("tables: a curve is in %s", path)
            plt.close(figure)

    def _path(self, label: object) -> Path:
        what = "".join(c if c.isalnum() else "_" for c in str(label)).strip("_")[:60] or "plot"
        return self.directory / f"{self._start.get('scan_id', 0):05d}_{self._start['uid'][:8]}_{what}.png"


def _qt(matplotlib: Any) -> bool:
    """Return whether plots are drawn with Qt, to which bluesky knows the way from any thread."""
    return "qt" in str(matplotlib.rcParams._get_backend_or_none() or "").lower()
