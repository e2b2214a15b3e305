"""The picture of a stream of spectra: the latest one above the waterfall of those before it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.contrast import limits, samples
from beamstream.plain_text import plain
from beamstream.plots import look
from beamstream.receiver.layout import Layout, arrange, date_and_time, duration, labels
from beamstream.receiver.newest import Spectra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

SIZE = (12.0, 10.0)
"""Inches."""
DPI = 150
_LEFT, _RIGHT, _BOTTOM, _HEADER = 1.1, 1.25, 0.62, 1.25  # in, and so are all of these
_SPECTRUM, _GAP, _BAR = 2.35, 0.14, 0.2
_PERCENTILE = (4.0, 99.5)
_OF_SIGNED = 98.0  # per cent, of the magnitudes
_MOST_FOR_MEDIAN = 200  # spectra
_LEAST_FOR_WORDS = 0.016  # of the waterfall's height
_TYPE = {
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 9.5,
    "axes.formatter.useoffset": False,
}


def draw(spectra: Spectra, frequency: NDArray[np.float64], facts: Mapping[str, Any], *, decibel: bool) -> "Figure":
    """Return a figure of 12 × 10 inches, at 150 dots an inch, drawn by Agg: no display is needed.

    Parameters
    ----------
    spectra : Spectra
        At least one.
    frequency : ndarray of float64, shape (n_channels,)
        MHz.
    facts : Mapping
        What stands above: ``title``, ``what`` (is shown), ``account``, ``note`` and whether it is ``bad`` news.
    decibel : bool
        Show ``10 log10`` of the values; what is not above 0 has none, and is left out.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({**look.STYLE, **_TYPE}):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=SIZE, dpi=DPI)
        FigureCanvasAgg(figure)
        values = _decibels(spectra.values) if decibel else spectra.values
        unit = "power (dB)" if decibel else "power (arbitrary units)"
        waterfall = _axes(figure, _LEFT, _BOTTOM, _width(), _height())
        signed = not decibel and _is_signed(values)
        image = _draw_waterfall(waterfall, values, spectra, frequency, signed=signed)
        bar = _axes(figure, _LEFT + _width() + _GAP, _BOTTOM, _BAR, _height())
        scale = figure.colorbar(image, cax=bar, label=unit, extend="both", extendfrac=0.02)
        scale.outline.set_edgecolor(look.EDGE)  # pyright: ignore[reportCallIssue]
        latest = _axes(figure, _LEFT, _BOTTOM + _height() + _GAP, _width(), _SPECTRUM, sharex=waterfall)
        _draw_latest(latest, values, frequency, unit)
        _write_header(figure, spectra, facts)
        figure.canvas.draw()
    return figure


def _decibels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = 10 * np.log10(values)
    levels[~np.isfinite(levels)] = np.nan
    return levels


def _is_signed(values: NDArray[np.float32]) -> bool:
    """Return whether values lie on both sides of 0, more than by noise: as Stokes V does."""
    low, high = limits(samples(values), _PERCENTILE)
    return low < 0 < high and -low > 0.05 * high


def _width() -> float:
    return SIZE[0] - _LEFT - _RIGHT


def _height() -> float:
    return SIZE[1] - _BOTTOM - _GAP - _SPECTRUM - _HEADER


def _axes(figure: "Figure", x: float, y: float, w: float, h: float, **options: Any) -> "Axes":
    return figure.add_axes((x / SIZE[0], y / SIZE[1], w / SIZE[0], h / SIZE[1]), **options)


def _draw_waterfall(
    axes: "Axes", values: NDArray[np.float32], spectra: Spectra, frequency: NDArray[np.float64], *, signed: bool
) -> "AxesImage":
    layout = arrange(spectra.times, spectra.unique_ids)
    pixels = np.full((layout.number, values.shape[1]), np.nan, np.float32)
    pixels[layout.rows] = values
    low, high = limits(samples(values), _PERCENTILE)
    if signed:
        _, high = limits(samples(np.abs(values)), (0.0, _OF_SIGNED))
        low = -high
    half = _step(frequency) / 2
    enlarged = pixels.shape[0] < _height() * DPI and pixels.shape[1] < _width() * DPI
    image = axes.imshow(
        pixels,
        cmap=look.colours("berlin" if signed else "turbo"),
        vmin=low,
        vmax=high,
        aspect="auto",
        origin="lower",
        interpolation="nearest" if enlarged else "antialiased",
        extent=(frequency[0] - half, frequency[-1] + half, -0.5, layout.number - 0.5),
    )
    axes.set(xlabel="frequency (MHz)", ylabel="time (UTC)")
    axes.set_yticks(*labels(spectra.times, layout))
    _mark_gaps(axes, layout)
    return image


