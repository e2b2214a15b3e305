"""The picture of a run: one profile a frame, the newest on top."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.contrast import limits, samples
from beamstream.plots import arrays, look
from beamstream.plots.picture import HEADER, Picture, Shot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _BOTTOM, _RIGHT = 0.95, 0.55, 0.95  # in
_PROFILE, _GAP, _BAR = 1.5, 0.12, 0.16
_SIZE = (9.2, 7.4)
_LABELS = 6
_LEAST = 30  # profiles for which there is room from the start
_FASTEST = 0.1  # s between profiles, however seldom it is drawn


class WaterfallPicture(Picture):
    """Draw the profile of each frame that is looked at against time, and the newest above.

    Parameters
    ----------
    figure : Figure
    cmap, percentile
        See `beamstream.plots.image.ImagePicture`.
    average : {"rows", "columns"}
        What the profile is the mean over: ``"rows"`` leaves one value a column.
    region : sequence of int, optional
        ``(row, col, n_rows, n_cols)``; all of the image by default.
    profiles : int
        How many are kept.
    """

    suffix = "_waterfall"

    def __init__(
        self,
        figure: "Figure",
        *,
        cmap: str = "viridis",
        percentile: tuple[float, float] = (1, 99.5),
        average: Literal["rows", "columns"] = "rows",
        region: tuple[int, int, int, int] | None = None,
        profiles: int = 300,
    ) -> None:
        super().__init__(figure)
        self._percentile, self._average, self._region = percentile, average, region
        self._contrast, self._range = arrays.Span(0.0), arrays.Span(0.08)
        self._kept = np.full((profiles, 1), np.nan, np.float32)
        self._times = np.full(profiles, np.nan)
        self._extent: tuple[float, float] = (0.0, 0.0)
        self._axes = figure.add_subplot(label="waterfall")
        self._latest = figure.add_subplot(label="latest", sharex=self._axes)
        self._scale = figure.add_subplot(label="scale")
        look.quiet(self._latest)
        self._latest.tick_params(labelbottom=False)
        self._latest.set_ylabel("mean (counts)")
        self._axes.set_xlabel("column (px)" if average == "rows" else "row (px)")
        self._axes.tick_params(labelleft=False, left=True)
        self._pixels: Any = self._axes.imshow(self._kept, cmap=look.colours(cmap), aspect="auto")
        self._pixels.set_interpolation("nearest")
        self._bar = figure.colorbar(self._pixels, cax=self._scale)
        self._bar.outline.set_edgecolor(look.EDGE)  # pyright: ignore[reportCallIssue]
        (self._line,) = self._latest.plot([], [], lw=1.1, color=look.ACCENT)
        self._rows = np.zeros(_LABELS, int)
        place: Any = self._axes.get_yaxis_transform()
        label: dict[str, Any] = {"ha": "right", "va": "center", "color": look.DIM}
        self._ages = [self._axes.text(-0.012, 0, "", transform=place, size=8.5, **label) for _ in self._rows]
        self._axes.text(-0.075, 0.5, "age (s)", transform=self._axes.transAxes, rotation=90, size=9, **label)
        self._shown = 0
        self.moves(self._pixels, self._line, *self._ages)
        if figure.canvas.manager is None:
            figure.set_size_inches(*_SIZE)

    def sampling(self, period: float) -> float:
        """Return how often to take a profile, s."""
        return min(period, _FASTEST)

    def clear(self) -> None:
        """Begin with nothing."""
        self._kept[:] = np.nan
        self._times[:] = np.nan
        self._contrast, self._range = arrays.Span(0.0), arrays.Span(0.08)
        self._shown = 0

    def add(self, shot: Shot) -> None:
        """Take a frame's profile."""
        image, first, stop = self._cut(shot.image)
        profile = arrays.profile(arrays.grey(image), 0 if self._average == "rows" else 1)
        row, factor = _narrowed(profile)
        if len(row) != self._kept.shape[1] or (first, stop) != self._extent:
            self._extent = (first, stop)
            self._widen(len(row), factor)
        self._kept[1:] = self._kept[:-1]
        self._times[1:] = self._times[:-1]
        self._kept[0], self._times[0] = row, shot.timestamp
        self._line.set_data(np.arange(first, stop), profile)
        self.stale |= self._range.follow_values([profile])

    def _cut(self, image: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
        """Return the region, and the first and last positions of its profile."""
        row, col, n_rows, n_cols = self._region or (0, 0, *image.shape[:2])
        part = image[row : row + n_rows, col : col + n_cols]
        if part.shape[:2] != (n_rows, n_cols):
            raise ValueError(f"the region {self._region} reaches over the edge of an image of {image.shape[:2]}")
        return (part, col, col + n_cols) if self._average == "rows" else (part, row, row + n_rows)

    def _widen(self, width: int, factor: int) -> None:
        """Prepare for profiles of another length."""
        self.stale = True
        self._kept = np.full((len(self._kept), width), np.nan, np.float32)
        self._times[:] = np.nan
        first, stop = self._extent
        self._pixels.set_extent((first - 0.5, first + width * factor - 0.5, len(self._kept) - 0.5, -0.5))
        self._axes.set_xlim(first - 0.5, stop - 0.5)

    def _grow(self, number: int) -> None:
        """Make room for so many profiles, by steps."""
        if number <= self._shown:
            return
        self._shown = min(len(self._kept), max(_LEAST, round(1.6 * number)))
        self._rows = np.linspace(0, self._shown - 1, _LABELS).round().astype(int)
        self._axes.set_yticks(self._rows)
        self._axes.set_ylim(self._shown - 0.5, -0.5)
        for words, row in zip(self._ages, self._rows, strict=True):
            words.set_y(row)
        self.stale = True

    def render(self) -> None:
        """Draw into the canvas' memory."""
        there = self._kept[np.isfinite(self._times)]
        self._grow(len(there))
        if len(there):
            self.stale |= self._contrast.follow(*limits(samples(there), self._percentile))
            self._pixels.set_data(self._kept)
            self._pixels.set_clim(*self._contrast.limits)
            self._latest.set_ylim(*self._range.limits)
        for words, row in zip(self._ages, self._rows, strict=True):
            age = self._times[0] - self._times[row]
            words.set_text(f"{age:.1f}" if np.isfinite(age) else "")
        super().render()

    def arrange(self, width: float, height: float) -> None:
        """Share the height between the two."""
        w = max(1.0, width - _LEFT - _RIGHT)
        h = max(1.0, height - HEADER - _PROFILE - _GAP - _BOTTOM)
        self.place(self._axes, _LEFT, _BOTTOM, w, h)
        self.place(self._latest, _LEFT, _BOTTOM + h + _GAP, w, _PROFILE)
        self.place(self._scale, _LEFT + w + _GAP, _BOTTOM, _BAR, h)


def _narrowed(profile: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return a profile of at most `MOST_PIXELS` values, and how many pixels one of them is."""
    factor = -(-len(profile) // arrays.MOST_PIXELS)
    n = len(profile) // factor
    return profile[: n * factor].reshape(n, factor).mean(axis=1), factor
