"""A live plot of a growth: intensities, strips, the spectrum, and the rate with its uncertainty."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from beamstream.callbacks.derived_table import MADE
from beamstream.callbacks.images import Emit
from beamstream.callbacks.live_plot import LivePlot
from beamstream.callbacks.live_work import LiveWork
from beamstream.file_uri import path_of


class LiveGrowth(LivePlot):
    """Show a growth while it is recorded: what `Intensity` keeps of every frame, and `Strip`, when they are there.

    Above, the intensities of the regions; below, the strips, the spectrum of the first region with its peak, and the
    rates of the last minutes. It needs `beamstream.callbacks.intensity.Intensity` in the same chain. In a window where
    there is a display, otherwise as PNG files: ``<detector>_growth_live.png`` while the run goes on, and
    ``<scan_id>_<uid>_<detector>_growth.png`` at its end.

    Parameters
    ----------
    detectors : collection of str, optional
        Whose; all by default.
    window : float
        How much of the past a rate is made of, s.
    history : float
        How much of the past is shown, s.
    band : tuple of float or None
        The slowest and the fastest rate, 1/s.
    period : float, optional
        s between drawings, at least; 0.1 in windows, 1 for files.
    directory : path-like, optional
        For files in place of windows; without it and without a display, ``data/plots``.
    cmap : str
        Matplotlib's name of the colours of strips.
    percentile : tuple of float
        Which part of a strip is darker than the darkest colour, and than the brightest, per cent.
    name : str
        Of the callback in the run's account.
    """

    def __init__(
        self,
        detectors: Collection[str] | None = None,
        *,
        window: float = 20.0,
        history: float = 120.0,
        band: tuple[float | None, float | None] = (None, None),
        period: float | None = None,
        directory: str | Path | None = None,
        cmap: str = "magma",
        percentile: tuple[float, float] = (1, 99.5),
        name: str = "live_growth",
    ) -> None:
        if not 0 < window <= history:
            raise ValueError(f"{name}: a window of {window} s in a history of {history} s; use 0 < window <= history")
        super().__init__(
            "growth",
            {"window": window, "history": history, "band": list(band), "cmap": cmap, "percentile": percentile},
            name,
            detectors=detectors,
            stream="raw",
            period=period,
            directory=directory,
            flat_field=None,
            pipeline=None,
        )
        self.detectors = detectors

    def begin(self, start: Mapping[str, Any], _emit: Emit) -> "GrowthLook":
        """Begin with a run."""
        return GrowthLook(self, self.start(), start)


class GrowthLook(LiveWork):
    """Pass on to the process that draws which tables there are."""

    def __init__(self, of: LiveGrowth, *args: Any) -> None:
        super().__init__(of, *args)
        self._detectors = of.detectors
        self._tables: dict[str, dict[str, Any]] = {}  # by the data key of the times of the rows

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Pass on the tables that a document names; returns at once."""
        match name:
            case "descriptor":
                for group, about in doc.get("configuration", {}).items():
                    made = about["data"]
                    if MADE in made and (self._detectors is None or made["detector"] in self._detectors):
                        self._describe(made, doc["object_keys"][group])
            case "stream_resource" if doc["data_key"] in self._tables:
                self._resources[doc["uid"]] = doc
            case "stream_datum" if doc["stream_resource"] in self._resources:
                self._announce(self._resources[doc["stream_resource"]], doc["indices"]["stop"])

    def _describe(self, made: Mapping[str, Any], keys: list[str]) -> None:
        detector = made["detector"]
        columns = [key.removeprefix(f"{detector}_") for key in keys]
        self._tables[keys[-1]] = {"ring": detector, "made": made[MADE], "columns": columns}
        if made[MADE] == "intensity":
            speed = made.get("rotations_per_min", 0.0)
            self._tell({"do": "source", "ring": detector, "correction": {"rotations_per_min": speed}})

    def _announce(self, resource: Mapping[str, Any], stop: int) -> None:
        data_key = resource["data_key"]
        table = self._tables[data_key]
        if table["made"] == "intensity":
            self._announced[data_key] = max(self._announced.get(data_key, 0), stop)
        path = str(path_of(resource["uri"]))
        self._tell({"do": "rows", "path": path, "stop": stop, **table}, key=(self._uid, data_key))