def _mark_gaps(axes: "Axes", layout: Layout) -> None:
    """Hatch what is missing, and say how long it was where there is room."""
    for gap in layout.gaps:
        bottom, top = gap.row - 0.5, gap.row + gap.number - 0.5
        if (top - bottom) < 0.002 * layout.number:
            continue
        axes.axhspan(bottom, top, facecolor=look.PANEL, edgecolor=look.EDGE, hatch="////", linewidth=0)
        if gap.number >= _LEAST_FOR_WORDS * layout.number and gap.cut:
            what = "no spectra for" if gap.seconds >= 0 else "the publisher's clock went back by"
            words = axes.text(0.5, (bottom + top) / 2, f"{what} {duration(abs(gap.seconds))}", color=look.BAD)
            words.set(transform=axes.get_yaxis_transform(), ha="center", va="center", size=9)
            words.set_bbox({"facecolor": look.PANEL, "edgecolor": "none", "pad": 1.5})


def _step(frequency: NDArray[np.float64]) -> float:
    return float(frequency[1] - frequency[0]) if len(frequency) > 1 else 1.0


def _draw_latest(axes: "Axes", values: NDArray[np.float32], frequency: NDArray[np.float64], unit: str) -> None:
    few = values[:: max(1, -(-len(values) // _MOST_FOR_MEDIAN))]
    usual = _median(few)
    axes.plot(frequency, usual, color=look.DIM, linewidth=1.0, label=f"median of the {len(values)} below")
    axes.plot(frequency, values[-1], color=look.ACCENT, linewidth=1.2, label="latest")
    axes.set_ylim(*_limits(np.concatenate((values[-1], usual))))
    axes.set_ylabel(unit)
    axes.tick_params(labelbottom=False)
    axes.grid(color=look.EDGE, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper right", ncols=2, frameon=False, labelcolor=look.DIM, borderaxespad=0.2)
    if not np.isfinite(values[-1]).any():
        words = axes.text(0.5, 0.5, "the latest spectrum has no finite value", color=look.BAD)
        words.set(transform=axes.transAxes, ha="center")


def _median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each channel over time; NaN for one that has no finite value."""
    masked = np.ma.masked_invalid(values)
    return np.ma.filled(np.ma.median(masked, axis=0), np.nan) if masked.mask.any() else np.median(values, axis=0)


def _limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return limits with some room; a single spike may leave the panel."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (0.2, 99.8)).tolist()
    room = 0.12 * (high - low) or max(abs(high) * 1e-3, 1e-6)
    return low - room, high + 1.6 * room  # the legend is on top


def _write_header(figure: "Figure", spectra: Spectra, facts: Mapping[str, Any]) -> None:
    left, right = _LEFT / SIZE[0], (SIZE[0] - 0.35) / SIZE[0]
    lines = (0.44, 0.75, 1.02)
    y = [1 - below / SIZE[1] for below in lines]
    figure.text(left, y[0], _one_line(facts["title"]), size=17, weight="bold")
    figure.text(right, y[0], f"{date_and_time(float(spectra.times[-1]))} UTC", size=15, weight="bold", ha="right")
    figure.text(left, y[1], _one_line(facts["what"]), size=10.5, color=look.DIM)
    figure.text(right, y[1], _one_line(facts["account"]), size=10.5, color=look.DIM, ha="right")
    figure.text(left, y[2], _one_line(facts["note"]), size=10.5, color=look.BAD if facts["bad"] else look.GOOD)


def _one_line(text: str) -> str:
    return look.shortened(plain(text), 110)
