"""Orientation: how a frame is turned for the eye; no pixel of it is moved."""

from dataclasses import dataclass, replace
from typing import Self

Rectangle = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """Map between a frame (row, col) and what is seen of it (x, y), both in pixels, continuous.

    Parameters
    ----------
    turned : bool
        Rows and columns are exchanged, before the others.
    flip_x, flip_y : bool
        Left and right, top and bottom are.
    """

    turned: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def horizontal(self) -> Self:
        """Return this, left and right exchanged as they are seen."""
        return replace(self, flip_x=not self.flip_x)

    def vertical(self) -> Self:
        """Return this, top and bottom exchanged."""
        return replace(self, flip_y=not self.flip_y)

    def transposed(self) -> Self:
        """Return this, rows and columns exchanged."""
        return replace(self, turned=not self.turned, flip_x=self.flip_y, flip_y=self.flip_x)

    def rotated(self) -> Self:
        """Return this, a quarter counter-clockwise."""
        return self.transposed().vertical()

    def size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return width and height of what is seen of a frame of rows and columns."""
        rows, cols = shape
        return (rows, cols) if self.turned else (cols, rows)

    def to_frame(self, x: float, y: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Return row and column of a place that is seen."""
        width, height = self.size(shape)
        x = width - x if self.flip_x else x
        y = height - y if self.flip_y else y
        return (x, y) if self.turned else (y, x)

    def to_view(self, row: float, col: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Return where a place of the frame is seen, as (x, y)."""
        width, height = self.size(shape)
        x, y = (row, col) if self.turned else (col, row)
        return width - x if self.flip_x else x, height - y if self.flip_y else y


UPRIGHT = Orientation()
