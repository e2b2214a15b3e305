"""The picture of a frame: pixels, profiles along both edges, histogram and colour bar."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.contrast import limits, samples
from beamstream.plots import arrays, look
from beamstream.plots.picture import HEADER, Picture, Shot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT, _BOTTOM, _RIGHT = 0.75, 0.55, 0.3  # in, and so are all of these
_GAP, _PROFILE, _BAR, _TICKS, _HISTOGRAM = 0.1, 0.8, 0.16, 0.62, 0.85
_BESIDE = _GAP + _PROFILE + 0.25 + _HISTOGRAM + 0.06 + _BAR + _TICKS + _RIGHT
_ABOVE = HEADER + _PROFILE + _GAP
_SIDE = 6.0
_MOST_UNEQUAL = 4.0  # beyond, pixels are not drawn as squares
_BINS = 96


class ImagePicture(Picture):
    """Draw the newest frame.

    Parameters
    ----------
    figure : Figure
    cmap : str
        Matplotlib's name of the colours for pixels of one value.
    percentile : tuple of float
        Which part of the pixels is darker than the darkest colour, and than the brightest, per cent.
    """

    def __init__(self, figure: "Figure", *, cmap: str = "viridis", percentile: tuple[float, float] = (1, 99.5)) -> None:
        super().__init__(figure)
        self._percentile = percentile
        self._contrast, self._columns, self._rows = arrays.Span(0.0), arrays.Span(0.08), arrays.Span(0.08)
        self._shape: tuple[int, ...] = ()
        self._axes = figure.add_subplot(label="image")
        self._above = figure.add_subplot(label="columns", sharex=self._axes)
        self._beside = figure.add_subplot(label="rows", sharey=self._axes)
        self._counts = figure.add_subplot(label="histogram")
        self._scale = figure.add_subplot(label="scale")
        self._axes.set(xlabel="column (px)", ylabel="row (px)")
        self._pixels: Any = self._axes.imshow(np.zeros((2, 2)), cmap=look.colours(cmap), aspect="auto")
        self._bar = figure.colorbar(self._pixels, cax=self._scale)
        self._bar.outline.set_edgecolor(look.EDGE)  # pyright: ignore[reportCallIssue]
        for axes in (self._above, self._beside):
            look.quiet(axes)
        self._above.tick_params(labelbottom=False)
        self._beside.tick_params(labelleft=False)
        self._counts.set_axis_off()
        self._counts.set_xlim(1.05, 0)  # grows away from the colour bar
        self._columns_of = [self._above.plot([], [], lw=1.0)[0] for _ in range(3)]
        self._rows_of = [self._beside.plot([], [], lw=1.0)[0] for _ in range(3)]
        self._bins: list[Any] = [
            self._counts.stairs(np.zeros(_BINS), np.linspace(0, 1, _BINS + 1), orientation="horizontal")
            for _ in range(3)
        ]
        self.moves(self._pixels, *self._columns_of, *self._rows_of, *self._bins)

    def add(self, shot: Shot) -> None:
        """Take a frame."""
        if shot.image.shape != self._shape:
            self._reshape(shot.image.shape)
        image, _ = arrays.reduced(shot.image)
        planes = [image] if image.ndim == 2 else [image[..., i] for i in range(3)]
        if shot.image.dtype == np.uint8 and image.ndim == 3:
            self.stale |= self._contrast.follow(0.0, 255.0)
        else:
            self.stale |= self._contrast.follow(*limits(samples(image), self._percentile))
        low, high = self._contrast.limits
        if image.ndim == 3:
            image = np.nan_to_num(np.clip((image.astype(np.float32) - low) / (high - low), 0, 1), nan=0)
        self._pixels.set_data(image)
        self._pixels.set_clim(low, high)
        self._counts.set_ylim(low, high)
        edges = np.linspace(low, high, _BINS + 1)
        for steps, plane in zip(self._bins, planes, strict=False):
            steps.set_data(arrays.histogram(plane, low, high, _BINS), edges)
        self._draw_profiles(planes, shot.image.shape)

    def _draw_profiles(self, planes: list[NDArray[Any]], shape: tuple[int, ...]) -> None:
        columns, rows = ([arrays.profile(plane, axis) for plane in planes] for axis in (0, 1))
        x, y = (_positions(len(values[0]), size) for values, size in ((columns, shape[1]), (rows, shape[0])))
        for line, values in zip(self._columns_of, columns, strict=False):
            line.set_data(x, values)
        for line, values in zip(self._rows_of, rows, strict=False):
            line.set_data(values, y)
        self.stale |= self._columns.follow_values(columns)
        self.stale |= self._rows.follow_values(rows)
        self._above.set_ylim(*self._columns.limits)
        self._beside.set_xlim(*self._rows.limits)

    def _reshape(self, shape: tuple[int, ...]) -> None:
        """Prepare for images of another shape."""
        first, self._shape = not self._shape, shape
        self.stale = True
        n_rows, n_cols = shape[:2]
        factors = [-(-n // arrays.MOST_PIXELS) for n in (n_rows, n_cols)]
        kept = [n // f * f for n, f in zip((n_rows, n_cols), factors, strict=True)]
        self._pixels.set_extent((-0.5, kept[1] - 0.5, kept[0] - 0.5, -0.5))
        self._axes.set(xlim=(-0.5, n_cols - 0.5), ylim=(n_rows - 0.5, -0.5))
        coloured = len(shape) == 3
        self._scale.set_visible(not coloured)
        for artists in (self._columns_of, self._rows_of, self._bins):
            for i, artist in enumerate(artists):
                artist.set_color(look.COLOURS[i] if coloured else look.ACCENT)
                artist.set_visible(coloured or i == 0)
        for steps in self._bins:
            steps.set_fill(not coloured)
            steps.set_alpha(0.9 if coloured else 0.75)
        if first or self.figure.canvas.manager is None:  # later, the size of a window is up to its user
            width, height = self._wanted(n_cols / n_rows)
            self.figure.set_size_inches(width, height)

    def _wanted(self, aspect: float) -> tuple[float, float]:
        """Return the size of a figure that images of this width / height fill, inches."""
        if not 1 / _MOST_UNEQUAL <= aspect <= _MOST_UNEQUAL:
            aspect = 1.6
        width, height = (_SIDE, _SIDE / aspect) if aspect >= 1 else (_SIDE * aspect, _SIDE)
        return _LEFT + max(width, 3.6) + _BESIDE, _ABOVE + max(height, 1.5) + _BOTTOM

    def arrange(self, width: float, height: float) -> None:
        """Give the image as much room as its pixels, being squares, can fill."""
        n_rows, n_cols = self._shape[:2] if self._shape else (1, 1)
        w, h = max(1.0, width - _LEFT - _BESIDE), max(1.0, height - _ABOVE - _BOTTOM)
        aspect = n_cols / n_rows
        if 1 / _MOST_UNEQUAL <= aspect <= _MOST_UNEQUAL:
            w, h = min(w, h * aspect), min(h, w / aspect)
        x, y = _LEFT, height - _ABOVE - h
        self.place(self._axes, x, y, w, h)
        self.place(self._above, x, y + h + _GAP, w, _PROFILE)
        x += w + _GAP
        self.place(self._beside, x, y, _PROFILE, h)
        x += _PROFILE + 0.25
        self.place(self._counts, x, y, _HISTOGRAM, h)
        self.place(self._scale, x + _HISTOGRAM + 0.03, y, _BAR, h)
        # matplotlib would blur pixels that are drawn a little larger, which takes twice as long
        enlarged = min(w * self.figure.dpi / n_cols, h * self.figure.dpi / n_rows) >= 1
        self._pixels.set_interpolation("nearest" if enlarged else "antialiased")
        self._ticks(w, h)

    def _ticks(self, w: float, h: float) -> None:
        """Put as many numbers to the axes as there is room for."""
        from matplotlib.ticker import MaxNLocator

        for axis, room in ((self._axes.xaxis, w), (self._axes.yaxis, h)):
            axis.set_major_locator(MaxNLocator(max(2, round(room / 0.6)), integer=True, steps=[1, 2, 5, 10]))
        for axis in (self._above.yaxis, self._beside.xaxis):
            axis.set_major_locator(MaxNLocator(2))


def _positions(n: int, size: int) -> NDArray[Any]:
    """Return the pixel positions of the middles of averaged blocks."""
    factor = -(-size // arrays.MOST_PIXELS)
    return (np.arange(n, dtype=np.float64) + 0.5) * factor - 0.5
