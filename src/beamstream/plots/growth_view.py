"""GrowthView: what is drawn of the intensities and strips of one detector, run after run."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.plots import look
from beamstream.plots.growth import GrowthPicture
from beamstream.plots.growth_data import GrowthCurve, Search, StripLines
from beamstream.plots.inbox import Message
from beamstream.plots.picture import Caption
from beamstream.plots.screens import Screen
from beamstream.sinks.disk import explained

_PIECE = 4096  # rows
_FASTEST = 0.2  # s between drawings


class GrowthView:
    """Draw the growth that one detector sees; all of its frames count, however seldom it is drawn.

    Parameters
    ----------
    detector : str
    screen : Screen
    options : dict
        ``window``, ``history``, ``band``, ``cmap``, ``percentile``.
    period : float
        s between drawings, at least.

    Attributes
    ----------
    run : str or None
        Uid of the run that is being drawn.
    drawn : int
        Frames whose intensities are or were in the picture.
    """

    def __init__(self, detector: str, screen: Screen, options: Message, period: float) -> None:
        self.run: str | None = None
        self.drawn = 0
        self.due = 0.0
        self._detector, self._screen, self._period = detector, screen, max(period, _FASTEST)
        self._options = dict(options)
        self._band = tuple(self._options.pop("band", (None, None)))
        self._about: Message = {}
        self._tables: dict[str, _Table] = {}
        self._picture: GrowthPicture | None = None
        self._curve = GrowthCurve(Search(), 1.0)
        self._strips: dict[str, StripLines] = {}

    def begin(self, about: Message, source: Message) -> None:
        """Draw a run's growth from now on; `source` says ``rotations_per_min``."""
        if self._picture is None or self._screen.gone(self._picture.figure):
            self._picture = GrowthPicture(self._screen.figure(f"{self._detector} – growth"), **self._options)
        self._picture.clear()
        self._close()
        search = Search(self._options["window"], self._band, source.get("rotations_per_min", 0.0))  # pyright: ignore[reportArgumentType]
        self._curve, self._strips = GrowthCurve(search, self._options["history"]), {}
        self._about, self.run, self.drawn, self.due = about, about["run"], 0, 0.0

    def announce(self, message: Message) -> None:
        """Hear where a table is; it is looked into more often than documents tell of it."""
        path = message["path"]
        if path not in self._tables:
            self._tables[path] = _Table(path, message["made"], message["columns"])

    def turn(self, now: float) -> None:
        """Look for new rows, and draw them.

        Raises
        ------
        Exception
            Whatever went wrong; the next turn may do better.
        """
        self.due = now + self._period
        if self._picture is not None and not self._screen.gone(self._picture.figure) and self._read():
            self._render()

    def gather(self) -> None:
        """Take the rows that are left: they belong to the account of the run.

        Raises
        ------
        SinkError
            They cannot be read.
        """
        if self._picture is not None and not self._screen.gone(self._picture.figure):
            self._read()

    def end(self) -> str:
        """Draw the last rows of the run, and keep the picture; return the path of its file, or ``""``."""
        assert self._picture is not None
        try:
            if self._screen.gone(self._picture.figure):
                return ""
            self._read()
            if not self.drawn:
                return ""
            about, self.run = self._about, None
            self._render()
            name = f"{about['scan_id']:05d}_{about['run'][:8]}_{self._detector}{self._picture.suffix}"
            return str(self._screen.keep(self._picture.figure, name) or "")
        finally:
            self.run = None
            self._close()

    def _read(self) -> bool:
        """Take what is new; return whether there was something."""
        fresh = False
        for table in self._tables.values():
            for times, columns in table.rows():
                fresh = True
                if table.made == "intensity":
                    self._curve.add(times, {key.removesuffix("_intensity"): v for key, v in columns.items()})
                    self.drawn += len(times)
                else:
                    (name, lines) = next(iter(columns.items()))
                    self._strips.setdefault(name, StripLines(self._options["history"])).add(times, lines)
        return fresh

    def _render(self) -> None:
        assert self._picture is not None
        self._picture.draw(self._curve, self._strips)
        self._picture.caption(self._caption())
        self._picture.render()
        self._screen.show(self._picture.figure, f"{self._detector}{self._picture.suffix}")

    def _caption(self) -> Caption:
        about, curve, rate = self._about, self._curve, self._curve.rate
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(about["time"]))
        run = f"run {about['scan_id']} · {about['plan']} · {about['run'][:8]} · {when}"
        counts = [look.clock(curve.times[-1])] if len(curve.times) else []
        if len(curve.times) > 1:
            counts.append(f"{(len(curve.times) - 1) / (curve.times[-1] - curve.times[0]):.4g} fps")
        counts.append(f"{'ended with ' if self.run is None else ''}{self.drawn} frames")
        said, note = "no oscillation", f"{curve.first}: nothing oscillates in the last {curve.search.window:g} s"
        if rate is not None:
            fading = f"fades in {1 / rate.decay:.3g} s" if rate.decay > 1e-3 else "does not fade"
            said = f"{rate}"
            note = (
                f"{curve.first}: an oscillation takes {1 / rate.rate:.4g} s · ± {rate.amplitude:.3g} counts · {fading}"
            )
        return Caption(f"{self._detector} growth", run, said, " · ".join(counts), note, rate is None)

    def _close(self) -> None:
        for table in self._tables.values():
            table.close()
        self._tables = {}


class _Table:
    """The rows of one file that is being written, each read once."""

    def __init__(self, path: str, made: str, columns: list[str]) -> None:
        self.made = made
        self._path, self._columns = Path(path), columns
        self._next = 0
        self._file: Any = None

    def rows(self) -> Iterator[tuple[NDArray[np.float64], dict[str, NDArray[Any]]]]:
        """Yield times and columns of the rows that were not read yet, in pieces.

        Raises
        ------
        SinkError
            The file cannot be read.
        """
        import h5py

        with explained("growth", "read", self._path):
            if self._file is None:
                self._file = h5py.File(self._path, "r", swmr=True)
            group: Any = self._file["/entry/data"]
            datasets = [group[name] for name in self._columns]
            for dataset in reversed(datasets):  # the times are written last, so the others have as many rows
                dataset.refresh()
            stop = datasets[-1].shape[0]
        while self._next < stop:
            piece = slice(self._next, min(self._next + _PIECE, stop))
            with explained("growth", f"read rows {piece.start}:{piece.stop} of", self._path):
                *values, times = (dataset[piece] for dataset in datasets)
            self._next = piece.stop
            yield times, dict(zip(self._columns, values, strict=False))

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
