"""Live plots of what is recorded: the newest image, or how a profile changes."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from beamstream.callbacks.flatfield import FlatField
from beamstream.callbacks.live_plot import LivePlot


class LiveImage(LivePlot):
    """Show the newest frame of each detector while it is recorded, with profiles, histogram and colour bar.

    In a window where there is a display, otherwise as PNG files: ``<detector>_live.png`` while the run goes on, and
    ``<scan_id>_<uid>_<detector>.png`` of its last frame.

    Parameters
    ----------
    detectors : collection of str, optional
        Whose frames; all by default.
    stream : str
        ``"raw"`` for what was recorded, or the name of what was derived: ``"corrected"``.
    period : float, optional
        s between drawings, at least; 0.1 in windows, 1 for files.
    directory : path-like, optional
        For files in place of windows; without it and without a display, ``data/plots``.
    cmap : str
        Matplotlib's name of the colours.
    percentile : tuple of float
        Which part of the pixels is darker than the darkest colour, and than the brightest, per cent.
    flat_field : beamstream.callbacks.flatfield.FlatField, optional
        Correct what is shown, as this callback would; it need not be in the chain. Where references are missing the
        raw frame is shown, with a note in the picture.
    pipeline : path-like, optional
        A pipeline file; processors that fail are left out, with a note in the picture.
    name : str, optional
        ``"live_image"``, with the name of the stream: of the callback in the run's account.
    """

    def __init__(
        self,
        detectors: Collection[str] | None = None,
        *,
        stream: str = "raw",
        period: float | None = None,
        directory: str | Path | None = None,
        cmap: str = "viridis",
        percentile: tuple[float, float] = (1, 99.5),
        flat_field: FlatField | None = None,
        pipeline: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            "image",
            {"cmap": cmap, "percentile": percentile},
            name or _named("live_image", stream),
            detectors=detectors,
            stream=stream,
            period=period,
            directory=directory,
            flat_field=flat_field,
            pipeline=pipeline,
        )


class LiveWaterfall(LivePlot):
    """Show how a profile changes: one line a frame that is looked at, the newest on top and as a curve above.

    Files are called ``<detector>_waterfall_live.png`` and ``<scan_id>_<uid>_<detector>_waterfall.png``.

    Parameters
    ----------
    detectors, stream, period, directory, cmap, percentile, flat_field, pipeline, name
        See `LiveImage`.
    average : {"rows", "columns"}
        What the profile is the mean over: ``"rows"`` leaves one value a column.
    region : tuple of int, optional
        ``(row, col, n_rows, n_cols)`` in px; the whole image by default.
    profiles : int
        How many are shown.
    """

    def __init__(
        self,
        detectors: Collection[str] | None = None,
        *,
        stream: str = "raw",
        period: float | None = None,
        directory: str | Path | None = None,
        cmap: str = "magma",
        percentile: tuple[float, float] = (1, 99.5),
        flat_field: FlatField | None = None,
        pipeline: str | Path | None = None,
        name: str | None = None,
        average: Literal["rows", "columns"] = "rows",
        region: tuple[int, int, int, int] | None = None,
        profiles: int = 300,
    ) -> None:
        name = name or _named("live_waterfall", stream)
        if average not in ("rows", "columns"):
            raise ValueError(f"{name}: average {average!r} given; use 'rows' or 'columns'")
        if profiles < 2:
            raise ValueError(f"{name}: profiles={profiles} given; use 2 or more")
        if region is not None and (len(region) != 4 or min(region) < 0 or 0 in region[2:]):
            raise ValueError(f"{name}: region {region} given; use (row, col, n_rows, n_cols) in px")
        super().__init__(
            "waterfall",
            {"cmap": cmap, "percentile": percentile, "average": average, "region": region, "profiles": profiles},
            name,
            detectors=detectors,
            stream=stream,
            period=period,
            directory=directory,
            flat_field=flat_field,
            pipeline=pipeline,
        )


def _named(kind: str, stream: str) -> str:
    return kind if stream == "raw" else f"{kind}_{stream}"
