"""Drawing: coloured pixels of just that part of a frame that the window shows, as many as it can show."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.ops.shrink import area_means
from beamstream.viewers.qt.orientation import Orientation, Rectangle
from beamstream.viewers.qt.palettes import table_of
from beamstream.viewers.qt.shades import Shades
from beamstream.viewers.qt.wishes import Wish

Array = NDArray[Any]
NOTHING = 0xFF5B3A63
"""The colour of NaN: in no palette that is offered."""
_DIRECT = (np.dtype("u1"), np.dtype("u2"), np.dtype("f4"))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Which pixel of a frame each pixel of the window shows.

    `region` is what the window needs of the frame: first row, first column, rows, columns; `rows` and `cols` count
    in the region made smaller by `factor`, from 0; `place` and `rectangle` are those of `Shown`.
    """

    place: tuple[int, int]
    rectangle: Rectangle
    region: tuple[int, int, int, int]
    factor: int
    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    turned: bool

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of window pixels."""
        lengths = self.rows.size, self.cols.size
        return (lengths[1], lengths[0]) if self.turned else lengths


NO_GRID = Grid((0, 0), (0.0, 0.0, 0.0, 0.0), (0, 0, 0, 0), 1, np.zeros(0, np.int32), np.zeros(0, np.int32), False)


def fitted(shape: tuple[int, int], orientation: Orientation, size: tuple[int, int]) -> Rectangle:
    """Return the view that shows all of a frame in the middle of a window."""
    width, height = orientation.size(shape)
    scale = max(width / size[0], height / size[1])
    w, h = size[0] * scale, size[1] * scale
    return (width - w) / 2, (height - h) / 2, w, h


def grid_of(shape: tuple[int, int], wish: Wish) -> Grid | None:
    """Return what the window shows of a frame; None if that is nothing."""
    if min(wish.size) < 1:
        return None
    turn = wish.orientation
    x, y, w, h = wish.view or fitted(shape, turn, wish.size)
    width, height = turn.size(shape)
    left, xs = _axis(x, w, wish.size[0], width, turn.flip_x)
    top, ys = _axis(y, h, wish.size[1], height, turn.flip_y)
    if not xs.size or not ys.size:
        return None
    sx, sy = w / wish.size[0], h / wish.size[1]
    rows, cols = (xs, ys) if turn.turned else (ys, xs)
    factor = max(1, wish.display_bin or int(min(sx, sy) + 1e-6))
    row, col = (int(a.min()) // factor * factor for a in (rows, cols))  # blocks stay where they are when one pans
    region = row, col, int(rows.max()) + 1 - row, int(cols.max()) + 1 - col
    region = _whole_blocks(region, factor, shape)
    rectangle = x + left * sx, y + top * sy, xs.size * sx, ys.size * sy
    return Grid((left, top), rectangle, region, factor, (rows - row) // factor, (cols - col) // factor, turn.turned)


def _axis(start: float, span: float, pixels: int, length: int, flip: bool) -> tuple[int, NDArray[np.int32]]:
    """Return the first window pixel that shows anything, and what each from there on shows."""
    at = np.floor(start + (np.arange(pixels) + 0.5) * (span / pixels)).astype(np.int64)
    inside = np.flatnonzero((at >= 0) & (at < length))
    if not inside.size:
        return 0, np.zeros(0, np.int32)
    seen = at[inside].astype(np.int32)
    return int(inside[0]), length - 1 - seen if flip else seen


def _whole_blocks(region: tuple[int, int, int, int], factor: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    row, col, rows, cols = (-(-n // factor) * factor for n in region)
    return region[0], region[1], min(rows, shape[0] - row), min(cols, shape[1] - col)


class Drawing:
    """Make what is painted; two buffers take turns, so that one can be made while the other is on the screen."""

    def __init__(self) -> None:
        from beamstream.viewers.qt import kernels

        self._kernels = kernels
        self._buffers = [np.zeros(0, np.uint32), np.zeros(0, np.uint32)]
        self._shades = Shades()
        self._key: object = None
        self._grid: Grid | None = None

    def grid(self, shape: tuple[int, int], wish: Wish) -> Grid | None:
        """Return `grid_of`, the last one while nothing has changed."""
        key = shape, wish.view, wish.size, wish.orientation, wish.display_bin
        if key != self._key:
            self._key, self._grid = key, grid_of(shape, wish)
        return self._grid

    def draw(self, image: Array, grid: Grid, wish: Wish, low: float, high: float) -> NDArray[np.uint32]:
        """Return the pixels of the window, in the buffer that is not on the screen; `image` has its colours last."""
        out = self._buffer(*grid.size)
        direct = grid.factor == 1 and image.dtype in _DIRECT and image.dtype.isnative and image.flags.c_contiguous
        rows, cols = grid.rows, grid.cols
        if direct:
            pixels = image.view()
            rows, cols = rows + np.int32(grid.region[0]), cols + np.int32(grid.region[1])
        else:
            pixels = area_means(image, grid.region, grid.factor)
        pixels.flags.writeable = False  # one compiled loop for frames of all owners
        whole = pixels.dtype.kind == "u"
        coloured = pixels.ndim == 3
        palette = None if coloured else table_of(wish.palette)
        self._shades.make(1 << 8 * pixels.itemsize if whole else 0, low, high, wish.contrast.log, palette)
        shades = self._shades
        if whole:
            loop = self._kernels.colours if coloured else self._kernels.integers
            loop(pixels, rows, cols, grid.turned, shades.table, out)
        else:
            loop = self._kernels.float_colours if coloured else self._kernels.floats
            start, nothing = np.float32(shades.low), np.uint32(NOTHING)
            loop(pixels, rows, cols, grid.turned, shades.table, start, shades.gain, nothing, out)
        return out

    def handed_over(self) -> None:
        """Hear that what was drawn last goes to the screen."""
        self._buffers.reverse()

    def _buffer(self, height: int, width: int) -> NDArray[np.uint32]:
        if self._buffers[0].size < width * height:
            self._buffers[0] = np.empty(width * height, np.uint32)
        return self._buffers[0][: width * height].reshape(height, width)
