"""The picture of a growth: intensities against time, strips below, the spectrum with its peak, and the rates."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.contrast import limits, samples
from beamstream.plain_text import plain
from beamstream.plots import arrays, look
from beamstream.plots.growth_data import GrowthCurve, StripLines, stacked
from beamstream.plots.picture import HEADER, Picture, Shot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _BOTTOM, _RIGHT = 0.85, 0.55, 0.3  # in, and so are all of these
_LOWER, _BETWEEN, _STRIP, _GAP = 2.0, 0.95, 2.2, 0.1
_SIZE, _SIZE_WITH_STRIP = (9.6, 7.0), (9.6, 9.0)
_LINES = (look.ACCENT, look.BAD, look.GOOD, "#d69cff")
_SPANS = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)  # s
_FASTEST = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # 1/s
_AT_FIRST = 2.0  # 1/s
_POINTS, _COLUMNS = 2400, 600
_MOST_STRIPS = 4
_AGO = "time before the newest frame (s)"
_FOR_NAMES = 0.14  # of the height of the curves
_STEADY = 0.02  # of the rate: the least that its axis shows


class GrowthPicture(Picture):
    """Draw the last minutes of a growth.

    Parameters
    ----------
    figure : Figure
    window : float
        s that rates are made of; shaded.
    history : float
        s that are shown at most.
    cmap : str
        Matplotlib's name of the colours of strips.
    percentile : tuple of float
        Which part of a strip is darker than the darkest colour, and than the brightest, per cent.
    """

    suffix = "_growth"

    def __init__(
        self,
        figure: "Figure",
        *,
        window: float = 20.0,
        history: float = 120.0,
        cmap: str = "magma",
        percentile: tuple[float, float] = (1, 99.5),
    ) -> None:
        super().__init__(figure)
        from matplotlib.collections import LineCollection

        self._history, self._percentile = history, percentile
        self._levels, self._peaks, self._steady = arrays.Span(0.08), arrays.Span(0.08), arrays.Span(0.15)
        self._contrast = arrays.Span(0.0)
        self._span, self._fastest, self._n_strips = _SPANS[0], _AT_FIRST, 0
        self._stack: tuple[list[str], int] = ([], 0)
        self._curve = figure.add_subplot(label="intensity")
        self._strip = figure.add_subplot(label="strip", sharex=self._curve)
        self._spectrum = figure.add_subplot(label="spectrum")
        self._rates = figure.add_subplot(label="rates", sharex=self._curve)
        self._furnish(window)
        self._of_regions = [self._curve.plot([], [], lw=1.1, color=color)[0] for color in _LINES]
        self._names = [self._curve.text(0, 0, "", size=9, color=color, weight="bold") for color in _LINES]
        self._pixels: Any = self._strip.imshow(np.zeros((2, 2)), cmap=look.colours(cmap), aspect="auto", origin="lower")
        self._pixels.set(interpolation="antialiased", visible=False)
        self._amplitudes = self._spectrum.plot([], [], lw=1.2, color=look.ACCENT)[0]
        self._peak = self._spectrum.plot([], [], "o", ms=6, color=look.GOOD)[0]
        corner: Any = self._spectrum.transAxes
        self._said = self._spectrum.text(0.97, 0.88, "", size=11, weight="bold", ha="right", transform=corner)
        self._trend = self._rates.plot([], [], ".", ms=4, color=look.GOOD)[0]
        self._bars: Any = self._rates.add_collection(LineCollection([], colors=look.GOOD, linewidths=1.0, alpha=0.5))
        self.moves(*self._of_regions, *self._names, self._pixels, self._amplitudes, self._peak, self._said)
        self.moves(self._trend, self._bars)
        if figure.canvas.manager is None:
            figure.set_size_inches(*_SIZE)

    def _furnish(self, window: float) -> None:
        for axes in (self._curve, self._spectrum, self._rates):
            look.quiet(axes)
            axes.grid(color=look.EDGE, lw=0.5, alpha=0.6)
            axes.set_axisbelow(True)
        self._curve.axvspan(-window, 0, color=look.ACCENT, alpha=0.07, lw=0)
        self._curve.set(xlabel=_AGO, ylabel="mean intensity (counts)")
        self._strip.set_xlabel(_AGO)
        self._strip.set_visible(False)
        self._spectrum.set(xlabel="oscillations a second (1/s)", ylabel="amplitude (counts)")
        self._rates.set(xlabel=_AGO, ylabel="growth rate (1/s)")

    def add(self, shot: Shot) -> None:
        """Take no frame: what is drawn here are numbers, see `draw`."""
        raise NotImplementedError("growth: frames are not drawn here; use draw")

    def clear(self) -> None:
        """Begin with nothing."""
        self._levels, self._peaks, self._steady = arrays.Span(0.08), arrays.Span(0.08), arrays.Span(0.15)
        self._contrast = arrays.Span(0.0)
        self._span, self._fastest = _SPANS[0], _AT_FIRST
        self._rates.set_ylim(0, 1)
        self.stale = True

    def draw(self, curve: GrowthCurve, strips: dict[str, StripLines]) -> None:
        """Take what there is to be seen; `render` draws it."""
        if not len(curve.times):
            return
        self._follow(_at_least(_SPANS, min(self._history, float(curve.times[-1] - curve.times[0]))))
        self._draw_curve(curve)
        self._draw_spectrum(curve)
        self._draw_rates(curve)
        self._draw_strips(curve, {name: strip for name, strip in strips.items() if len(strip.times)})

    def _follow(self, span: float) -> None:
        if span != self._span:
            self._span, self.stale = span, True
        self._curve.set_xlim(-self._span, 0)

    def _draw_curve(self, curve: GrowthCurve) -> None:
        begin = int(np.searchsorted(curve.times, curve.times[-1] - self._span))
        factor = max(1, (len(curve.times) - begin) // _POINTS)
        ages = _thinned(curve.times[begin:] - curve.times[-1], factor)
        shown = list(curve.values.items())[: len(_LINES)]
        drawn = [_thinned(values[begin:], factor) for _, values in shown]
        for line, values in zip(self._of_regions, drawn, strict=False):
            line.set_data(ages, values)
        self.stale |= self._levels.follow_values(drawn)
        low, high = self._levels.limits
        self._curve.set_ylim(low, high + _FOR_NAMES * (high - low))
        for i, (words, (name, _)) in enumerate(zip(self._names, shown, strict=False)):
            words.set(text=plain(name), transform=self._curve.transAxes, position=(0.012 + 0.1 * i, 0.91))

    def _draw_spectrum(self, curve: GrowthCurve) -> None:
        frequencies, amplitudes = curve.spectrum()
        rate = curve.rate
        if rate is not None:
            wanted = _at_least(_FASTEST, 2.5 * rate.rate)
            if not self._fastest / 4 <= wanted <= self._fastest:
                self._fastest, self.stale = wanted, True
        self._spectrum.set_xlim(0, self._fastest)
        shown = frequencies <= self._fastest
        self._amplitudes.set_data(frequencies[shown], amplitudes[shown])
        if shown.any():
            self.stale |= self._peaks.follow(0.0, 1.15 * float(amplitudes[shown].max()))
            self._spectrum.set_ylim(0, self._peaks.limits[1])
        self._peak.set_visible(rate is not None and len(frequencies) > 0)
        if rate is not None and len(frequencies):
            self._peak.set_data([rate.rate], [np.interp(rate.rate, frequencies, amplitudes)])
        self._said.set_text(str(rate) if rate is not None else "no oscillation")
        self._said.set_color(look.GOOD if rate is not None else look.DIM)

    def _draw_rates(self, curve: GrowthCurve) -> None:
        times, rates, sigmas = curve.rates[np.isfinite(curve.rates[:, 1])].T
        ages = times - curve.times[-1]
        self._trend.set_data(ages, rates)
        self._bars.set_segments([[(a, r - s), (a, r + s)] for a, r, s in zip(ages, rates, sigmas, strict=True)])
        if len(rates):
            low, high = float((rates - sigmas).min()), float((rates + sigmas).max())
            room = max(0.0, _STEADY * float(np.median(rates)) - (high - low)) / 2
            self.stale |= self._steady.follow(low - room, high + room)
            self._rates.set_ylim(*self._steady.limits)

    def _draw_strips(self, curve: GrowthCurve, strips: dict[str, StripLines]) -> None:
        self._show_strips(len(strips))
        if not strips:
            return
        step = self._span / _COLUMNS
        moments = curve.times[-1] - self._span + step * (np.arange(_COLUMNS) + 0.5)
        shown = sorted(strips)[:_MOST_STRIPS]
        image, middles = stacked([strips[name].image(moments) for name in shown])
        self._pixels.set_data(image)
        self._pixels.set_extent((-self._span, 0, -0.5, len(image) - 0.5))
        self.stale |= self._contrast.follow(*limits(samples(image), self._percentile))
        self._pixels.set_clim(*self._contrast.limits)
        if self.stale or (shown, len(image)) != self._stack:
            self._stack, self.stale = (shown, len(image)), True
            labels = [] if shown == ["strip"] else [_angle(name) for name in shown]
            self._strip.set_yticks(middles if labels else [], labels)
            self._strip.set_ylim(-0.5, len(image) - 0.5)

    def _show_strips(self, number: int) -> None:
        if number == self._n_strips:
            return
        if bool(number) != bool(self._n_strips) and self.figure.canvas.manager is None:
            self.figure.set_size_inches(*(_SIZE_WITH_STRIP if number else _SIZE))
        self._n_strips, self.stale = number, True
        for shown in (self._strip, self._pixels):
            shown.set_visible(number > 0)
        self._curve.set_xlabel("" if number else _AGO)
        self._strip.set_ylabel("k-space" if number == 1 else "k-space at azimuth")
        self._curve.tick_params(labelbottom=not number)

    def arrange(self, width: float, height: float) -> None:
        """Share the height among curve, strip and what is below."""
        w = max(1.0, width - _LEFT - _RIGHT)
        lower = min(_LOWER, height / 4)
        y = _BOTTOM + lower + _BETWEEN - 0.3
        h = max(1.0, height - HEADER - y)
        if self._n_strips:
            strip = h * 0.52
            self.place(self._strip, _LEFT, y, w, strip - _GAP)
            y, h = y + strip, h - strip
        self.place(self._curve, _LEFT, y, w, h)
        half = (w - _LEFT) / 2
        self.place(self._spectrum, _LEFT, _BOTTOM, half, lower)
        self.place(self._rates, _LEFT + half + _LEFT, _BOTTOM, half, lower)


def _at_least(steps: tuple[float, ...], value: float) -> float:
    """Return the smallest step that is not below a value."""
    return next((step for step in steps if step >= value), steps[-1])


def _thinned(values: NDArray[Any], factor: int) -> NDArray[Any]:
    whole = len(values) // factor * factor
    return values[len(values) - whole :].reshape(-1, factor).mean(axis=1)


def _angle(name: str) -> str:
    number = name.rpartition("_")[2]
    return f"{int(number)}°" if number.isdigit() else name
